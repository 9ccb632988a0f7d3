"""Frames of the Messenger: writing a header in front of a message, and taking frames off a stream of received bytes.

``messenger.protocol`` has the layout. Nothing is copied: a message leaves behind a header in its own headroom, and
what arrives are views of the receive buffers; but of a peer that sends crumbs they are put together (``ebbrt.input``).
"""

from ebbrt.input import Input
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.messenger.protocol import FRAME_HEADER, FRAME_MAGIC, HEADERS_BELOW, LARGEST_DATA, PING, START, VERSION


def put_header(
    allocator: MemoryAllocator, kind: int, ebb_id: int, sequence: int, call_id: int, data: IOBuf | None, length: int
) -> IOBuf | None:
    """``data`` (``length`` bytes, or None) behind a header; in its headroom where it has some, else in a small buffer.

    The acknowledgment is left to ``put_acknowledgment``. None when there is no node memory for the header.
    """
    if data is not None and data.headroom() >= FRAME_HEADER + HEADERS_BELOW:
        frame = data
        frame.retreat(FRAME_HEADER)
    else:
        own = allocate(allocator, FRAME_HEADER, HEADERS_BELOW)
        if own is None:
            return None
        frame = own
        if length:
            frame.next = data
    memory = frame.memory
    at = frame.start
    memory.mem[at] = FRAME_MAGIC
    memory.mem[at + 1] = VERSION
    memory.mem[at + 2] = kind
    memory.mem[at + 3] = 0
    put32(memory, at + 4, length)
    put64(memory, at + 8, ebb_id)
    put64(memory, at + 16, sequence)
    put64(memory, at + 32, call_id)
    return frame


def put_acknowledgment(frame: IOBuf, acknowledgment: int) -> None:
    """Say in a frame that has not been sent yet what was taken from the peer."""
    put64(frame.memory, frame.start + 24, acknowledgment)


class FrameReader:
    """The stream of one connection, cut into frames. After ``advance`` said True the fields are those of a frame.

    ``problem`` says what is malformed, and the stream is over. ``scratch`` is FRAME_HEADER bytes of node memory where
    a header that is spread over buffers is put together; readers may share one.
    """

    def __init__(self, allocator: MemoryAllocator, scratch: IOBuf) -> None:
        self.problem = ""
        self.kind = 0
        self.ebb_id = 0
        self.sequence = 0
        self.acknowledgment = 0
        self.call_id = 0
        self.length = 0
        self.data: IOBuf | None = None  # the reader keeps no reference: whoever takes it sets None
        self._memory = scratch.memory
        self._input = Input(allocator, scratch)
        self._needed = FRAME_HEADER

    def append(self, chain: IOBuf) -> None:
        """Take received bytes."""
        self._input.append(chain)

    def advance(self) -> bool:
        """Take the next frame off the stream; False when it is not complete, or malformed."""
        stream = self._input
        if stream.length < self._needed or self.problem:
            return False
        memory = self._memory
        at = stream.flat(FRAME_HEADER)
        if memory.mem[at] != FRAME_MAGIC:
            self.problem = "not a frame"
            return False
        if memory.mem[at + 1] != VERSION:
            self.problem = "wrong version"
            return False
        kind = memory.mem[at + 2]
        if kind < START or kind > PING or memory.mem[at + 3]:
            self.problem = "unknown type of frame"
            return False
        length = get32(memory, at + 4)
        if length > LARGEST_DATA:
            self.problem = "frame too large"
            return False
        self._needed = FRAME_HEADER + length
        if stream.length < self._needed:
            return False
        self._needed = FRAME_HEADER
        self.kind = kind
        self.length = length
        self.ebb_id = get64(memory, at + 8)
        self.sequence = get64(memory, at + 16)
        self.acknowledgment = get64(memory, at + 24)
        self.call_id = get64(memory, at + 32)
        head = stream.head
        assert head is not None
        stream.skip(FRAME_HEADER)
        self.data = stream.take(length) if length else head.slice(0, 0)
        return True

    def settle(self) -> bool:
        """Bound what an unfinished frame pins, whatever pieces it comes in; False when there is no memory for it."""
        return self._input.settle()

    def clear(self) -> None:
        """Forget everything."""
        self.data = None
        self._input.clear()


def get32(memory: NodeMemory, at: int) -> int:
    """Four bytes in network order."""
    return memory.mem[at] << 24 | memory.mem[at + 1] << 16 | memory.mem[at + 2] << 8 | memory.mem[at + 3]


def get64(memory: NodeMemory, at: int) -> int:
    """Eight bytes in network order."""
    high = get32(memory, at)
    return high << 32 | get32(memory, at + 4)


def put32(memory: NodeMemory, at: int, value: int) -> None:
    """Write the low 32 bits of ``value`` in network order."""
    memory.mem[at] = value >> 24 & 0xFF
    memory.mem[at + 1] = value >> 16 & 0xFF
    memory.mem[at + 2] = value >> 8 & 0xFF
    memory.mem[at + 3] = value & 0xFF


def put64(memory: NodeMemory, at: int, value: int) -> None:
    """Write eight bytes in network order."""
    put32(memory, at, value >> 32)
    put32(memory, at + 4, value)
