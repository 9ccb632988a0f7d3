"""Node memory between an application and the kernel: where sockets read to, and what they have yet to write.

``ReceiveBuffers`` are posted like those of a network device, and for all sockets of a core together, since what a read
did not fill waits for the next one. ``SendQueue`` is the application's own chains; the kernel reads them in place.
"""

from collections import deque

from ebbrt.iobuf import IOBuf, view
from ebbrt.memory import Buffer, MemoryAllocator
from ebbrt.syscalls import IoVector

# Each as large as all before it, so that n bytes received pin at most 2n + 512. Together: the longest UDP datagram.
SIZES = (512, 512, 1024, 2048, 4096, 8192, 16384, 32768)
MOST_PIECES = 64  # in one writev


class ReceiveBuffers:
    """Buffers of the ``SIZES``, in order, for the next read; those that a read filled leave as a chain."""

    def __init__(self, allocator: MemoryAllocator) -> None:
        self._allocator = allocator
        self._vector = IoVector(allocator.memory)
        self._buffers: list[Buffer | None] = [None] * len(SIZES)
        self._missing = len(SIZES)  # buffers from the front on that the last read took
        self.count = 0  # buffers from the front on that are there

    def fill(self) -> bool:
        """Replace what was taken, as far as node memory goes; False when there is not even a first buffer."""
        for index in range(self._missing):
            if self._buffers[index] is None:
                buffer = self._allocator.allocate(SIZES[index])
                if buffer is None:
                    break
                self._buffers[index] = buffer
                self._vector.put(index, buffer.offset, SIZES[index])
        else:
            self._missing = 0
        self.count = self._buffers.index(None) if None in self._buffers else len(SIZES)
        return self.count > 0

    def read(self, fd: int) -> int:
        """``readv`` into them: bytes read, or -errno. ``fill`` was called and found memory."""
        return self._vector.read(fd, self.count)

    def views(self) -> list[memoryview]:
        """The buffers, for ``recvmsg_into``."""
        return [
            self._allocator.memory.view(buffer.offset, SIZES[index])
            for index, buffer in enumerate(self._buffers[: self.count])
            if buffer is not None
        ]

    def take(self, length: int) -> IOBuf:
        """The first ``length`` bytes as a chain: the caller's own from here on."""
        head = last = self._take_one(0, length)
        index = 1
        while length > SIZES[index - 1]:
            length -= SIZES[index - 1]
            last.next = self._take_one(index, length)
            last = last.next
            index += 1
        self._missing = max(self._missing, index)
        return head

    def _take_one(self, index: int, length: int) -> IOBuf:
        buffer = self._buffers[index]
        assert buffer is not None
        self._buffers[index] = None
        return view(buffer, buffer.offset, min(length, SIZES[index]))


class SendQueue:
    """What one connection has been given to send and the kernel has not taken: ``length`` bytes."""

    def __init__(self) -> None:
        self._pieces: deque[IOBuf] = deque()
        self.length = 0

    def append(self, chain: IOBuf) -> None:
        """Put a chain at the end. Pieces without bytes are dropped."""
        piece: IOBuf | None = chain
        while piece is not None:
            following = piece.next
            piece.next = None
            if piece.length:
                self._pieces.append(piece)
                self.length += piece.length
            piece = following

    def write(self, vector: IoVector, fd: int) -> int:
        """One ``writev`` of the first pieces: bytes the kernel took, which are dropped here, or -errno."""
        count = 0
        for piece in self._pieces:
            vector.put(count, piece.start, piece.length)
            count += 1
            if count == MOST_PIECES:
                break
        written = vector.write(fd, count)
        if written > 0:
            self._drop(written)
        return written

    def clear(self) -> None:
        """Forget everything."""
        self._pieces.clear()
        self.length = 0

    def _drop(self, count: int) -> None:
        self.length -= count
        while count:
            piece = self._pieces[0]
            if count < piece.length:
                piece.advance(count)
                piece.owns_headroom = False  # what lies before the data now has been sent, and is not headroom
                return
            count -= piece.length
            self._pieces.popleft()
