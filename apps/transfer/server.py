"""The server of transfers: sends the stream that a client asks for, or takes one; see ``protocol``.

It sees ``ebbrt.network`` and ``ebbrt.iobuf`` only, so it runs on a node's own stack and over kernel sockets alike.
"""

from apps.transfer.protocol import DIGEST_LENGTH, GET, PORT, REQUEST_LENGTH, Digest, ProtocolError, Request
from apps.transfer.stream import Source, TransferEnd
from ebbrt.memory import MemoryAllocator
from ebbrt.network import NetworkManager, TcpConnection, TcpHandler

MOST_CONNECTIONS = 256  # at a time: each may hold a block of a MiB


class TransferServer:
    """Answers the requests of clients on ``port``."""

    def __init__(self, network: NetworkManager, allocator: MemoryAllocator, port: int = PORT) -> None:
        self._network = network
        self._port = port
        self.allocator = allocator
        self.sessions: set[Session] = set()
        self.gets = 0
        self.puts = 0
        self.problems: dict[str, int] = {}
        self.bytes_sent = 0
        self.bytes_received = 0

    def start(self) -> None:
        """Listen. Raises AddressInUseError when the port is taken."""
        self._network.listen(self._port, self._accept)

    def _accept(self, connection: TcpConnection) -> TcpHandler:
        session = Session(self)
        session.connection = connection
        if len(self.sessions) >= MOST_CONNECTIONS:
            session.give_up("too many connections")
        else:
            self.sessions.add(session)
        return session

    def statistics(self) -> dict[str, object]:
        """Connections now, requests, bytes of streams, and what went wrong, by reason."""
        return {
            "connections": len(self.sessions),
            "gets": self.gets,
            "puts": self.puts,
            "bytes_sent": self.bytes_sent + sum(session.bytes_sent for session in self.sessions),
            "bytes_received": self.bytes_received + sum(session.bytes_received for session in self.sessions),
            "problems": dict(self.problems),
        }


class Session(TransferEnd):
    """One client's connection."""

    def __init__(self, server: TransferServer) -> None:
        super().__init__(server.allocator)
        self._server = server
        self._seed: int | None = None
        self._stream: Source | None = None  # of the seed, kept for the next request
        self._receiving = False
        self.expect_message(REQUEST_LENGTH)

    def connected(self) -> None:
        """See TcpHandler."""
        self.connection.disable_nagle()

    def message_received(self, message: bytes) -> None:
        """A request, or the digest behind what a client has put."""
        if self._receiving:
            self._receiving = False
            self.send_message(self.digest.value())
            self.expect_message(REQUEST_LENGTH)
            return
        try:
            request = Request.unpack(message)
            self._carry_out(request)
        except ProtocolError:
            self.give_up("not a request")
        except MemoryError:
            self.give_up("no memory")

    def stream_received(self) -> None:
        """All that was put: its digest follows."""
        self.expect_message(DIGEST_LENGTH)

    def stream_sent(self) -> None:
        """All that was to be got."""
        self.send_message(self.digest.value())
        self.expect_message(REQUEST_LENGTH)

    def peer_closed(self) -> None:
        """See TcpHandler."""
        self.connection.close()

    def closed(self, reason: str) -> None:
        """See TcpHandler."""
        TransferEnd.closed(self, reason)
        server = self._server
        if self in server.sessions:
            server.sessions.discard(self)
            server.bytes_sent += self.bytes_sent
            server.bytes_received += self.bytes_received
        if reason not in ("closed", "aborted"):
            server.problems[reason] = server.problems.get(reason, 0) + 1

    def give_up(self, why: str) -> None:
        """End the connection, and count it."""
        self._server.problems[why] = self._server.problems.get(why, 0) + 1
        self.connection.abort()

    def _carry_out(self, request: Request) -> None:
        self.digest = Digest(request.checked)
        if request.operation == GET:
            self._server.gets += 1
            self.send_stream(self._source_of(request.seed), request.length)
        else:
            self._server.puts += 1
            self._receiving = True
            self.expect_stream(request.length)

    def _source_of(self, seed: int) -> Source:
        if self._stream is None or self._seed != seed:
            self._stream = Source(self.allocator, seed)
            self._seed = seed
        else:
            self._stream.restart()
        return self._stream
