"""The Messenger on a core above 0: messages, calls, errors and back-pressure through core 0."""

import pytest

from ebbrt.cores import CoreLinks, CoreMessageHandler
from ebbrt.future import TimedOutError
from ebbrt.iobuf import IOBuf
from ebbrt.messages import (
    LARGEST_MESSAGE,
    BackPressureError,
    MessageTooLargeError,
    NodeId,
    NodeLostError,
    RemoteCallError,
    to_message,
)
from ebbrt.messenger.core_messenger import CoreMessenger, CoreMessengerServer
from tests.fakes import read_chain
from tests.messenger_nodes import EBB, PipeWorld
from tests.node_pair import SECOND


class Links(CoreLinks):
    """Of cores in one process: what is sent arrives in a later event, as views."""

    def __init__(self, world: PipeWorld, number: int, cores: list["Links"]) -> None:
        self.world = world
        self.number = number
        self.cores = cores
        self.handlers: dict[int, CoreMessageHandler] = {}
        cores.append(self)

    def register(self, kind: int, handler: CoreMessageHandler) -> None:
        self.handlers[kind] = handler

    def send(self, core: int, kind: int, data: bytes, chain: IOBuf | None = None) -> None:
        assert len(data) <= 4096
        views = None if chain is None else chain.clone_chain()
        self.world.pipes.events.spawn(lambda: self.cores[core].handlers[kind].receive(self.number, data, views), True)


class Cores:
    """Node 1 with two cores, and node 2."""

    def __init__(self) -> None:
        self.world = PipeWorld()
        cores: list[Links] = []
        zero, one = Links(self.world, 0, cores), Links(self.world, 1, cores)
        allocator = self.world.allocator
        self.messenger = CoreMessenger(one, self.world.nodes[0], allocator)
        self.server = CoreMessengerServer(zero, self.world.messengers[0], allocator)
        self.other = self.world.nodes[1]

    def message(self, data: bytes) -> IOBuf:
        return to_message(self.world.allocator, data)

    def send(self, data: bytes) -> None:
        self.messenger.send(self.other, EBB, self.message(data))


def test_messages_and_calls_of_another_core() -> None:
    cores = Cores()
    for data in (b"one", b"", b"two"):
        cores.send(data)
    call = cores.messenger.call(cores.other, EBB, cores.message(b"three"), SECOND)
    cores.world.pipes.run(call.done)
    assert read_chain(call.result()) == b"three"
    assert cores.world.echoes[1].received == [b"one", b"", b"two", b"three"]
    assert cores.world.echoes[1].senders == [cores.messenger.local()] * 4
    assert cores.world.allocator.memory.payload_bytes_copied == 0
    cores.world.close()


def test_errors_come_back_as_what_they_are() -> None:
    cores = Cores()
    nobody = NodeId(9, "198.18.0.9", 9100)
    late = cores.messenger.call(nobody, EBB, cores.message(b"?"), SECOND)
    wrong = cores.messenger.call(cores.other, 99999, cores.message(b"?"), SECOND)
    cores.world.pipes.run(lambda: late.done() and wrong.done())
    assert isinstance(late.error(), TimedOutError)
    assert isinstance(wrong.error(), RemoteCallError)
    with pytest.raises(MessageTooLargeError):
        cores.send(bytes(LARGEST_MESSAGE + 1))
    cores.world.close()


def test_a_lost_node_is_lost_on_every_core() -> None:
    cores = Cores()
    cores.messenger.node_lost(2, "freed")
    cores.send(b"too late")
    cores.world.pipes.settle()
    with pytest.raises(NodeLostError, match="freed"):
        cores.send(b"later still")
    assert isinstance(cores.messenger.when_sendable(cores.other).error(), NodeLostError)
    cores.world.close()


def test_what_waits_for_core_0_is_bounded_and_keeps_its_order() -> None:
    cores = Cores()
    accept = cores.world.pipes.listeners.pop((cores.other.address, cores.other.port))
    sent: list[bytes] = []

    def send_one() -> None:
        data = b"%d" % len(sent) * 20_000
        cores.send(data)
        sent.append(data)
        cores.world.pipes.settle()

    def send_all() -> None:
        while True:
            send_one()

    with pytest.raises(BackPressureError):
        send_all()
    room = cores.messenger.when_sendable(cores.other)
    call = cores.messenger.call(cores.other, EBB, cores.message(b"?"), SECOND)
    cores.world.pipes.settle()
    assert isinstance(call.error(), BackPressureError)
    assert not room.done()
    cores.world.pipes.listeners[cores.other.address, cores.other.port] = accept
    cores.world.pipes.run(room.done)
    cores.world.pipes.run(lambda: len(cores.world.echoes[1].received) == len(sent))
    assert cores.world.echoes[1].received == sent
    cores.world.close()
