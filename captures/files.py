"""Capture files: pcap and pcapng, as they are or compressed with gzip. Everything else here stands on `read_packets`.

The formats are read with ``struct`` and not through a library for three reasons: the *original* length of a packet
is needed to tell that it was cut, times must stay whole nanoseconds, and half a million packets must not take minutes.
Sources: draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Next to read: ``link_layers``,
then ``flows``.
"""

import contextlib
import gzip
import io
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from captures.link_layers import ETHERNET, is_readable, unreadable
from captures.pcapng_writer import (
    BLOCK_ENHANCED_PACKET,
    BLOCK_INTERFACE,
    BLOCK_SECTION,
    BYTE_ORDER_MAGIC,
    OPTION_END,
    OPTION_TIME_RESOLUTION,
    Writer,
    interface_block,
    packet_block,
    section_block,
)

MAX_PACKET = 16 << 20  # bytes captured of one: tcpdump keeps 256 KiB, and Linux makes segments of 512 KiB
MAX_BLOCK = 64 << 20  # bytes of a pcapng block
MAX_UNPACKED = 1 << 30  # bytes out of a compressed file: a megabyte of gzip can hold a gigabyte

SECTION = BLOCK_SECTION.to_bytes(4, "big")  # a block type that reads the same in both byte orders
BLOCK_OBSOLETE_PACKET = 2
BLOCK_SIMPLE_PACKET = 3

OPTION_FLAGS = 2  # of a packet
OPTION_FCS_LENGTH = 13  # of an interface
OPTION_TIME_OFFSET = 14  # of an interface

GZIP = b"\x1f\x8b"

# pcap's magic as its four bytes stand in the file -> (byte order, nanoseconds per unit of the time's fraction)
PCAP_MAGICS = {
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\x3c\x4d": (">", 1),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
}

REWRITE = "rewrite it with: editcap -F pcap OLD NEW"
UNPACK = "decompress it first"
# How files begin that may be captures too, what they are, and what to do about it.
OTHERS = {
    b"\xa1\xb2\xcd\x34": ("pcap as modified by A. Kuznetsov", REWRITE),
    b"\x34\xcd\xb2\xa1": ("pcap as modified by A. Kuznetsov", REWRITE),
    b"\xa1\xb2\x34\xcd": ("pcap as modified by F. Mesquita", REWRITE),
    b"\xcd\x34\xb2\xa1": ("pcap as modified by F. Mesquita", REWRITE),
    b"\xa1\x2b\x3c\x4d": ("pcap as modified by Navtel", REWRITE),
    b"\x4d\x3c\x2b\xa1": ("pcap as modified by Navtel", REWRITE),
    b"\x1c\x00\x01\xac": ("pcap as modified by Ixia (lcap, hardware)", REWRITE),
    b"\xac\x01\x00\x1c": ("pcap as modified by Ixia (lcap, hardware)", REWRITE),
    b"\x1c\x00\x01\xab": ("pcap as modified by Ixia (lcap, software)", REWRITE),
    b"\xab\x01\x00\x1c": ("pcap as modified by Ixia (lcap, software)", REWRITE),
    b"snoop\0\0\0": ("a snoop capture", REWRITE),
    b"btsnoop\0": ("a Bluetooth snoop capture", "it holds no network packets"),
    b"RTSS": ("a capture of Microsoft's Network Monitor 1", REWRITE),
    b"GMBU": ("a capture of Microsoft's Network Monitor 2", REWRITE),
    b"TRSNIFF": ("a capture of the Sniffer", REWRITE),
    b"XCP\0": ("a capture of the Windows Sniffer", REWRITE),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", UNPACK),
    b"\xfd7zXZ\0": ("compressed with xz", UNPACK),
    b"BZh": ("compressed with bzip2", UNPACK),
    b"\x04\x22\x4d\x18": ("compressed with lz4", UNPACK),
    b"PK\x03\x04": ("a zip archive", UNPACK),
}


class CaptureError(Exception):
    """A capture that cannot be read or used. ``packet`` is the number (from 1) of the packet that shows it."""

    def __init__(self, reason: str, packet: int | None = None) -> None:
        super().__init__(reason if packet is None else f"packet {packet}: {reason}")
        self.reason = reason
        self.packet = packet


