"""Arithmetic on sequence numbers, which wrap at 2**32 (RFC 9293 section 3.4). Also right for timestamps (RFC 7323)."""


def seq_lt(a: int, b: int) -> bool:
    """Whether ``a`` is before ``b``: less than half the space behind it."""
    return ((a - b) & 0xFFFFFFFF) >= 0x80000000


def seq_le(a: int, b: int) -> bool:
    """Whether ``a`` is before ``b``, or the same."""
    return ((b - a) & 0xFFFFFFFF) < 0x80000000
