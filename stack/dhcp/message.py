"""DHCP messages (RFC 2131 section 2) and their options (RFC 2132), between bytes and objects.

What a server sends is checked here as far as it can be without knowing what we asked; what is wrong is None, whatever
it is. Options are kept as bytes by their number: ``client`` reads those it knows.
"""

import struct
from dataclasses import dataclass, field

BOOT_REQUEST = 1
BOOT_REPLY = 2
ETHERNET = 1
BROADCAST = 0x8000  # flags: answer by broadcast, as we have no address yet (section 4.1)
MAGIC = b"\x63\x82\x53\x63"
SHORTEST = 300  # bytes: BOOTP's length, below which some relays drop (RFC 1542 section 2.1)
LONGEST = 1472  # bytes that we take: what fits in a frame, and the size we tell servers

DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE = range(1, 8)

PAD = 0
SUBNET_MASK = 1
ROUTER = 3
DNS = 6
MTU = 26
REQUESTED_ADDRESS = 50
LEASE_TIME = 51
OVERLOAD = 52
MESSAGE_TYPE = 53
SERVER = 54
PARAMETERS = 55
MOST_BYTES = 57
RENEWAL_TIME = 58
REBINDING_TIME = 59
CLIENT = 61
END = 255

_FIXED = struct.Struct("!BBBBIHHIIII16s64s128s4s")


@dataclass
class Message:
    """One message; addresses are 32-bit integers, and the names are RFC 2131's (figure 1)."""

    op: int
    xid: int
    chaddr: bytes
    secs: int = 0
    flags: int = 0
    ciaddr: int = 0
    yiaddr: int = 0
    options: dict[int, bytes] = field(default_factory=dict)

    def kind(self) -> int:
        """DISCOVER, OFFER and so on; 0 when it does not say."""
        return self.number(MESSAGE_TYPE, 1) or 0

    def number(self, option: int, length: int = 4) -> int | None:
        """The option as an integer of ``length`` bytes, or the first of several; None when it is not there."""
        value = self.options.get(option, b"")
        return int.from_bytes(value[:length], "big") if len(value) >= length else None

    def numbers(self, option: int) -> list[int]:
        """The option as a list of addresses."""
        value = self.options.get(option, b"")
        return [int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value) - 3, 4)]

    def encode(self) -> bytes:
        """The bytes to send."""
        fixed = _FIXED.pack(
            self.op, ETHERNET, len(self.chaddr), 0, self.xid, self.secs, self.flags,
            self.ciaddr, self.yiaddr, 0, 0, self.chaddr, b"", b"", MAGIC,
        )  # fmt: skip
        options = b"".join(bytes([code, len(value)]) + value for code, value in self.options.items())
        return (fixed + options + bytes([END])).ljust(SHORTEST, b"\0")


def parse(data: bytes) -> Message | None:
    """The message in ``data``; None when it is none."""
    if not _FIXED.size <= len(data) <= LONGEST:
        return None
    op, hardware, length, _, xid, secs, flags, ciaddr, yiaddr, _, _, chaddr, sname, file, magic = _FIXED.unpack_from(
        data
    )
    if hardware != ETHERNET or length != 6 or magic != MAGIC:
        return None
    options: dict[int, bytes] = {}
    if not _parse_options(data[_FIXED.size :], options):
        return None
    overload = options.get(OVERLOAD, b"\0")[:1]
    for bit, area in ((1, file), (2, sname)):  # in this order (section 4.1)
        if overload and overload[0] & bit and not _parse_options(area, options):
            return None
    return Message(op, xid, chaddr[:6], secs, flags, ciaddr, yiaddr, options)


def _parse_options(area: bytes, options: dict[int, bytes]) -> bool:
    """Add the options in ``area``; one that comes twice is continued (RFC 3396). False: one is cut off."""
    at = 0
    while at < len(area) and area[at] != END:
        if area[at] == PAD:
            at += 1
            continue
        if at + 2 > len(area) or at + 2 + area[at + 1] > len(area):
            return False
        code, length = area[at], area[at + 1]
        options[code] = options.get(code, b"") + area[at + 2 : at + 2 + length]
        at += 2 + length
    return True
