"""The TCP header (RFC 9293 section 3.1) and its options as views of node memory.

``TcpHeader`` is one object that is aimed at a header with ``at`` and then reads or writes fields where they lie.
``TcpOptions`` parses the options of a received header; the ``write_`` functions put down ours: maximum segment size
(RFC 9293), window scale and timestamps (RFC 7323), selective acknowledgment (RFC 2018).
"""

from ebbrt.memory import NodeMemory
from stack.constants import MOST_SACK_BLOCKS

OPTION_END = 0
OPTION_NOP = 1
OPTION_MSS = 2
OPTION_WINDOW_SCALE = 3
OPTION_SACK_PERMITTED = 4
OPTION_SACK = 5
OPTION_TIMESTAMPS = 8
OPTION_FAST_OPEN = 34
LEAST_FAST_OPEN_COOKIE = 4  # RFC 7413 section 4.1.1
MOST_FAST_OPEN_COOKIE = 16
MOST_WINDOW_SCALE = 14  # RFC 7323 section 2.3


class TcpHeader:
    """A TCP header in node memory. ``at`` comes first; lengths have been checked by whoever aims it."""

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self.start = 0

    def at(self, memory: NodeMemory, start: int) -> None:
        """Aim at the header whose first byte is at ``start``."""
        self.memory = memory
        self.start = start

    def source_port(self) -> int:
        """Port of the sender."""
        return self.memory.mem[self.start] << 8 | self.memory.mem[self.start + 1]

    def destination_port(self) -> int:
        """Port of the receiver."""
        return self.memory.mem[self.start + 2] << 8 | self.memory.mem[self.start + 3]

    def sequence(self) -> int:
        """Sequence number of the first byte, or of the SYN."""
        return _read32(self.memory, self.start + 4)

    def acknowledgment(self) -> int:
        """The next sequence number the sender expects."""
        return _read32(self.memory, self.start + 8)

    def data_offset(self) -> int:
        """Length of the header with its options, in bytes: 0 to 60."""
        return (self.memory.mem[self.start + 12] >> 4) << 2

    def flags(self) -> int:
        """The eight control bits, CWR first, FIN last."""
        return self.memory.mem[self.start + 13]

    def window(self) -> int:
        """The window field, unscaled."""
        return self.memory.mem[self.start + 14] << 8 | self.memory.mem[self.start + 15]

    def write(
        self,
        source_port: int,
        destination_port: int,
        sequence: int,
        acknowledgment: int,
        data_offset: int,
        flags: int,
        window: int,
    ) -> None:
        """Write the 20 fixed bytes, with checksum and urgent pointer zero; ``data_offset`` in bytes."""
        self.memory.mem[self.start] = source_port >> 8
        self.memory.mem[self.start + 1] = source_port & 0xFF
        self.memory.mem[self.start + 2] = destination_port >> 8
        self.memory.mem[self.start + 3] = destination_port & 0xFF
        _write32(self.memory, self.start + 4, sequence)
        _write32(self.memory, self.start + 8, acknowledgment)
        self.memory.mem[self.start + 12] = data_offset << 2
        self.memory.mem[self.start + 13] = flags
        self.memory.mem[self.start + 14] = window >> 8
        self.memory.mem[self.start + 15] = window & 0xFF
        _write32(self.memory, self.start + 16, 0)


