"""Captures of a simulation: pcap files with virtual time, written as frames enter links.

The format is pcap with nanoseconds (draft-ietf-opsawg-pcap), little-endian on every machine, so that a seed fixes
every byte.
"""

import struct
from pathlib import Path

from captures.link_layers import ETHERNET

_MAGIC = 0xA1B23C4D  # nanoseconds
_SNAPLEN = 1 << 18
_FILE_HEADER = struct.Struct("<IHHiIII")
_PACKET_HEADER = struct.Struct("<IIII")


class Capture:
    """An open capture file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames = 0
        self._file = path.open("wb")
        self._file.write(_FILE_HEADER.pack(_MAGIC, 2, 4, 0, 0, _SNAPLEN, ETHERNET))

    def write(self, frame: bytes, now: int) -> None:
        """Write a frame that enters a link at ``now`` ns."""
        seconds, nanoseconds = divmod(now, 1_000_000_000)
        self._file.write(_PACKET_HEADER.pack(seconds, nanoseconds, len(frame), len(frame)))
        self._file.write(frame)
        self.frames += 1

    def close(self) -> None:
        """Complete the file."""
        self._file.close()
