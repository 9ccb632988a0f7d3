"""IOBuf: a view of node memory, chained; what travels between device, stack and application without being copied.

An ``IOBuf`` is (buffer, start, length, next). Bytes below ``start`` are headroom, bytes behind the data are tailroom:
a layer takes its header off with ``advance`` and puts one on with ``retreat``. Several IOBufs may view one ``Buffer``;
its memory goes back to the allocator when the last of them is dropped.

Headroom belongs to one view only: the one that ``allocate`` returned. Views made by ``clone_view`` or carved from
received frames own none, since what lies before their data is somebody else's.
"""

import cython

from ebbrt.memory import Buffer, MemoryAllocator, NodeMemory


@cython.freelist(128)  # the order matters: docs/adr/0001-compiler.md
@cython.cclass
class IOBuf:
    """``length`` bytes of node memory from offset ``start``, kept alive by ``buffer``; ``next`` continues the data.

    Made by ``view`` and ``allocate``: a constructor's arguments would be Python objects in the compiled build.
    """

    buffer: Buffer
    memory: NodeMemory
    start: int
    length: int
    next: "IOBuf | None"
    owns_headroom: bool

    def headroom(self) -> int:
        """Bytes before the data that this view may write headers into."""
        return self.start - self.buffer.offset if self.owns_headroom else 0

    def tailroom(self) -> int:
        """Bytes of the buffer behind the data."""
        return self.buffer.offset + self.buffer.size() - self.start - self.length

    def advance(self, count: int) -> None:
        """Drop ``count`` bytes from the front of this view (not of the chain); count <= length."""
        self.start += count
        self.length -= count

    def retreat(self, count: int) -> None:
        """Take ``count`` bytes of headroom in front of the data; the caller has checked ``headroom()``."""
        self.start -= count
        self.length += count

    def trim_end(self, count: int) -> None:
        """Drop ``count`` bytes from the end of this view (not of the chain); count <= length."""
        self.length -= count

    def append(self, chain: "IOBuf") -> None:
        """Put ``chain`` behind the last view of this chain."""
        last = self
        while last.next is not None:
            last = last.next
        last.next = chain

    def chain_length(self) -> int:
        """Bytes in the whole chain."""
        total = self.length
        piece = self.next
        while piece is not None:
            total += piece.length
            piece = piece.next
        return total

    def pinned(self) -> int:
        """Bytes of the buffers that the whole chain keeps alive, one counted for each piece."""
        total = self.buffer.size()
        piece = self.next
        while piece is not None:
            total += piece.buffer.size()
            piece = piece.next
        return total

    def clone_view(self) -> "IOBuf":
        """A second view of this piece's bytes: no headroom of its own, not chained."""
        return view(self.buffer, self.start, self.length)

    def slice(self, start: int, length: int) -> "IOBuf":
        """A second view of ``length`` bytes of this piece from ``start`` on, relative to its data."""
        return view(self.buffer, self.start + start, length)

    def clone_chain(self) -> "IOBuf":
        """A second view of every piece."""
        head = last = self.clone_view()
        piece = self.next
        while piece is not None:
            last.next = piece.clone_view()
            last = last.next
            piece = piece.next
        return head

    def advance_chain(self, count: int) -> "IOBuf | None":
        """Drop ``count`` bytes from the front of the chain; the new head, or None when nothing is left."""
        piece: IOBuf | None = self
        while piece is not None and count >= piece.length:
            count -= piece.length
            piece = piece.next
        if piece is not None:
            piece.start += count
            piece.length -= count
        return piece

    def truncate_chain(self, length: int) -> None:
        """Keep the first ``length`` bytes of the chain and drop the rest; 1 <= length <= chain_length()."""
        piece = self
        while length > piece.length and piece.next is not None:
            length -= piece.length
            piece = piece.next
        piece.length = length
        piece.next = None

    def write(self, at: int, data: bytes) -> None:
        """Put ``data`` at ``at`` bytes from the start of this view. Not for payload that is already in node memory."""
        self.memory.write(self.start + at, data)

    def copy_out(self) -> bytes:
        """The whole chain's bytes, copied, and counted as copied payload."""
        pieces = []
        piece: IOBuf | None = self
        while piece is not None:
            pieces.append(self.memory.read(piece.start, piece.length))
            self.memory.payload_bytes_copied += piece.length
            piece = piece.next
        return b"".join(pieces)

    def peek(self, start: int, length: int) -> bytes:
        """``length`` bytes of this piece from ``start`` on, as a Python object: for keys and tests, not payload."""
        return self.memory.read(self.start + start, length)


def view(buffer: Buffer, start: int, length: int) -> IOBuf:
    """``length`` bytes of ``buffer`` from ``start`` on, which is an offset into node memory."""
    iobuf: IOBuf = IOBuf.__new__(IOBuf)
    iobuf.buffer = buffer
    iobuf.memory = buffer.memory
    iobuf.start = start
    iobuf.length = length
    iobuf.next = None
    iobuf.owns_headroom = False
    return iobuf


def allocate(allocator: MemoryAllocator, length: int, headroom: int = 0) -> IOBuf | None:
    """A fresh view of ``length`` bytes with at least ``headroom`` before them; None when node memory is exhausted."""
    buffer = allocator.allocate(headroom + length)
    if buffer is None:
        return None
    iobuf = view(buffer, buffer.offset + headroom, length)
    iobuf.owns_headroom = True
    return iobuf
