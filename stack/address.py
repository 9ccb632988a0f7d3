"""IPv4 addresses as people write them, and as the stack uses them: 32-bit integers."""

from functools import lru_cache
from ipaddress import IPv4Address


@lru_cache(4096)
def parse_ipv4(text: str) -> int:
    """The integer of a dotted quad. Raises ValueError, naming the text, when it is none."""
    return int(IPv4Address(text))


@lru_cache(4096)
def format_ipv4(address: int) -> str:
    """The dotted quad of an integer."""
    return str(IPv4Address(address))
