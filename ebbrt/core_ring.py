"""A ring of bytes in node memory, from one core to another: one writes, one reads, and nobody locks.

Its two control words lie on cache lines of their own, in front of the data, and each has one writer:

    +0    head: bytes ever written              written by the sender
    +8    waiting: 1 while the sender has more than there is room for
    +64   tail: bytes ever read                 written by the receiver
    +128  the data, of a power of two bytes

The sender writes data first and head after; the receiver reads head first and data after. x86 keeps both orders as
they are written (stores are seen in order, loads are made in order), and so does the compiler, for which each access
is a call or goes through a buffer it knows nothing of. Nothing here relies on a store being seen before a *later load
of the same core*, the one order that x86 does not keep: whoever goes to sleep is told by an eventfd, and that system
call comes after the store (``core_links``).
"""

from ebbrt.memory import NodeMemory

HEADER = 128  # two cache lines
SMALLEST_RING = 64


class CoreRing:
    """One end of the ring whose header is at ``start``; each of the two cores makes its own."""

    def __init__(self, memory: NodeMemory, start: int, size: int) -> None:
        if size < SMALLEST_RING or size & (size - 1) or start % 64:
            raise ValueError(f"a ring has a power of two of bytes, from {SMALLEST_RING}, at a cache line; not {size}")
        self.size = size
        self._mask = size - 1
        self._data = memory.view(start + HEADER, size)
        words = memory.view(start, HEADER).cast("Q")
        self._words = words

    def reset(self) -> None:
        """Make the ring empty, before either side uses it."""
        self._words[0] = self._words[1] = self._words[8] = 0

    def room(self) -> int:
        """Bytes that the sender may write now."""
        return self.size - (self._words[0] - self._words[8])

    def write(self, data: bytes) -> None:
        """Put ``data``, at most ``room()`` bytes, behind what is there, and let the receiver see it. The sender's."""
        head = self._words[0]
        at = head & self._mask
        first = self.size - at
        if len(data) <= first:
            self._data[at : at + len(data)] = data
        else:
            self._data[at:] = data[:first]
            self._data[: len(data) - first] = data[first:]
        self._words[0] = head + len(data)

    def read(self) -> bytes:
        """Everything that is there, at most ``size`` bytes, which then is free again. The receiver's."""
        tail = self._words[8]
        length = self._words[0] - tail
        if length == 0:
            return b""
        at = tail & self._mask
        data = bytes(self._data[at : at + length])
        if len(data) < length:
            data += bytes(self._data[: length - len(data)])
        self._words[8] = tail + length
        return data

    def set_waiting(self, waiting: bool) -> None:
        """Say whether the sender wants to be told of room. The sender's; an interrupt has to follow it."""
        self._words[1] = waiting

    def is_sender_waiting(self) -> bool:
        """Whether the sender wants to be told of room. The receiver's."""
        return bool(self._words[1])
