"""One core's side of its pair of rings with another core: messages out, messages in, and buffers lent both ways.

A message is a header, a table of the buffers that come along, and data:

    length u32   of all that follows the header
    op     u8    what it is (SPAWN ... TOKENS)
    kind   u8    of a MESSAGE: whose it is
    pieces u16   buffers lent with it, each:  token u64, offset of the buffer u64, start u64, length u32, its size u32

The ring carries a stream: a message larger than the ring goes through it in parts. What an event sends is put
together when the event ends, written at once, and followed by one interrupt (an eventfd). What finds no room waits
here, in order; the sender sets the ring's ``waiting`` before it interrupts the receiver, and the receiver, whenever it
is interrupted, looks at it after it has read, and interrupts the sender back. Each flag and each count is written
before the system call that makes the other side look, so none is overlooked.

A lent buffer is not copied. ``_lent`` keeps it alive, by its token, until the other core has dropped what it made of
it. Tokens go back in batches: see ``core_links``.
"""

import os
import struct
from collections import deque
from collections.abc import Callable

from ebbrt.borrowed import Returns, borrow
from ebbrt.core_ring import CoreRing
from ebbrt.cores import CoreError
from ebbrt.iobuf import IOBuf, view
from ebbrt.memory import Buffer, MemoryAllocator

# What a message is. The last three answer for what was taken in before: they are never refused.
SPAWN = 1
CALL = 2
MESSAGE = 3
RESULT = 4
FAILURE = 5
TOKENS = 6

LARGEST_CROSSING = 16 << 20  # bytes of one message
MOST_WAITING = 64 << 20  # bytes that may wait for a core that does not read
MOST_PIECES = 0xFFFF

_header = struct.Struct("=IBBH")
_piece = struct.Struct("=QQQII")
HEADER = _header.size
PIECE = _piece.size

Arrived = Callable[["CoreChannel", int, int, memoryview, IOBuf | None], object]


