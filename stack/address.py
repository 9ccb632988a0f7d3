"""Addresses as people write them, and as the stack uses them: pairs of 64-bit integers, (high, low).

IPv4's are the mapped addresses ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2): high is 0, low 0xFFFF << 32 | address.
"""

from functools import lru_cache
from ipaddress import IPv4Address

IPV4_MAPPED = 0xFFFF
MASK32 = 0xFFFFFFFF


@lru_cache(4096)
def parse_address(text: str) -> tuple[int, int]:
    """(high, low) of an address in text. Raises ValueError, naming the text, when it is none."""
    return mapped(int(IPv4Address(text)))


@lru_cache(4096)
def format_address(high: int, low: int) -> str:
    """The text of an address."""
    assert high == 0
    assert low >> 32 == IPV4_MAPPED
    return str(IPv4Address(low & MASK32))


def mapped(ipv4: int) -> tuple[int, int]:
    """(high, low) of an IPv4 address given as a 32-bit integer."""
    return 0, IPV4_MAPPED << 32 | ipv4
