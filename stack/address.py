"""Addresses as people write them, and as the stack uses them: pairs of 64-bit integers, (high, low).

IPv4's are the mapped addresses ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2): high is 0, low 0xFFFF << 32 | address.
"""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

IPV4_MAPPED = 0xFFFF
MASK32 = 0xFFFFFFFF
MASK64 = 0xFFFFFFFFFFFFFFFF


@lru_cache(4096)
def parse_address(text: str) -> tuple[int, int]:
    """(high, low) of an address of either version in text. Raises ValueError, naming the text, when it is none."""
    if ":" not in text:
        return mapped(int(IPv4Address(text)))
    if "%" in text:
        raise ValueError(f"{text!r}: a zone means nothing here; the interface follows from the address")
    return halves(int(IPv6Address(text)))


@lru_cache(4096)
def format_address(high: int, low: int) -> str:
    """The text of an address."""
    if is_mapped(high, low):
        return str(IPv4Address(low & MASK32))
    return str(IPv6Address(high << 64 | low))


def mapped(ipv4: int) -> tuple[int, int]:
    """(high, low) of an IPv4 address given as a 32-bit integer."""
    return 0, IPV4_MAPPED << 32 | ipv4


def halves(ipv6: int) -> tuple[int, int]:
    """(high, low) of an IPv6 address given as a 128-bit integer."""
    return ipv6 >> 64, ipv6 & MASK64


def is_mapped(high: int, low: int) -> bool:
    """Whether this is an IPv4 address."""
    return high == 0 and low >> 32 == IPV4_MAPPED