class Packet(NamedTuple):
    """One captured frame, without its frame check sequence if the capture has them."""

    number: int  # from 1, as tshark and people count
    time_ns: int  # nanoseconds since 1970
    frame: bytes  # what was captured of it
    length: int  # what it was on the wire; more than len(frame) when the packet was cut
    link_type: int = ETHERNET  # what the frame begins with: see ``link_layers``


class Interface(NamedTuple):
    """What a pcapng file says of an interface, as far as it is needed to read its packets."""

    link_type: int
    snaplen: int
    units_per_second: int = 1_000_000
    offset_seconds: int = 0  # added to all times
    fcs: int = 0  # bytes of frame check sequence at the end of each packet


class _Source:
    """The bytes of a file from its beginning on, decompressed if need be."""

    def __init__(self, opened: list[io.BufferedReader], begin: bytes) -> None:
        self.begin = begin  # the first eight, which are still to be taken
        self.at = 0  # how many were taken
        self.is_file = opened[0].seekable()  # and can be opened once more
        self._opened = opened  # the file, and what decompresses it
        self._unpacked = len(opened) > 1

    def close(self) -> None:
        """Close the file."""
        for each in self._opened:
            each.close()

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, fewer where the file ends."""
        try:
            data = self._opened[-1].read(count)
        except EOFError:
            raise CaptureError(f"the compressed file ends early, behind {self.at} bytes of capture") from None
        except (OSError, zlib.error) as error:  # gzip's own error is an OSError too
            raise CaptureError(f"cannot be read behind byte {self.at}: {error}") from error
        self.at += len(data)
        if self._unpacked and self.at > MAX_UNPACKED:
            raise CaptureError(f"holds more than {MAX_UNPACKED >> 20} MiB; {UNPACK} (gunzip), and name what comes out")
        return data


def read_packets(path: Path) -> Iterator[Packet]:
    """The packets of a pcap or pcapng file, compressed with gzip or not, in file order.

    CaptureError for what is neither, for damage where reading comes to it, and for a file that has no link type that
    ``link_layers`` can read. If it has one, all packets are here, and ``link_layers`` says why not of the others.
    """
    source = _open(path)
    magic = source.begin[:4]
    if magic in PCAP_MAGICS:
        return _closing(source, _read_pcap(source, *PCAP_MAGICS[magic]))
    if magic == SECTION:
        return _closing(source, _read_pcapng(source, path))
    source.close()
    for begin, (what, remedy) in OTHERS.items():
        if source.begin.startswith(begin):
            raise CaptureError(f"{path} is {what}, which is not read; {remedy}")
    raise CaptureError(f"{path} is neither pcap nor pcapng: it begins with the bytes {magic.hex() or '(none)'}")


def _open(path: Path) -> _Source:
    opened: list[io.BufferedReader] = []
    try:
        opened.append(path.open("rb"))
        if opened[0].peek(2).startswith(GZIP):
            opened.append(io.BufferedReader(gzip.GzipFile(fileobj=opened[0])))
        return _Source(opened, opened[-1].peek(8)[:8])
    except (EOFError, OSError, zlib.error) as error:
        for each in opened:
            each.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CaptureError(f"cannot read {path}: {reason}") from error


def _closing(source: _Source, packets: Iterator[Packet]) -> Iterator[Packet]:
    with contextlib.closing(source):
        yield from packets


def _read_pcap(source: _Source, order: str, nanoseconds: int) -> Iterator[Packet]:
    header = source.take(24)
    if len(header) < 24:
        raise CaptureError("the file ends inside its header")
    word = struct.unpack_from(order + "I", header, 20)[0]
    link_type = word & 0x03FF_FFFF
    fcs = (word >> 28) * 2 if word & 0x0400_0000 else 0  # in units of 16 bits
    if not is_readable(link_type):
        raise CaptureError(unreadable(link_type))
    record = struct.Struct(order + "IIII")
    number = 0
    while head := source.take(16):
        number += 1
        if len(head) < 16:
            raise CaptureError("the file ends inside the packet's header", number)
        seconds, fraction, captured, length = record.unpack(head)
        _check(captured, length, number)
        frame = source.take(captured)
        if len(frame) < captured:
            raise CaptureError("the file ends inside the packet", number)
        time_ns = seconds * 1_000_000_000 + fraction * nanoseconds
        yield _packet(number, time_ns, frame, length, link_type, fcs)


def _check(captured: int, length: int, number: int) -> None:
    if captured > length:
        raise CaptureError(f"claims {captured} bytes captured of {length} on the wire", number)
    if captured > MAX_PACKET:
        raise CaptureError(f"claims {captured} bytes, more than any capture has of a packet", number)


def _packet(number: int, time_ns: int, frame: bytes, length: int, link_type: int, fcs: int) -> Packet:
    """The packet without the last ``fcs`` of its ``length`` bytes: they check the frame, and are no part of it."""
    if fcs:
        length = max(length - fcs, 0)
        frame = frame[:length]
    return Packet(number, time_ns, frame, length, link_type)


def _read_pcapng(source: _Source, path: Path) -> Iterator[Packet]:
    interfaces: list[Interface] = []
    number = 0
    for kind, body, order in _blocks(source):
        if kind == BLOCK_SECTION:
            interfaces = []
        elif kind == BLOCK_INTERFACE:
            interfaces.append(_interface(body, order, number))
        elif kind in _PACKET_BLOCKS:
            number += 1
            packet = _PACKET_BLOCKS[kind](body, order, interfaces, number)
            if number == 1 and not any(is_readable(each.link_type) for each in interfaces):
                _require_readable_ahead(source, path, packet)
            yield packet


def _blocks(source: _Source) -> Iterator[tuple[int, bytes, str]]:
    """Each block's type and body, and the byte order of its section."""
    order = "<"
    while head := source.take(8):
        at = source.at - len(head)
        begin = b""
        if head[:4] == SECTION:
            begin = source.take(4)
            order = _section_order(begin, at)
        if len(head) < 8:
            raise CaptureError(f"the file ends inside a block at byte {at}")
        kind, length = struct.unpack(order + "II", head)
        if length < 12 + len(begin) or length % 4 or length > MAX_BLOCK:
            raise CaptureError(f"bad block length {length} at byte {at}")
        body = begin + source.take(length - 8 - len(begin))
        if len(body) < length - 8:
            raise CaptureError(f"the file ends inside a block at byte {at}")
        if body[-4:] != head[4:]:
            raise CaptureError(f"the block at byte {at} has two lengths that differ")
        yield kind, body[:-4], order


