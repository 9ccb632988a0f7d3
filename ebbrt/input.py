"""What a connection has sent and its protocol has not yet taken: a chain of the received buffers themselves.

A request may be spread over many pieces and many ``receive`` calls, and one piece may hold many requests. ``Input``
gives the parser a flat look at the front, and hands out a value as views of the pieces it arrived in. Every byte is
walked a bounded number of times, whatever the pieces.

A received piece keeps its whole buffer alive. A peer that sends a byte at a time would make one byte cost 512, so
``settle`` copies such crumbs together (counted as payload copied) when they pin more than twice their bytes and
``SLACK``; ``compact`` does the same for a finished value. See docs/adr/0002-buffer-ownership.md.
"""

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator

SLACK = 1024  # bytes that may be pinned beyond twice the payload
GATHER = 4096  # crumbs are gathered in buffers of this size


class Input:
    """Received bytes in order: ``length`` of them, from the front of ``head`` to the end of ``tail``.

    ``scratch`` is where ``flat`` puts together a front that is spread over pieces, and as long as the longest that is
    asked for; the connections of a core share one.
    """

    def __init__(self, allocator: MemoryAllocator, scratch: IOBuf) -> None:
        self.allocator = allocator
        self.scratch = scratch
        self.head: IOBuf | None = None
        self.tail: IOBuf | None = None
        self.length = 0
        # Pieces behind ``_gathered`` (all of them when it is None) are as received, of ``_loose`` bytes in buffers of
        # ``_pinned`` bytes. Not kept while requests are consumed, but counted again in ``settle``.
        self._gathered: IOBuf | None = None
        self._loose = 0
        self._pinned = 0
        self._consumed = False

    def append(self, data: IOBuf) -> None:
        """Take a received chain."""
        if self.tail is None:
            self.head = data
        else:
            self.tail.next = data
        piece: IOBuf | None = data
        while piece is not None:
            self._loose += piece.length
            self._pinned += piece.buffer.size()
            self.length += piece.length
            self.tail = piece
            piece = piece.next

    def flat(self, count: int) -> int:
        """Offset in node memory where the first ``count`` bytes lie in a row; count <= length and the scratch."""
        head = self.head
        assert head is not None
        if head.length >= count:
            return head.start
        memory = head.memory
        at = self.scratch.start
        piece: IOBuf | None = head
        while count and piece is not None:
            step = min(piece.length, count)
            memory.view(at, step)[:] = memory.view(piece.start, step)
            at += step
            count -= step
            piece = piece.next
        return self.scratch.start

    def skip(self, count: int) -> None:
        """Drop the first ``count`` bytes; count <= length."""
        self.length -= count
        self._consumed = True
        piece = self.head
        while piece is not None and count >= piece.length:
            count -= piece.length
            piece = piece.next
        if piece is None:
            self.tail = None
        elif count:
            piece.advance(count)
        self.head = piece

    def take(self, count: int) -> IOBuf | None:
        """The first ``count`` bytes as a chain of their own, not copied; None for no bytes; count <= length."""
        if count == 0:
            return None
        self.length -= count
        self._consumed = True
        first = piece = self.head
        assert piece is not None
        assert first is not None
        if piece.length > count:
            first = piece.slice(0, count)
            piece.advance(count)
            return first
        last = piece
        while piece is not None and count >= piece.length:
            count -= piece.length
            last = piece
            piece = piece.next
        last.next = None
        if piece is None:
            self.tail = None
        elif count:
            last.next = piece.slice(0, count)
            piece.advance(count)
        self.head = piece
        return first

    def settle(self) -> bool:
        """Bound the memory that an unfinished request pins; False when there is none left to gather it in."""
        if self._consumed:
            self._recount()
        if self._pinned <= 2 * self._loose + SLACK:
            return True
        return self._gather()

    def _recount(self) -> None:
        """Count what is left behind consumed requests: it is part of what came last."""
        self._consumed = False
        self._gathered = None
        self._loose = self.length
        self._pinned = self.head.pinned() if self.head is not None else 0

    def _gather(self) -> bool:
        """Copy the loose pieces behind what has been gathered already."""
        last = self._gathered
        piece = self.head if last is None else last.next
        while piece is not None:
            done = 0
            while done < piece.length:
                room = last.tailroom() if last is not None else 0
                if room == 0:
                    fresh = allocate(self.allocator, GATHER)
                    if fresh is None:
                        return False
                    fresh.length = 0
                    if last is None:
                        self.head = fresh
                    else:
                        last.next = fresh
                    last = fresh
                    room = last.tailroom()
                assert last is not None
                step = min(room, piece.length - done)
                copy(piece, done, last, step)
                done += step
            piece = piece.next
        assert last is not None
        last.next = None
        self._gathered = self.tail = last
        self._loose = self._pinned = 0
        return True

    def clear(self) -> None:
        """Forget everything."""
        self.head = self.tail = self._gathered = None
        self.length = 0
        self._consumed = True


def copy(source: IOBuf, start: int, target: IOBuf, length: int) -> None:
    """Copy bytes of ``source`` from ``start`` on behind the data of ``target``, and count them."""
    end = target.start + target.length
    target.memory.view(end, length)[:] = source.memory.view(source.start + start, length)
    target.memory.payload_bytes_copied += length
    target.length += length


def compact(allocator: MemoryAllocator, chain: IOBuf, length: int) -> IOBuf | None:
    """``chain`` itself, or a copy of it when it pins too much; None when there is no memory for the copy."""
    if chain.pinned() <= 2 * length + SLACK:
        return chain
    return copy_together(allocator, chain, length)


def copy_together(allocator: MemoryAllocator, chain: IOBuf, length: int) -> IOBuf | None:
    """A copy of a chain of ``length`` bytes, in buffers that they fill; None when there is no memory for it."""
    head: IOBuf | None = None
    last: IOBuf | None = None
    piece: IOBuf | None = chain
    while piece is not None:
        done = 0
        while done < piece.length:
            if last is None or last.length == min(GATHER, last.buffer.size()):
                fresh = allocate(allocator, min(length, GATHER))
                if fresh is None:
                    return None
                fresh.length = 0
                if last is None:
                    head = fresh
                else:
                    last.next = fresh
                last = fresh
            step = min(last.tailroom(), piece.length - done)
            copy(piece, done, last, step)
            done += step
            length -= step
        piece = piece.next
    return head
