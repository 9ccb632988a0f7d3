"""Writing pcapng: its blocks, and the process that writes a capture while tcpdump makes it.

That process takes tcpdump's pcap from its standard input and writes each packet on as a pcapng block, so that the file
is whole after every write and nothing is left to convert when the capture ends. It is a process of its own, deaf to
the signals that end a program, because it has to outlive the one that started it: however that ends, tcpdump ends
too, and this one then writes what is still in the pipe and gives the file its name. It stands alone (nothing but the
standard library is imported), as it must start at once and from any folder.

Source: draft-ietf-opsawg-pcapng. Next to read: ``capture``, which starts it.
"""

import contextlib
import json
import os
import signal
import struct
import sys
from typing import Any

BYTE_ORDER_MAGIC = 0x1A2B3C4D
BLOCK_SECTION = 0x0A0D0D0A
BLOCK_INTERFACE = 1
BLOCK_STATISTICS = 5
BLOCK_ENHANCED_PACKET = 6

OPTION_END = 0
OPTION_COMMENT = 1
OPTION_USER_APPLICATION = 4  # of a section
OPTION_NAME = 2  # of an interface
OPTION_TIME_RESOLUTION = 9  # of an interface
OPTION_RECEIVED = 4  # of interface statistics
OPTION_DROPPED = 5  # of interface statistics

APPLICATION = b"netlab capture"
PCAP_NANOSECONDS = 0xA1B23C4D
READ_SIZE = 1 << 20

_PACKET = struct.Struct("<IIIIIII")


def section_block(comment: str) -> bytes:
    """A section header with a comment, if it is not empty."""
    header = struct.pack("<IHHq", BYTE_ORDER_MAGIC, 1, 0, -1)
    options = _options((OPTION_COMMENT, comment.encode()[:0xFFFF]), (OPTION_USER_APPLICATION, APPLICATION))
    return _block(BLOCK_SECTION, header + options)


def interface_block(link_type: int, name: str) -> bytes:
    """An interface whose times are in nanoseconds."""
    options = _options((OPTION_NAME, name.encode()), (OPTION_TIME_RESOLUTION, b"\x09"))
    return _block(BLOCK_INTERFACE, struct.pack("<HHI", link_type, 0, 0) + options)


def packet_block(time_ns: int, frame: bytes, length: int) -> bytes:
    """A packet of the section's first interface; ``length`` is the frame's on the wire, in bytes."""
    captured = len(frame)
    padding = -captured % 4
    size = 32 + captured + padding
    header = _PACKET.pack(BLOCK_ENHANCED_PACKET, size, 0, time_ns >> 32, time_ns & 0xFFFF_FFFF, captured, length)
    return b"".join((header, frame, bytes(padding), size.to_bytes(4, "little")))


def statistics_block(time_ns: int, received: int, dropped: int) -> bytes:
    """The kernel's counters of packets, at the end of a capture."""
    counters = _options(
        (OPTION_RECEIVED, received.to_bytes(8, "little")), (OPTION_DROPPED, dropped.to_bytes(8, "little"))
    )
    return _block(BLOCK_STATISTICS, struct.pack("<III", 0, time_ns >> 32, time_ns & 0xFFFF_FFFF) + counters)


def _options(*options: tuple[int, bytes]) -> bytes:
    """Options that have a value, each padded to four bytes, and the end marker."""
    packed = [struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options if value]
    return b"".join(packed) + struct.pack("<HH", OPTION_END, 0)


def _padded(value: bytes) -> bytes:
    return value + bytes(-len(value) % 4)


def _block(kind: int, body: bytes) -> bytes:
    body = _padded(body)
    length = len(body) + 12
    return struct.pack("<II", kind, length) + body + struct.pack("<I", length)


