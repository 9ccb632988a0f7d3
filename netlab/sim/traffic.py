"""Traffic for simulations: a server that answers each request with so many bytes, and clients that ask it.

A request is the length of the reply, 8 bytes big-endian. So one server serves short requests, and transfers of any
length: the sender of bulk is a ``Responder`` that was asked for a lot. Payload is zeros, and never copied.
"""

import random
from collections.abc import Callable

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.network import TcpConnection, TcpHandler
from netlab.sim.node import SimulatedNode

PORT = 5002
REQUEST = 8  # bytes
BLOCK = 16 << 10  # bytes of zeros, of which replies are views


class Responder:
    """A server on a node: ``simulation.add_node("server", application=Responder)``.

    sent: bytes of replies that were given to connections.
    """

    def __init__(self, node: SimulatedNode, port: int = PORT) -> None:
        self.requests = 0
        self.sent = 0
        self.block = _block(node.allocator)
        node.network.listen(port, self._accept)

    def _accept(self, connection: TcpConnection) -> TcpHandler:
        return _Response(self)

    def statistics(self) -> dict[str, int]:
        """Requests, and bytes of replies."""
        return {"requests": self.requests, "bytes_sent": self.sent}


class _Response(TcpHandler):
    """One connection of a Responder."""

    def __init__(self, server: Responder) -> None:
        self._server = server
        self._asked = b""
        self._left = 0

    def connected(self) -> None:
        self.connection.disable_nagle()

    def receive(self, data: IOBuf) -> None:
        self._asked += data.copy_out()
        while len(self._asked) >= REQUEST:
            self._left += int.from_bytes(self._asked[:REQUEST], "big")
            self._asked = self._asked[REQUEST:]
            self._server.requests += 1
        self._pump()

    def send_window_opened(self) -> None:
        self._pump()

    def peer_closed(self) -> None:
        self.connection.close()

    def _pump(self) -> None:
        while self._left:
            count = min(self._left, BLOCK, self.connection.send_window())
            if not count or not self.connection.send(self._server.block.slice(0, count)):
                return
            self._left -= count
            self._server.sent += count


class Requester(TcpHandler):
    """A client's connection: ``ask`` when ``idle`` is called, with the requester: once connected, and after replies.

    received: bytes of replies. finished_at: the time of the last whole reply. closed_with: why the connection ended.
    """

    def __init__(self, node: SimulatedNode, address: str, idle: Callable[["Requester"], object]) -> None:
        self.node = node
        self.replies = 0
        self.received = 0
        self.asked_at = 0
        self.longest = 0  # ns from a request to the end of its reply
        self.closed_with = ""
        self._idle = idle
        self._left = 0
        node.network.connect(address, PORT, self)

    def ask(self, length: int) -> None:
        """Ask for a reply of ``length`` bytes, at least one."""
        self.asked_at = self.node.clock.now()
        self._left = length
        self.connection.send(self.node.buffer(length.to_bytes(REQUEST, "big")))

    def connected(self) -> None:
        """See TcpHandler."""
        self._idle(self)

    def receive(self, data: IOBuf) -> None:
        """See TcpHandler."""
        length = data.chain_length()
        self.received += length
        self._left -= length
        if not self._left:
            self.replies += 1
            self.longest = max(self.longest, self.node.clock.now() - self.asked_at)
            self._idle(self)

    def closed(self, reason: str) -> None:
        """See TcpHandler."""
        self.closed_with = reason


def ask_at_random(
    address: Callable[[random.Random], str], rate: float, length: Callable[[random.Random], int], seed: str
) -> Callable[[SimulatedNode], Requester]:
    """A client that asks one server, chosen once, ``rate`` times a second when replies take no time (exponential)."""
    chance = random.Random(seed)

    def idle(requester: Requester) -> None:
        wait = round(chance.expovariate(rate) * 1e9)
        requester.node.events.set_timer(wait, lambda: requester.ask(length(chance)))

    return lambda node: Requester(node, address(chance), idle)


def fetch(address: str, length: int) -> Callable[[SimulatedNode], Requester]:
    """A client that asks for one reply, and closes when it has come."""

    def idle(requester: Requester) -> None:
        if requester.replies:
            requester.connection.close()
        else:
            requester.ask(length)

    return lambda node: Requester(node, address, idle)


def _block(allocator: MemoryAllocator) -> IOBuf:
    block = allocate(allocator, BLOCK)
    if block is None:
        raise MemoryError("a node without memory for 16 KiB")
    return block
