"""Capture files: reading pcap and pcapng, writing pcapng. Everything else here stands on ``read_packets``.

The formats are read with ``struct`` and not through a library for three reasons: the *original* length of a packet
is needed to tell that it was cut, times must stay whole nanoseconds, and half a million packets must not take minutes.
Sources: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Next to read: ``flows``.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from captures.link_layers import ETHERNET

BLOCK_SECTION = 0x0A0D0D0A
BLOCK_INTERFACE = 1
BLOCK_OBSOLETE_PACKET = 2
BLOCK_SIMPLE_PACKET = 3
BLOCK_STATISTICS = 5
BLOCK_ENHANCED_PACKET = 6
BYTE_ORDER_MAGIC = 0x1A2B3C4D

OPTION_END = 0
OPTION_COMMENT = 1
OPTION_USER_APPLICATION = 4  # of a section
OPTION_NAME = 2  # of an interface
OPTION_TIME_RESOLUTION = 9  # of an interface
OPTION_RECEIVED = 4  # of interface statistics
OPTION_DROPPED = 5  # of interface statistics

# pcap's magic as its four bytes stand in the file -> (byte order, nanoseconds per unit of the time's fraction)
PCAP_MAGICS = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}


class CaptureError(Exception):
    """A capture that cannot be read or used. ``packet`` is the number (from 1) of the packet that shows it."""

    def __init__(self, reason: str, packet: int | None = None) -> None:
        super().__init__(reason if packet is None else f"packet {packet}: {reason}")
        self.reason = reason
        self.packet = packet


class Packet(NamedTuple):
    """One captured frame."""

    number: int  # from 1, as tshark and people count
    time_ns: int  # nanoseconds since 1970
    frame: bytes  # what was captured of it
    length: int  # what it was on the wire; more than len(frame) when the packet was cut
    link_type: int = ETHERNET  # what the frame begins with: see ``link_layers``


class Interface(NamedTuple):
    """What a pcapng file says of an interface, as far as it is needed to read its packets."""

    linktype: int
    snaplen: int
    units_per_second: int


def read_packets(path: Path) -> Iterator[Packet]:
    """The packets of a pcap or pcapng file of Ethernet frames, in file order; CaptureError for anything else."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaptureError(f"cannot read {path}: {error.strerror}") from error
    magic = data[:4]
    if magic in PCAP_MAGICS:
        return _read_pcap(data, *PCAP_MAGICS[magic])
    if magic == BLOCK_SECTION.to_bytes(4, "big"):
        return _read_pcapng(data)
    raise CaptureError(f"{path} is neither pcap nor pcapng: it begins with the bytes {magic.hex() or '(none)'}")


def _read_pcap(data: bytes, order: str, nanoseconds: int) -> Iterator[Packet]:
    if len(data) < 24:
        raise CaptureError("the file ends inside its header")
    # The upper bits of the last word tell about a frame check sequence, not about the link.
    linktype = struct.unpack_from(order + "I", data, 20)[0] & 0x0FFF_FFFF
    record = struct.Struct(order + "IIII")
    at = 24
    end = len(data)
    number = 0
    while at < end:
        number += 1
        if end - at < 16:
            raise CaptureError("the file ends inside the packet's header", number)
        seconds, fraction, captured, length = record.unpack_from(data, at)
        at += 16
        if captured > end - at:
            raise CaptureError("the file ends inside the packet", number)
        _check(linktype, captured, length, number)
        yield Packet(number, seconds * 1_000_000_000 + fraction * nanoseconds, data[at : at + captured], length)
        at += captured


def _check(linktype: int, captured: int, length: int, number: int) -> None:
    if linktype != ETHERNET:
        raise CaptureError(f"link type {linktype} is not Ethernet (1); capture on one interface, not on 'any'", number)
    if captured > length:
        raise CaptureError(f"claims {captured} bytes captured of {length} on the wire", number)


def _read_pcapng(data: bytes) -> Iterator[Packet]:
    order = "<"
    interfaces: list[Interface] = []
    at = 0
    number = 0
    while at < len(data):
        if data[at : at + 4] == BLOCK_SECTION.to_bytes(4, "big"):  # a palindrome: the same in both orders
            order = _section_order(data, at)
            interfaces = []
        kind, body, at = _block(data, at, order, number)
        if kind == BLOCK_INTERFACE:
            interfaces.append(_interface(body, order, number))
        elif kind == BLOCK_ENHANCED_PACKET:
            number += 1
            yield _enhanced_packet(body, order, interfaces, number)
        elif kind == BLOCK_SIMPLE_PACKET:
            number += 1
            yield _simple_packet(body, order, interfaces, number)
        elif kind == BLOCK_OBSOLETE_PACKET:
            raise CaptureError("is in the obsolete Packet Block; rewrite the file with editcap", number + 1)


