"""Applications for nodes of a simulation: for tests."""

from collections.abc import Callable

from ebbrt.iobuf import IOBuf
from ebbrt.network import TcpConnection, TcpHandler
from netlab.sim.node import SimulatedNode

PORT = 7


class Echo(TcpHandler):
    """Sends back what it gets."""

    def receive(self, data: IOBuf) -> None:
        self.connection.send(data)

    def peer_closed(self) -> None:
        self.connection.close()


class Client(TcpHandler):
    """Sends ``data``, and closes once so many bytes have come back."""

    def __init__(self, node: SimulatedNode, data: bytes) -> None:
        self.node = node
        self.data = data
        self.received = bytearray()
        self.ended = ""

    def connected(self) -> None:
        self.connection.send(self.node.buffer(self.data))

    def receive(self, data: IOBuf) -> None:
        piece: IOBuf | None = data
        while piece is not None:
            self.received += piece.memory.view(piece.start, piece.length)
            piece = piece.next
        if len(self.received) >= len(self.data):
            self.connection.close()

    def closed(self, reason: str) -> None:
        self.ended = reason


def echo(node: SimulatedNode) -> None:
    """Serve it."""

    def accept(connection: TcpConnection) -> TcpHandler:
        return Echo()

    node.network.listen(PORT, accept)


def ask(address: str, data: bytes) -> Callable[[SimulatedNode], Client]:
    """A client that connects when its node boots."""

    def start(node: SimulatedNode) -> Client:
        client = Client(node, data)
        node.network.connect(address, PORT, client)
        return client

    return start
