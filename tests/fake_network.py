"""A Network Manager without a network, for tests of applications: what they send is kept, what they receive is given.

``FakeConnection.deliver`` puts bytes into receive buffers as a node's driver would have: pieces of at most
``piece`` bytes, each with a 512-byte buffer of its own.
"""

from collections.abc import Callable

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.network import AddressInUseError, NetworkManager, TcpConnection, TcpHandler

BUFFER = 512
PIECE = 400  # bytes of payload in one receive buffer


def received(allocator: MemoryAllocator, data: bytes, piece: int = PIECE) -> IOBuf:
    """``data`` as a chain of received pieces."""
    head: IOBuf | None = None
    last: IOBuf | None = None
    for start in range(0, len(data), piece):
        part = data[start : start + piece]
        view = allocate(allocator, len(part), BUFFER - len(part))
        assert view is not None
        view.owns_headroom = False
        view.write(0, part)
        if last is None:
            head = view
        else:
            last.next = view
        last = view
    assert head is not None
    return head


def content(chain: IOBuf) -> bytes:
    """The bytes of a chain, without counting them as copied."""
    parts = []
    piece: IOBuf | None = chain
    while piece is not None:
        parts.append(piece.peek(0, piece.length))
        piece = piece.next
    return b"".join(parts)


class FakeConnection(TcpConnection):
    """One connection whose peer is the test."""

    def __init__(self, allocator: MemoryAllocator, window: int = 1 << 30) -> None:
        self.allocator = allocator
        self.window = window
        self.sent: list[IOBuf] = []
        self.is_open = True
        self.is_closing = False
        self.is_paused = False
        self.held: list[IOBuf] = []

    def disable_nagle(self) -> None:
        """Nothing here waits."""

    def deliver(self, data: bytes, piece: int = PIECE) -> None:
        """Let the application receive ``data``; held back while it has paused the connection."""
        chain = received(self.allocator, data, piece)
        if self.is_paused:
            self.held.append(chain)
        elif self.is_open:
            self.handler.receive(chain)

    def take(self) -> bytes:
        """What has been sent since the last call."""
        data = b"".join(content(chain) for chain in self.sent)
        self.sent.clear()
        return data

    def finish(self, reason: str) -> None:
        """The connection's end."""
        if self.is_open:
            self.is_open = False
            self.held.clear()
            handler = self.handler
            self.handler = None  # type: ignore[assignment]
            handler.closed(reason)

    def send(self, data: IOBuf) -> bool:
        if not self.is_open or self.is_closing:
            return False
        self.sent.append(data)
        self.window = max(0, self.window - data.chain_length())
        return True

    def send_window(self) -> int:
        return self.window

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        while self.held and not self.is_paused:
            self.handler.receive(self.held.pop(0))

    def close(self) -> None:
        self.is_closing = True

    def abort(self) -> None:
        self.finish("aborted")

    def remote(self) -> tuple[str, int]:
        return ("198.18.0.2", 40000)


class FakeNetwork(NetworkManager):
    """Listens, and connects when the test says so."""

    def __init__(self, allocator: MemoryAllocator) -> None:
        self.allocator = allocator
        self.listeners: dict[int, Callable[[TcpConnection], TcpHandler]] = {}

    def listen(self, port: int, accept: Callable[[TcpConnection], TcpHandler], backlog: int = 1024) -> None:
        if port in self.listeners:
            raise AddressInUseError(f"port {port} is in use")
        self.listeners[port] = accept

    def open(self, port: int = 11211, window: int = 1 << 30) -> FakeConnection:
        """A new connection to what listens on ``port``."""
        connection = FakeConnection(self.allocator, window)
        connection.handler = self.listeners[port](connection)
        connection.handler.connection = connection
        connection.handler.connected()
        return connection
