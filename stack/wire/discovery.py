"""Messages of Neighbor Discovery (RFC 4861 section 4) as bytes, and what is in received ones.

They are few and small, so they are ``bytes`` objects, not views of node memory. Addresses are 16 bytes on the wire
and pairs of 64-bit integers, high and low, here.
"""

import struct
from dataclasses import dataclass, field

from stack.ipv6.constants import NEIGHBOR_ADVERTISEMENT, NEIGHBOR_SOLICITATION, ROUTER_SOLICITATION

SOURCE_LINK_ADDRESS = 1  # options (section 4.6)
TARGET_LINK_ADDRESS = 2
PREFIX_INFORMATION = 3
MTU = 5

ROUTER = 0x80  # flags of an advertisement
SOLICITED = 0x40
OVERRIDE = 0x20

NEIGHBOR_LENGTH = 24  # bytes of a solicitation or advertisement without options
ROUTER_ADVERTISEMENT_LENGTH = 16
MOST_OPTIONS = 64

_NEIGHBOR = struct.Struct("!BBHIQQ")  # type, code, checksum, flags in the first byte, target
_ROUTER = struct.Struct("!BBHBBHII")  # ..., hop limit, flags, lifetime, reachable time, retransmit timer
_PREFIX = struct.Struct("!BBBBIIIQQ")  # type, length, prefix length, flags, valid, preferred, reserved, prefix
_MTU = struct.Struct("!BBHI")


@dataclass(frozen=True, slots=True)
class PrefixInformation:
    """A prefix that a router advertises; lifetimes in seconds, 0xFFFFFFFF for ever."""

    high: int
    low: int
    length: int
    on_link: bool
    autonomous: bool
    valid: int
    preferred: int


@dataclass(slots=True)
class Options:
    """What the options of one message say; 0: it does not."""

    source_mac: int = 0
    target_mac: int = 0
    mtu: int = 0
    prefixes: list[PrefixInformation] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RouterAdvertisement:
    """What a router says (section 4.2): lifetime in seconds, times in milliseconds; 0: unspecified."""

    hop_limit: int
    lifetime: int
    reachable_time: int
    retransmit_time: int


def solicitation(target: tuple[int, int], source_mac: int) -> bytes:
    """Who has ``target``? source_mac 0: the option is left out."""
    message = _NEIGHBOR.pack(NEIGHBOR_SOLICITATION, 0, 0, 0, *target)
    return message + (_link_address(SOURCE_LINK_ADDRESS, source_mac) if source_mac else b"")


def advertisement(target: tuple[int, int], flags: int, mac: int) -> bytes:
    """``target`` is at ``mac``."""
    message = _NEIGHBOR.pack(NEIGHBOR_ADVERTISEMENT, 0, 0, flags << 24, *target)
    return message + _link_address(TARGET_LINK_ADDRESS, mac)


def router_solicitation(source_mac: int) -> bytes:
    """Which routers are there? source_mac 0: the option is left out."""
    message = bytes((ROUTER_SOLICITATION, 0, 0, 0, 0, 0, 0, 0))
    return message + (_link_address(SOURCE_LINK_ADDRESS, source_mac) if source_mac else b"")


def neighbor(message: bytes) -> tuple[int, int, int]:
    """Flags and target (high, low) of a solicitation or advertisement of at least NEIGHBOR_LENGTH bytes."""
    _, _, _, flags, high, low = _NEIGHBOR.unpack_from(message)
    return flags >> 24, high, low


def router(message: bytes) -> RouterAdvertisement:
    """A router's advertisement of at least ROUTER_ADVERTISEMENT_LENGTH bytes."""
    _, _, _, hop_limit, _, lifetime, reachable, retransmit = _ROUTER.unpack_from(message)
    return RouterAdvertisement(hop_limit, lifetime, reachable, retransmit)


def options(data: bytes) -> Options | None:
    """The options in ``data``; None when one has no length or does not fit: the whole message is invalid then."""
    found = Options()
    at = 0
    for _ in range(MOST_OPTIONS):
        if at == len(data):
            return found
        if at + 2 > len(data) or data[at + 1] == 0 or at + 8 * data[at + 1] > len(data):
            return None
        _take_option(found, data[at : at + 8 * data[at + 1]])
        at += 8 * data[at + 1]
    return None


def _take_option(found: Options, option: bytes) -> None:
    """Note what one option says; of an unknown kind, or of a length that its kind does not have: nothing."""
    kind = option[0]
    if kind == SOURCE_LINK_ADDRESS and len(option) == 8:
        found.source_mac = int.from_bytes(option[2:8], "big")
    elif kind == TARGET_LINK_ADDRESS and len(option) == 8:
        found.target_mac = int.from_bytes(option[2:8], "big")
    elif kind == MTU and len(option) == 8:
        found.mtu = _MTU.unpack(option)[3]
    elif kind == PREFIX_INFORMATION and len(option) == 32:
        _, _, length, flags, valid, preferred, _, high, low = _PREFIX.unpack(option)
        if length <= 128:
            found.prefixes.append(
                PrefixInformation(high, low, length, flags & 0x80 != 0, flags & 0x40 != 0, valid, preferred)
            )


def _link_address(kind: int, mac: int) -> bytes:
    return bytes((kind, 1)) + mac.to_bytes(6, "big")