def _section_order(magic: bytes, at: int) -> str:
    if magic == BYTE_ORDER_MAGIC.to_bytes(4, "little"):
        return "<"
    if magic == BYTE_ORDER_MAGIC.to_bytes(4, "big"):
        return ">"
    raise CaptureError(f"bad byte-order magic {magic.hex() or '(none)'} in the section header at byte {at}")


def _require_readable_ahead(source: _Source, path: Path, packet: Packet) -> None:
    """CaptureError unless an interface that can be read comes in a later section, or later in this one."""
    if source.is_file:
        with contextlib.closing(_open(path)) as again:
            for kind, body, order in _blocks(again):
                if kind == BLOCK_INTERFACE and is_readable(_interface(body, order, 0).link_type):
                    return
    raise CaptureError(unreadable(packet.link_type), packet.number)


def _interface(body: bytes, order: str, number: int) -> Interface:
    if len(body) < 8:
        raise CaptureError(f"an interface block of {len(body)} bytes, after packet {number}")
    link_type, _, snaplen = struct.unpack_from(order + "HHI", body, 0)
    found = Interface(link_type, snaplen)
    for code, value in _options(body, 8, order):
        if code == OPTION_TIME_RESOLUTION and value:
            exponent = value[0] & 0x7F
            found = found._replace(units_per_second=2**exponent if value[0] & 0x80 else 10**exponent)
        elif code == OPTION_FCS_LENGTH and value:
            # The specification counts in bits, and gives 4 as its example: writers took it for bytes.
            found = found._replace(fcs=value[0] // 8 if value[0] >= 8 else value[0])
        elif code == OPTION_TIME_OFFSET and len(value) == 8:
            found = found._replace(offset_seconds=struct.unpack(order + "q", value)[0])
    return found


def _options(body: bytes, at: int, order: str) -> Iterator[tuple[int, bytes]]:
    """The options from ``at`` on, up to the end mark or to one that has no room."""
    while len(body) - at >= 4:
        code, length = struct.unpack_from(order + "HH", body, at)
        at += 4
        if code == OPTION_END or length > len(body) - at:
            return
        yield code, body[at : at + length]
        at += (length + 3) & ~3


def _enhanced_packet(body: bytes, order: str, interfaces: list[Interface], number: int) -> Packet:
    if len(body) < 20:
        raise CaptureError("the packet's block is too short for its header", number)
    index, high, low, captured, length = struct.unpack_from(order + "IIIII", body, 0)
    return _from_interface(body, order, interfaces, number, (index, high << 32 | low, captured, length))


def _obsolete_packet(body: bytes, order: str, interfaces: list[Interface], number: int) -> Packet:
    """The Packet Block of before 2009: as the enhanced one, but with 16 bits for the interface and 16 for drops."""
    if len(body) < 20:
        raise CaptureError("the packet's block is too short for its header", number)
    index, _, high, low, captured, length = struct.unpack_from(order + "HHIIII", body, 0)
    return _from_interface(body, order, interfaces, number, (index, high << 32 | low, captured, length))


def _from_interface(
    body: bytes, order: str, interfaces: list[Interface], number: int, header: tuple[int, int, int, int]
) -> Packet:
    """The packet behind ``header``: its interface, time in units of that, bytes captured, and bytes on the wire."""
    index, units, captured, length = header
    if index >= len(interfaces):
        raise CaptureError(f"names interface {index}, which the file does not describe", number)
    _check(captured, length, number)
    if captured > len(body) - 20:
        raise CaptureError("claims more bytes than its block holds", number)
    interface = interfaces[index]
    fcs = interface.fcs
    for code, value in _options(body, 20 + (captured + 3 & ~3), order):
        if code == OPTION_FLAGS and len(value) == 4:
            fcs = struct.unpack(order + "I", value)[0] >> 5 & 0x0F or fcs
    time_ns = units * 1_000_000_000 // interface.units_per_second + interface.offset_seconds * 1_000_000_000
    return _packet(number, time_ns, body[20 : 20 + captured], length, interface.link_type, fcs)


def _simple_packet(body: bytes, order: str, interfaces: list[Interface], number: int) -> Packet:
    """A Simple Packet Block: of interface 0, and without a time."""
    if len(body) < 4 or not interfaces:
        raise CaptureError("a simple packet block without a length or an interface", number)
    length = struct.unpack_from(order + "I", body, 0)[0]
    captured = min(length, interfaces[0].snaplen or length)
    _check(captured, length, number)
    if captured > len(body) - 4:
        raise CaptureError("claims more bytes than its block holds", number)
    return _packet(number, 0, body[4 : 4 + captured], length, interfaces[0].link_type, interfaces[0].fcs)


_PACKET_BLOCKS: dict[int, Callable[[bytes, str, list[Interface], int], Packet]] = {
    BLOCK_OBSOLETE_PACKET: _obsolete_packet,
    BLOCK_SIMPLE_PACKET: _simple_packet,
    BLOCK_ENHANCED_PACKET: _enhanced_packet,
}


def write_pcapng(path: Path, packets: Iterable[Packet], *, interface: str = "", comment: str = "") -> int:
    """Write packets of one link type, with their lengths and nanosecond times, as a section of one interface.

    Returns how many there were. ``comment`` goes into the section's header.
    """
    with path.open("wb", buffering=0) as file:
        writer = Writer(file.fileno())
        head = [section_block(comment)]
        for packet in packets:
            if head:
                writer.write([*head, interface_block(packet.link_type, interface)])
                head = []
            writer.write([packet_block(packet.time_ns, packet.frame, packet.length)])
        writer.write([*head, interface_block(ETHERNET, interface)] if head else [])
    return writer.packets
