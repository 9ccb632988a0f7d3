"""Nodes with Messengers on a wire in memory, for tests of the Messenger."""

import random
from collections.abc import Callable

from ebbrt.ebb import MESSENGER
from ebbrt.future import Future
from ebbrt.iobuf import IOBuf
from ebbrt.messages import MessageHandler, NodeId, to_message
from ebbrt.messenger import TcpMessenger
from tests.fakes import read_chain
from tests.node_pair import VirtualNetwork, VirtualNode

SECRET = b"a secret of the application"
PORT = 9100
EBB = 70000


class Echo(MessageHandler):
    """Keeps what it is sent; answers a call with what was asked, or as ``answer`` says."""

    def __init__(self, node: "MessengerNode | None" = None) -> None:
        self.node = node
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

    def __init__(self, machine: VirtualNode, number: int = 0, secret: bytes = SECRET, port: int = PORT) -> None:
        self.machine = machine
        self.id = NodeId(number or machine.number, machine.address, port)
        seed = random.Random(machine.number * 1000 + self.id.number * 10 + port)
        self.messenger = TcpMessenger(
            machine.network, machine.events, machine.allocator, machine.core, self.id, secret, machine.clock, seed
        )
        machine.core.install(MESSENGER, self.messenger)
        self.echo = Echo(self)
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