class CoreChannel:
    """The two rings between this core and core ``number``, and what is under way in them."""

    def __init__(
        self,
        number: int,
        outgoing: CoreRing,
        incoming: CoreRing,
        doorbell: int,
        allocator: MemoryAllocator,
        returns: Returns,
    ) -> None:
        self.number = number
        self.returns = returns
        self._ring_out = outgoing
        self._ring_in = incoming
        self._doorbell = doorbell  # the other core's eventfd
        self._allocator = allocator
        self._queue: deque[bytes | memoryview] = deque()
        self._queued = 0  # bytes
        self._waiting = False  # the ring's flag, as this side set it
        self._lent: dict[int, Buffer] = {}
        self._next_token = 0
        self._partial = bytearray()  # the beginning of a message whose rest has not come
        self._needed = HEADER  # how long it must be before it is looked at
        self._sent_messages = self._sent_bytes = self._batches = self._full = self._received_messages = 0
        self._buffers_lent = self._given_back = self._borrowed = 0

    # Out

    def queue(self, op: int, kind: int, data: bytes, chain: IOBuf | None = None) -> None:
        """Let a message go with the next ``flush``. Raises CoreError when it is too large or too much waits."""
        if len(data) > LARGEST_CROSSING:
            raise CoreError(f"{len(data)} bytes are more than may cross at once ({LARGEST_CROSSING}): send a buffer")
        if self._queued > MOST_WAITING and op <= MESSAGE:
            raise CoreError(f"core {self.number} does not read: {self._queued} bytes wait for it")
        table = b"" if chain is None else self._lend(chain)
        count = len(table) // PIECE
        message = _header.pack(len(table) + len(data), op, kind, count) + table + data
        self._queue.append(message)
        self._queued += len(message)
        self._sent_messages += 1

    def flush(self) -> None:
        """Write what is queued, as far as there is room, and interrupt the other core."""
        tokens = self.returns.take()
        if tokens:
            self.queue(TOKENS, 0, struct.pack(f"={len(tokens)}Q", *tokens))
        if not self._queue:
            return
        data = self._cut(self._ring_out.room())
        self._ring_out.write(data)
        self._sent_bytes += len(data)
        waiting = bool(self._queue)
        if not data and waiting == self._waiting:
            return  # it knows
        if waiting:
            self._full += 1
        self._ring_out.set_waiting(waiting)
        self._waiting = waiting
        self._batches += 1
        os.eventfd_write(self._doorbell, 1)

    def is_waiting(self) -> bool:
        """Whether something found no room."""
        return self._waiting

    def has_much_room(self) -> bool:
        """Whether half of the ring is free: worth an interrupt."""
        return 2 * self._ring_out.room() >= self._ring_out.size

    def _cut(self, room: int) -> bytes:
        """The first ``room`` bytes of the queue."""
        parts: list[bytes | memoryview] = []
        while self._queue and room:
            part = self._queue.popleft()
            if len(part) > room:
                whole = memoryview(part)
                part = whole[:room]
                self._queue.appendleft(whole[room:])
            parts.append(part)
            room -= len(part)
            self._queued -= len(part)
        return b"".join(parts)

    def _lend(self, chain: IOBuf) -> bytes:
        """The table of a chain's pieces, whose buffers are kept from now on."""
        table = []
        piece: IOBuf | None = chain
        while piece is not None:
            buffer = piece.buffer
            token = self._next_token
            self._next_token += 1
            self._lent[token] = buffer
            table.append(_piece.pack(token, buffer.offset, piece.start, piece.length, buffer.size()))
            piece = piece.next
        if len(table) > MOST_PIECES:
            for token in range(self._next_token - len(table), self._next_token):
                del self._lent[token]
            raise CoreError(f"a chain of {len(table)} pieces cannot cross at once (at most {MOST_PIECES})")
        self._buffers_lent += len(table)
        return b"".join(table)

    # In

    def drain(self, arrived: Arrived, interrupted: bool) -> bool:
        """Take what is in the ring, and give each whole message to ``arrived(channel, op, kind, data, chain)``.

        False when the ring was empty. A sender that waits for room is told; when the ring was empty, only in answer
        to an interrupt, since it has been told then.
        """
        data = self._ring_in.read()
        if data:
            self._take(data, arrived)
        if (data or interrupted) and self._ring_in.is_sender_waiting():
            os.eventfd_write(self._doorbell, 1)
        return bool(data)

    def _take(self, data: bytes, arrived: Arrived) -> None:
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed:
                return
            data = bytes(self._partial)
            self._partial = bytearray()
        whole = memoryview(data)
        at = 0
        self._needed = HEADER
        while len(data) - at >= HEADER:
            length, op, kind, pieces = _header.unpack_from(data, at)
            end = at + HEADER + length
            if end > len(data):
                self._needed = end - at
                break
            at += HEADER
            self._received_messages += 1
            if op == TOKENS:
                self._take_back(whole[at:end])
            else:
                chain = self._borrow(data, at, pieces) if pieces else None
                arrived(self, op, kind, whole[at + pieces * PIECE : end], chain)
            at = end
        self._partial += whole[at:]

    def _borrow(self, data: bytes, at: int, pieces: int) -> IOBuf:
        """Views of the lent buffers whose table is at ``at``."""
        head = last = None
        for index in range(pieces):
            token, offset, start, length, size = _piece.unpack_from(data, at + index * PIECE)
            piece = view(borrow(self._allocator, self.returns, token, offset, size), start, length)
            if last is None:
                head = piece
            else:
                last.next = piece
            last = piece
        self._borrowed += pieces
        assert head is not None
        return head

    def _take_back(self, tokens: memoryview) -> None:
        """The other core needs these buffers no more."""
        for (token,) in struct.iter_unpack("=Q", tokens):
            del self._lent[token]
        self._given_back += len(tokens) // 8

    def statistics(self) -> dict[str, int]:
        """Messages and bytes, batches (one interrupt each), how often there was no room, and buffers lent."""
        return {
            "sent_messages": self._sent_messages,
            "sent_bytes": self._sent_bytes,
            "received_messages": self._received_messages,
            "batches": self._batches,
            "full": self._full,
            "waiting_bytes": self._queued,
            "buffers_lent": self._buffers_lent,
            "buffers_given_back": self._given_back,
            "buffers_lent_now": len(self._lent),
            "buffers_borrowed": self._borrowed,
        }
