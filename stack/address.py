"""IPv4 addresses as people write them, and as the stack uses them: 32-bit integers in host order."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache


@lru_cache(4096)
def parse_ipv4(text: str) -> int:
    """The integer of a dotted quad. Raises ValueError, naming the text, when it is none."""
    return int(ipaddress.IPv4Address(text))


@lru_cache(4096)
def format_ipv4(address: int) -> str:
    """The dotted quad of an integer."""
    return str(ipaddress.IPv4Address(address))


@dataclass(frozen=True)
class Interface:
    """A node's one interface: its address, the length of its network's prefix, and a gateway's address or 0."""

    address: int
    prefix_length: int
    gateway: int = 0

    @classmethod
    def parse(cls, text: str, gateway: str | None = None) -> "Interface":
        """From ``"198.18.0.2/15"``. Raises ValueError for text that is none, or a gateway outside the network."""
        interface = ipaddress.IPv4Interface(text)
        if gateway is not None and ipaddress.IPv4Address(gateway) not in interface.network:
            raise ValueError(f"the gateway {gateway} is not in the interface's network {interface.network}")
        return cls(int(interface.ip), interface.network.prefixlen, 0 if gateway is None else parse_ipv4(gateway))

    def mask(self) -> int:
        """The netmask."""
        return (0xFFFFFFFF << (32 - self.prefix_length)) & 0xFFFFFFFF

    def broadcast(self) -> int:
        """The network's directed broadcast address; networks of one or two addresses have none (RFC 3021)."""
        return self.address | (0xFFFFFFFF ^ self.mask()) if self.prefix_length < 31 else 0xFFFFFFFF