def _section_order(data: bytes, at: int) -> str:
    magic = data[at + 8 : at + 12]
    if magic == BYTE_ORDER_MAGIC.to_bytes(4, "little"):
        return "<"
    if magic == BYTE_ORDER_MAGIC.to_bytes(4, "big"):
        return ">"
    raise CaptureError(f"bad byte-order magic {magic.hex()} in the section header at byte {at}")


def _block(data: bytes, at: int, order: str, number: int) -> tuple[int, bytes, int]:
    """The block at ``at``: its type, its body, and where the next one begins."""
    if len(data) - at < 12:
        raise CaptureError(f"the file ends inside a block at byte {at}, after packet {number}")
    kind, length = struct.unpack_from(order + "II", data, at)
    if length < 12 or length % 4:
        raise CaptureError(f"bad block length {length} at byte {at}, after packet {number}")
    if length > len(data) - at:
        raise CaptureError(f"the file ends inside a block at byte {at}, after packet {number}")
    return kind, data[at + 8 : at + length - 4], at + length


def _interface(body: bytes, order: str, number: int) -> Interface:
    if len(body) < 8:
        raise CaptureError(f"an interface block of {len(body)} bytes, after packet {number}")
    linktype, _, snaplen = struct.unpack_from(order + "HHI", body, 0)
    units_per_second = 1_000_000
    at = 8
    while len(body) - at >= 4:
        code, length = struct.unpack_from(order + "HH", body, at)
        at += 4
        if code == OPTION_END:
            break
        if code == OPTION_TIME_RESOLUTION and length >= 1 and at < len(body):
            value = body[at]
            units_per_second = 2 ** (value & 0x7F) if value & 0x80 else 10**value
        at += (length + 3) & ~3
    return Interface(linktype, snaplen, units_per_second)


def _enhanced_packet(body: bytes, order: str, interfaces: list[Interface], number: int) -> Packet:
    if len(body) < 20:
        raise CaptureError("the packet's block is too short for its header", number)
    index, high, low, captured, length = struct.unpack_from(order + "IIIII", body, 0)
    if index >= len(interfaces):
        raise CaptureError(f"names interface {index}, which the file does not describe", number)
    if captured > len(body) - 20:
        raise CaptureError("claims more bytes than its block holds", number)
    interface = interfaces[index]
    _check(interface.linktype, captured, length, number)
    time_ns = (high << 32 | low) * 1_000_000_000 // interface.units_per_second
    return Packet(number, time_ns, body[20 : 20 + captured], length)


def _simple_packet(body: bytes, order: str, interfaces: list[Interface], number: int) -> Packet:
    """A Simple Packet Block: of interface 0, and without a time."""
    if len(body) < 4 or not interfaces:
        raise CaptureError("a simple packet block without a length or an interface", number)
    length = struct.unpack_from(order + "I", body, 0)[0]
    captured = min(length, interfaces[0].snaplen or length)
    if captured > len(body) - 4:
        raise CaptureError("claims more bytes than its block holds", number)
    _check(interfaces[0].linktype, captured, length, number)
    return Packet(number, 0, body[4 : 4 + captured], length)


def write_pcapng(
    path: Path,
    packets: Iterable[Packet],
    *,
    interface: str = "",
    comment: str = "",
    received: int | None = None,
    dropped: int | None = None,
) -> int:
    """Write ``packets`` with their lengths and nanosecond times as one section of one interface; returns how many.

    ``comment`` goes to the section header; ``received`` and ``dropped`` (the kernel's counters) to a statistics block.
    """
    count = 0
    last_ns = 0
    with path.open("wb") as file:
        section = struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1)
        about = _options((OPTION_COMMENT, comment.encode()), (OPTION_USER_APPLICATION, b"netlab capture"))
        file.write(_pack_block(BLOCK_SECTION, section + about))
        described = _options((OPTION_NAME, interface.encode()), (OPTION_TIME_RESOLUTION, b"\x09"))
        file.write(_pack_block(BLOCK_INTERFACE, struct.pack("<HHI", ETHERNET, 0, 0) + described))
        for _, last_ns, frame, length, _ in packets:
            header = struct.pack("<IIIII", 0, last_ns >> 32, last_ns & 0xFFFF_FFFF, len(frame), length)
            file.write(_pack_block(BLOCK_ENHANCED_PACKET, header + frame))
            count += 1
        if received is not None and dropped is not None:
            counters = _options(
                (OPTION_RECEIVED, received.to_bytes(8, "little")), (OPTION_DROPPED, dropped.to_bytes(8, "little"))
            )
            header = struct.pack("<III", 0, last_ns >> 32, last_ns & 0xFFFF_FFFF)
            file.write(_pack_block(BLOCK_STATISTICS, header + counters))
    return count


def _options(*options: tuple[int, bytes]) -> bytes:
    """Options that have a value, each padded to four bytes, and the end marker."""
    packed = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options if value]
    return b"".join(packed) + struct.pack("<HH", OPTION_END, 0)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)


def _pack_block(kind: int, body: bytes) -> bytes:
    body = _padded(body)
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)
