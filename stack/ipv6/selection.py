"""Choosing the source address for a destination (RFC 6724 section 5).

Destinations are not put in order (section 6): an application names one address, and nothing here resolves names. So
the policy table, the RFC's own (section 2.1), has the labels only.
"""

from stack.ipv6.constants import DEPRECATED, IPV4_MAPPED, TENTATIVE
from stack.ipv6.link import Ipv6Address, is_group, prefix_mask

LINK_SCOPE = 2
SITE_SCOPE = 5
GLOBAL_SCOPE = 14

# (first half, second half, length, label), longest prefix first
POLICIES = (
    (0, 1, 128, 0),  # ::1
    (0, IPV4_MAPPED << 32, 96, 4),  # ::ffff:0:0/96
    (0, 0, 96, 3),  # ::/96
    (0x20010000 << 32, 0, 32, 5),  # 2001::/32, Teredo
    (0x2002 << 48, 0, 16, 2),  # 6to4
    (0x3FFE << 48, 0, 16, 12),  # 6bone
    (0xFEC0 << 48, 0, 10, 11),  # site-local
    (0xFC00 << 48, 0, 7, 13),  # ULA
    (0, 0, 0, 1),
)


def label_of(high: int, low: int) -> int:
    """The label of an address: source and destination had better have the same."""
    for first, second, length, label in POLICIES:
        high_mask, low_mask = prefix_mask(length)
        if high & high_mask == first and low & low_mask == second:
            return label
    raise AssertionError("the last policy is for all")


def scope(high: int, low: int) -> int:
    """The scope of an address: a group's own, or which group scope it is like (sections 3.1 and 3.2)."""
    if is_group(high):
        return high >> 48 & 0xF
    if high >> 54 == 0xFE80 >> 6 or (high == 0 and low == 1):
        return LINK_SCOPE
    if high == 0 and low >> 32 == IPV4_MAPPED and low >> 16 & 0xFFFF in (0xA9FE, 0x7F00):
        return LINK_SCOPE
    return SITE_SCOPE if high >> 54 == 0xFEC0 >> 6 else GLOBAL_SCOPE


def common_prefix(one: tuple[int, int], other: tuple[int, int]) -> int:
    """How many leading bits two addresses have in common."""
    return 128 - ((one[0] ^ other[0]) << 64 | (one[1] ^ other[1])).bit_length()


def select_source(candidates: list[Ipv6Address], destination: tuple[int, int]) -> tuple[int, int] | None:
    """The address of ours to send to ``destination`` from (section 5); None when there is none to use.

    candidates: those of the interface that leads there (rule 5 is kept by that; there are no home addresses: rule 4).
    """
    usable = [address for address in candidates if address.state != TENTATIVE]
    return max(usable, key=lambda address: _fitness(address, destination)).pair() if usable else None


def _fitness(address: Ipv6Address, destination: tuple[int, int]) -> tuple[int, ...]:
    """What makes one source better than another: each rule of section 5 in its turn."""
    pair = address.pair()
    wanted, own = scope(*destination), scope(*pair)
    return (
        pair == destination,  # rule 1
        # Rule 2: the smallest scope that is large enough, else the largest there is.
        -own if own >= wanted else own - 2 * GLOBAL_SCOPE,
        address.state != DEPRECATED,  # rule 3
        label_of(*pair) == label_of(*destination),  # rule 6
        address.temporary,  # rule 7
        min(common_prefix(pair, destination), address.prefix_length),  # rule 8
    )
