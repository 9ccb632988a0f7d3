"""The client of transfers: one request, and whether both ends have the same digest; see ``protocol``."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from apps.transfer.protocol import DIGEST_LENGTH, GET, OPERATIONS, PORT, Digest, Request
from apps.transfer.stream import Source, TransferEnd
from ebbrt.clock import Clock
from ebbrt.memory import MemoryAllocator
from ebbrt.network import NetworkManager


@dataclass(frozen=True)
class Outcome:
    """What became of a transfer.

    ``failure``: why it did not end, "" when it did. ``digest``, ``peer_digest``: hexadecimal, of what this end and the
    other one sent or received. ``seconds``: from the call of connect to the last byte.
    """

    operation: str
    bytes: int
    seconds: float
    digest: str
    peer_digest: str
    failure: str = ""

    def equal(self) -> bool:
        """Whether all of it arrived as it was sent."""
        return not self.failure and self.digest == self.peer_digest

    def document(self) -> dict[str, object]:
        """The JSON form."""
        return {**asdict(self), "equal": self.equal()}


class TransferClient(TransferEnd):
    """One transfer; ``finished`` is told the outcome, once, when the connection has ended.

    Raises MemoryError when node memory has no room for the block that is to be sent.
    """

    def __init__(
        self,
        network: NetworkManager,
        allocator: MemoryAllocator,
        clock: Clock,
        request: Request,
        finished: Callable[[Outcome], object],
    ) -> None:
        super().__init__(allocator)
        self._network = network
        self._clock = clock
        self._request = request
        self._finished = finished
        self._stream = Source(allocator, request.seed) if request.operation != GET else None
        self._peer_digest = b""
        self._began = 0
        self._ended = 0
        self.digest = Digest(request.checked)

    def start(self, address: str, port: int = PORT) -> None:
        """Connect. Raises AddressInUseError when no local port is free."""
        self._began = self._clock.now()
        self._network.connect(address, port, self)

    def connected(self) -> None:
        """See TcpHandler."""
        self.connection.disable_nagle()
        self.send_message(self._request.pack())
        if self._stream is None:
            self.expect_stream(self._request.length)
        else:
            self.send_stream(self._stream, self._request.length)

    def stream_received(self) -> None:
        """All that was to be got: what the server sent is what its digest says."""
        self.expect_message(DIGEST_LENGTH)

    def stream_sent(self) -> None:
        """All that was to be put."""
        self.send_message(self.digest.value())
        self.expect_message(DIGEST_LENGTH)

    def message_received(self, message: bytes) -> None:
        """The server's digest."""
        self._peer_digest = message
        self._ended = self._clock.now()
        self.connection.close()

    def peer_closed(self) -> None:
        """See TcpHandler: before its time, if there is no digest yet."""
        self.connection.close()

    def closed(self, reason: str) -> None:
        """See TcpHandler."""
        super().closed(reason)
        failure = "" if self._peer_digest else reason
        names = {number: name for name, number in OPERATIONS.items()}
        self._finished(
            Outcome(
                names[self._request.operation],
                self.bytes_received + self.bytes_sent,
                ((self._ended or self._clock.now()) - self._began) / 1e9,
                self.digest.value().hex(),
                self._peer_digest.hex(),
                failure,
            )
        )

    def statistics(self) -> dict[str, object]:
        """Bytes of the stream so far."""
        return {"bytes_sent": self.bytes_sent, "bytes_received": self.bytes_received}
