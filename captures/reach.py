"""Where traffic may go: an address of a lab is one only inside a lab; from anywhere else it would leave the machine.

Labs have their addresses from two ranges that the Internet does not route (RFC 2544 appendix C, RFC 4193), but a
machine with a default route sends there none the less. So whatever sends to a live server asks first (`require_lab`).
"""

import socket
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

LAB_NETWORKS = (IPv4Network("198.18.0.0/15"), IPv6Network("fd6e:6574:6c61:62::/64"))  # as netlab.topology has them


class OutsideLabError(Exception):
    """Traffic for an address of a lab that would not arrive in one."""


def require_lab(host: str) -> None:
    """Raise OutsideLabError if ``host``, a name or an address, is in a lab's range and this process is in no lab.

    Nothing is sent: the kernel is asked which source address it would choose.
    """
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
    except OSError:
        return  # whoever connects will be told the same, and say so
    for family, _, _, _, where in found:
        address = ip_address(str(where[0]).partition("%")[0])
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        for network in LAB_NETWORKS:
            if address in network and not _is_in(network, family, (str(where[0]), 9)):
                raise OutsideLabError(f"{host} is an address of a lab ({network}), and this is no host of one")


def _is_in(network: IPv4Network | IPv6Network, family: int, where: tuple[str, int]) -> bool:
    """Whether this machine would send there from an address of the same network, or not at all."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(where)
        except OSError:
            return True  # there is no route: nothing can leave
        source = ip_address(str(probe.getsockname()[0]).partition("%")[0])
    if isinstance(source, IPv6Address) and source.ipv4_mapped is not None:
        source = source.ipv4_mapped
    return source in network