class Writer:
    """A pcapng file that is whole after every call: what a write could not complete is taken off again."""

    def __init__(self, descriptor: int) -> None:
        self.packets = 0
        self.last_ns = 0
        self._descriptor = descriptor
        self._size = 0

    def write(self, blocks: list[bytes]) -> None:
        """Write whole blocks; OSError, with all of them in the file that there was room for."""
        rest = memoryview(b"".join(blocks))
        written = 0
        try:
            while written < len(rest):
                written += os.write(self._descriptor, rest[written:])
        except OSError:
            fitting = 0
            for block in blocks:
                if fitting + len(block) > written:
                    break
                fitting += len(block)
                self._count(block)
            self._size += fitting
            with contextlib.suppress(OSError):  # the first error is the one to tell
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += written
        for block in blocks:
            self._count(block)

    def _count(self, block: bytes) -> None:
        if block[0] == BLOCK_ENHANCED_PACKET:
            self.packets += 1
            self.last_ns = int.from_bytes(block[12:16], "little") << 32 | int.from_bytes(block[16:20], "little")


class PcapStream:
    """pcap as it comes out of a pipe, in any pieces."""

    def __init__(self) -> None:
        self.link_type: int | None = None  # from the file's header, when that has come
        self._rest = b""
        self._order = "<"
        self._nanoseconds = 1

    def blocks(self, data: bytes) -> list[bytes]:
        """The packets that ``data`` completes, as pcapng blocks."""
        data = self._rest + data
        at = 0
        if self.link_type is None:
            if len(data) < 24:
                self._rest = data
                return []
            self._take_header(data)
            at = 24
        record = struct.Struct(self._order + "IIII")
        found = []
        end = len(data)
        while end - at >= 16:
            seconds, fraction, captured, length = record.unpack_from(data, at)
            if end - at - 16 < captured:
                break
            at += 16
            time_ns = seconds * 1_000_000_000 + fraction * self._nanoseconds
            found.append(packet_block(time_ns, data[at : at + captured], length))
            at += captured
        self._rest = data[at:]
        return found

    def _take_header(self, data: bytes) -> None:
        """tcpdump writes in the machine's byte order, and in microseconds where the capture has no better."""
        self._order = "<" if sys.byteorder == "little" else ">"
        magic, self.link_type = struct.unpack_from(self._order + "I16xI", data)
        self._nanoseconds = 1 if magic == PCAP_NANOSECONDS else 1000


def main(part: str, path: str, interface: str, comment: str) -> int:
    """Write pcap from standard input to ``part``, and rename it to ``path`` at the end; tell what happened in JSON.

    The first line says ``{}`` when the file is there, or the error; the last one the packets, the time of the last,
    the file's name and an error that ended it early. Where no capture came at all, no file is left.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        _tell({"error": f"cannot write {part}: {error.strerror}"})
        return 1
    writer = Writer(descriptor)
    try:
        writer.write([section_block(comment)])
    except OSError as error:
        os.unlink(part)
        _tell({"error": f"cannot write {part}: {error.strerror}"})
        return 1
    _tell({})
    error_text, came = _copy(writer, interface)
    if not came:
        os.unlink(part)
        _tell({"packets": 0, "error": error_text})
        return 0
    try:
        os.replace(part, path)
    except OSError as error:
        error_text = error_text or f"cannot rename {part}: {error.strerror}"
        path = part
    _tell({"packets": writer.packets, "last_ns": writer.last_ns, "path": path, "error": error_text})
    return 0


def _copy(writer: Writer, interface: str) -> tuple[str, bool]:
    """Write what comes until it ends or cannot be written: the error, if any, and whether there was a capture."""
    stream = PcapStream()
    described = False
    try:
        while data := os.read(0, READ_SIZE):
            blocks = stream.blocks(data)
            if stream.link_type is not None and not described:
                writer.write([interface_block(stream.link_type & 0x03FF_FFFF, interface)])
                described = True
            writer.write(blocks)
    except OSError as error:
        return str(error.strerror), described
    return "", described


def _tell(what: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody may be left to be told
        os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
