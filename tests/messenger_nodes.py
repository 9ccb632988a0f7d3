"""Nodes with Messengers, for its tests: whole nodes on a wire in memory, or two Messengers joined by pipes."""

import random
from collections.abc import Callable

from ebbrt.ebb import MESSENGER, Core
from ebbrt.future import Future
from ebbrt.iobuf import IOBuf
from ebbrt.messages import MessageHandler, NodeId, to_message
from ebbrt.messenger.tcp_messenger import TcpMessenger
from tests.fakes import make_allocator, read_chain
from tests.node_pair import VirtualNetwork, VirtualNode
from tests.pipe_network import PipeNetwork, Pipes

SECRET = b"a secret of the application"
PORT = 9100
EBB = 70000


class Echo(MessageHandler):
    """Keeps what it is sent; answers a call with what was asked, or as ``answer`` says."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.senders: list[NodeId] = []
        self.answer: Callable[[bytes], IOBuf | Future[IOBuf]] | None = None

    def receive_message(self, sender: NodeId, data: IOBuf) -> None:
        self.senders.append(sender)
        self.received.append(read_chain(data))

    def receive_call(self, sender: NodeId, data: IOBuf) -> IOBuf | Future[IOBuf]:
        self.senders.append(sender)
        self.received.append(read_chain(data))
        return data if self.answer is None else self.answer(self.received[-1])


class MessengerNode:
    """A virtual node with a Messenger, and an Ebb that keeps what it gets; by default node number = machine number."""

    def __init__(
        self, machine: VirtualNode, number: int | None = None, secret: bytes = SECRET, port: int = PORT
    ) -> None:
        self.machine = machine
        self.id = NodeId(machine.number if number is None else number, machine.address, port)
        seed = random.Random(machine.number * 1000 + self.id.number * 10 + port)
        self.messenger = TcpMessenger(
            machine.network, machine.events, machine.allocator, machine.core, self.id, secret, machine.clock, seed
        )
        machine.core.install(MESSENGER, self.messenger)
        self.echo = Echo()
        machine.core.install(EBB, self.echo)

    def message(self, data: bytes) -> IOBuf:
        return to_message(self.machine.allocator, data)

    def send(self, to: "MessengerNode", data: bytes, ebb_id: int = EBB) -> None:
        self.messenger.send(to.id, ebb_id, self.message(data))

    def call(self, to: "MessengerNode", data: bytes, timeout: int = 5_000_000_000, ebb_id: int = EBB) -> Future[IOBuf]:
        return self.messenger.call(to.id, ebb_id, self.message(data), timeout)

    def statistics(self, name: str) -> int:
        return self.messenger.statistics()[name]

    def problems(self) -> dict[str, int]:
        return self.messenger.statistics()["problems"]


def make_pair(**options: float) -> tuple[VirtualNetwork, MessengerNode, MessengerNode]:
    """Two nodes with Messengers, not connected."""
    network = VirtualNetwork(2, **options)  # type: ignore[arg-type]
    a, b = (MessengerNode(machine) for machine in network.nodes)
    return network, a, b


class PipeWorld:
    """Two Messengers joined by pipes."""

    def __init__(self, seed: int = 0, piece: int = 400) -> None:
        self.pipes = Pipes(piece)
        self.allocator = make_allocator(32 << 20)
        self.echoes = [Echo(), Echo()]
        self.nodes = [NodeId(number, f"198.18.0.{number}", 9100) for number in (1, 2)]
        self.messengers = [self._messenger(index, seed) for index in range(2)]

    def _messenger(self, index: int, seed: int) -> TcpMessenger:
        core = Core()
        core.install(EBB, self.echoes[index])
        node = self.nodes[index]
        network = PipeNetwork(self.pipes, node.address, self.allocator)
        events = self.pipes.events
        own_random = random.Random(seed * 2 + index)
        return TcpMessenger(network, events, self.allocator, core, node, SECRET, self.pipes.clock, own_random)

    def send(self, index: int, data: bytes) -> None:
        self.messengers[index].send(self.nodes[1 - index], EBB, to_message(self.allocator, data))

    def close(self) -> None:
        for messenger in self.messengers:
            messenger.close()
        assert self.pipes.events.failures == 0
        self.pipes.events.close()