class TcpOptions:
    """The options we understand. Absent: ``mss`` 0, ``window_scale`` -1, ``has_timestamps`` False, ``sack_blocks`` 0.

    ``sack``: ``sack_blocks`` pairs of sequence numbers, the first of a block and that behind it (RFC 2018 section 3).
    ``fast_open_length``: of the cookie of RFC 7413, 0 when one is asked for, -1 without the option.
    """

    def __init__(self) -> None:
        self.mss = 0
        self.window_scale = -1
        self.has_timestamps = False
        self.timestamp_value = 0
        self.timestamp_echo = 0
        self.sack_permitted = False
        self.sack_blocks = 0
        self.fast_open_length = -1
        self._fast_open_start = 0
        self.sack = memoryview(bytearray(4 * 2 * MOST_SACK_BLOCKS)).cast("I")

    def parse(self, memory: NodeMemory, start: int, length: int) -> bool:
        """Read ``length`` bytes of options at ``start``; False when they are malformed (RFC 9293 MUST-7)."""
        self.mss = 0
        self.window_scale = -1
        self.has_timestamps = False
        self.sack_permitted = False
        self.sack_blocks = 0
        self.fast_open_length = -1
        if length == 0:
            return True
        if length == 12 and _read32(memory, start) == 0x0101080A:  # what nearly every segment carries
            self._read_timestamps(memory, start + 4)
            return True
        end = start + length
        while start < end:
            kind = memory.mem[start]
            if kind == OPTION_END:
                return True
            if kind == OPTION_NOP:
                start += 1
                continue
            if end - start < 2:
                return False
            size = memory.mem[start + 1]
            if size < 2 or size > end - start or not self._read_option(memory, start, kind, size):
                return False
            start += size
        return True

    def _read_option(self, memory: NodeMemory, start: int, kind: int, size: int) -> bool:
        """One option of ``size`` bytes; False when it is one we know with a length it cannot have."""
        if kind == OPTION_MSS:
            if size != 4:
                return False
            self.mss = memory.mem[start + 2] << 8 | memory.mem[start + 3]
        elif kind == OPTION_WINDOW_SCALE:
            if size != 3:
                return False
            self.window_scale = min(memory.mem[start + 2], MOST_WINDOW_SCALE)
        elif kind == OPTION_TIMESTAMPS:
            if size != 10:
                return False
            self._read_timestamps(memory, start + 2)
        elif kind == OPTION_SACK:
            return self._read_sack(memory, start + 2, size - 2)
        elif kind == OPTION_FAST_OPEN:
            self._read_fast_open(start + 2, size - 2)
        elif kind == OPTION_SACK_PERMITTED:
            if size != 2:
                return False
            self.sack_permitted = True
        return True

    def _read_sack(self, memory: NodeMemory, start: int, length: int) -> bool:
        """The blocks; False when they are none, or not whole."""
        if length == 0 or length % 8:
            return False
        self.sack_blocks = min(length // 8, MOST_SACK_BLOCKS)
        for index in range(2 * self.sack_blocks):
            self.sack[index] = _read32(memory, start + 4 * index)
        return True

    def fast_open_cookie(self, memory: NodeMemory) -> bytes:
        """The cookie in the options that were parsed last, in ``memory``; only if there is the option."""
        return memory.read(self._fast_open_start, self.fast_open_length)

    def _read_fast_open(self, start: int, length: int) -> None:
        """A cookie of a length that there cannot be counts as none (RFC 7413 section 4.1.1)."""
        if length == 0 or (LEAST_FAST_OPEN_COOKIE <= length <= MOST_FAST_OPEN_COOKIE and length % 2 == 0):
            self.fast_open_length = length
            self._fast_open_start = start

    def _read_timestamps(self, memory: NodeMemory, start: int) -> None:
        self.has_timestamps = True
        self.timestamp_value = _read32(memory, start)
        self.timestamp_echo = _read32(memory, start + 4)


def write_mss(memory: NodeMemory, start: int, mss: int) -> int:
    """Write the maximum segment size option; the 4 bytes it takes."""
    _write32(memory, start, OPTION_MSS << 24 | 4 << 16 | mss)
    return 4


def write_fast_open(memory: NodeMemory, start: int, cookie: bytes) -> int:
    """Write the Fast Open option (RFC 7413) and NOPs up to a multiple of 4; the bytes it takes, 20 at most."""
    memory.mem[start] = OPTION_FAST_OPEN
    memory.mem[start + 1] = 2 + len(cookie)
    memory.write(start + 2, cookie)
    end = 2 + len(cookie)
    while end % 4:
        memory.mem[start + end] = OPTION_NOP
        end += 1
    return end


def write_window_scale(memory: NodeMemory, start: int, shift: int) -> int:
    """Write the window scale option behind a NOP; the 4 bytes it takes."""
    _write32(memory, start, OPTION_NOP << 24 | OPTION_WINDOW_SCALE << 16 | 3 << 8 | shift)
    return 4


def write_timestamps(memory: NodeMemory, start: int, value: int, echo: int) -> int:
    """Write the timestamps option behind two NOPs (RFC 7323 appendix A); the 12 bytes it takes."""
    _write32(memory, start, 0x0101080A)
    _write32(memory, start + 4, value)
    _write32(memory, start + 8, echo)
    return 12


def write_sack_permitted_and_timestamps(memory: NodeMemory, start: int, value: int, echo: int) -> int:
    """Write both options of a SYN: the first in the place of the second's NOPs, as Linux does; the 12 bytes."""
    write_timestamps(memory, start, value, echo)
    _write32(memory, start, OPTION_SACK_PERMITTED << 24 | 2 << 16 | OPTION_TIMESTAMPS << 8 | 10)
    return 12


def write_sack_permitted(memory: NodeMemory, start: int) -> int:
    """Write the SACK-permitted option behind two NOPs; the 4 bytes it takes."""
    _write32(memory, start, OPTION_NOP << 24 | OPTION_NOP << 16 | OPTION_SACK_PERMITTED << 8 | 2)
    return 4


def write_sack(memory: NodeMemory, start: int, blocks: int) -> int:
    """Write the head of a SACK option for ``blocks`` blocks behind two NOPs; the 4 bytes it takes."""
    _write32(memory, start, OPTION_NOP << 24 | OPTION_NOP << 16 | OPTION_SACK << 8 | (2 + 8 * blocks))
    return 4


def write_sack_block(memory: NodeMemory, start: int, left: int, right: int) -> int:
    """Write one block; the 8 bytes it takes."""
    _write32(memory, start, left)
    _write32(memory, start + 4, right)
    return 8


def _read32(memory: NodeMemory, at: int) -> int:
    return memory.mem[at] << 24 | memory.mem[at + 1] << 16 | memory.mem[at + 2] << 8 | memory.mem[at + 3]


def _write32(memory: NodeMemory, at: int, value: int) -> None:
    memory.mem[at] = value >> 24
    memory.mem[at + 1] = value >> 16 & 0xFF
    memory.mem[at + 2] = value >> 8 & 0xFF
    memory.mem[at + 3] = value & 0xFF
