"""What an interface is told of IPv6 when it is made."""

from dataclasses import dataclass
from ipaddress import IPv6Address, IPv6Interface


@dataclass(frozen=True)
class Ipv6Settings:
    """addresses: ours, each with the network it is in. gateway: a router for everything else, for ever.

    automatic: take routers' advertisements: addresses, prefixes, routers, parameters (RFC 4861, RFC 4862). temporary:
    with each automatic address, also one to be forgotten soon (RFC 8981). probes: how often to ask whether somebody
    has an address before taking it (RFC 4862's DupAddrDetectTransmits); 0: not at all.
    """

    addresses: tuple[IPv6Interface, ...] = ()
    gateway: IPv6Address | None = None
    automatic: bool = False
    temporary: bool = False
    probes: int = 1
