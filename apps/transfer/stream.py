"""One end of a transfer's connection: bytes that come are counted and hashed, bytes that go are views of one buffer.

``TransferEnd`` is what server and client have in common. What is sent is never copied: every block is a view of the
seed's prepared buffer behind eight bytes of its number, and the chain is as long as the connection's send window.
"""

from apps.transfer.protocol import BLOCK, NUMBER_LENGTH, Digest, block_of, number_bytes
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.network import TcpHandler

HEADROOM = 192  # for all headers below, so that they need no buffer of their own


class Source:
    """The stream of ``seed``, from its beginning: ``take`` gives its next bytes.

    Raises MemoryError when node memory has no room for a block of it.
    """

    def __init__(self, allocator: MemoryAllocator, seed: int) -> None:
        block = allocate(allocator, BLOCK)
        if block is None:
            raise MemoryError("no node memory left for a block of the stream")
        block.write(0, block_of(seed))
        self._allocator = allocator
        self._block = block
        self._number = 0
        self._at = 0  # in the current block

    def restart(self) -> None:
        """Begin again."""
        self._number = 0
        self._at = 0

    def take(self, most: int, digest: Digest) -> IOBuf | None:
        """The next bytes of the stream, at least one and at most ``most``, which ``digest`` is shown.

        None when node memory has no room for a block's number.
        """
        if self._at < NUMBER_LENGTH:
            piece = bytes_in_node_memory(self._allocator, number_bytes(self._number)[self._at : self._at + most])
            if piece is None:
                return None
        else:
            piece = self._block.slice(self._at, min(most, BLOCK - self._at))
        if digest.checked:
            digest.update(piece.memory.view(piece.start, piece.length))
        self._at += piece.length
        if self._at == BLOCK:
            self._at = 0
            self._number += 1
        return piece


class TransferEnd(TcpHandler):
    """Takes ``expect``ed bytes, a stream or a message, and sends a stream as the window allows."""

    def __init__(self, allocator: MemoryAllocator) -> None:
        self.allocator = allocator
        self.digest = Digest(False)
        self.bytes_received = 0
        self.bytes_sent = 0
        self._source: Source | None = None
        self._to_send = 0
        self._stream_left = 0
        self._message = b""
        self._message_length = 0

    # What comes

    def expect_stream(self, length: int) -> None:
        """Count and hash the next ``length`` bytes; ``stream_received`` follows, at once when there are none."""
        self._stream_left = length
        if not length:
            self.stream_received()

    def expect_message(self, length: int) -> None:
        """Collect the next ``length`` bytes, few and more than none, for ``message_received``."""
        self._message = b""
        self._message_length = length

    def stream_received(self) -> None:
        """The whole stream has come."""
        raise NotImplementedError

    def message_received(self, message: bytes) -> None:
        """The whole message has come."""
        raise NotImplementedError

    def receive(self, data: IOBuf) -> None:
        """See TcpHandler. What comes unexpected ends the connection."""
        piece: IOBuf | None = data
        while piece is not None:
            following = piece.next
            while piece.length:
                if self._stream_left:
                    count = min(piece.length, self._stream_left)
                    if self.digest.checked:
                        self.digest.update(piece.memory.view(piece.start, count))
                    piece.advance(count)
                    self.bytes_received += count
                    self._stream_left -= count
                    if not self._stream_left:
                        self.stream_received()
                elif self._message_length:
                    count = min(piece.length, self._message_length - len(self._message))
                    self._message += piece.peek(0, count)
                    piece.advance(count)
                    if len(self._message) == self._message_length:
                        self._message_length = 0
                        self.message_received(self._message)
                else:
                    self.connection.abort()
                    return
            piece = following

    # What goes

    def send_stream(self, source: Source, length: int) -> None:
        """Send ``length`` bytes from ``source``; ``stream_sent`` follows once all are on their way."""
        self._source = source
        self._to_send = length
        self._pump(source)

    def send_message(self, message: bytes) -> None:
        """Send a few bytes; without node memory for them the connection ends."""
        piece = bytes_in_node_memory(self.allocator, message)
        if piece is None:
            self.connection.abort()
        else:
            self.connection.send(piece)

    def stream_sent(self) -> None:
        """The whole stream has been given to the connection."""
        raise NotImplementedError

    def send_window_opened(self) -> None:
        """See TcpHandler."""
        if self._source is not None:
            self._pump(self._source)

    def _pump(self, source: Source) -> None:
        """Send as much as there is room for; without node memory for it the connection ends."""
        while self._to_send:
            room = min(self.connection.send_window(), self._to_send)
            if not room:
                return
            chain = self._take(source, room)
            if chain is None:
                self.connection.abort()
                return
            self._to_send -= room
            self.bytes_sent += room
            if not self.connection.send(chain):
                self._source = None  # it has ended, or will: ``closed`` says why
                return
        self._source = None
        self.stream_sent()

    def _take(self, source: Source, length: int) -> IOBuf | None:
        """The next ``length`` bytes as one chain."""
        chain = last = source.take(length, self.digest)
        while last is not None:
            length -= last.length
            if not length:
                return chain
            last.next = source.take(length, self.digest)
            last = last.next
        return None

    def closed(self, reason: str) -> None:
        """See TcpHandler."""
        self._source = None


def bytes_in_node_memory(allocator: MemoryAllocator, data: bytes) -> IOBuf | None:
    """``data``, which is short, copied to a buffer of its own with headroom; None without memory for it."""
    piece = allocate(allocator, len(data), HEADROOM)
    if piece is not None:
        piece.write(0, data)
    return piece
