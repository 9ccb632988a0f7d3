"""The Messenger on a core above 0: what every form promises, and how its messages go through core 0."""

import random
from collections.abc import Callable, Iterator

import pytest

from ebbrt.ebb import Core
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import BackPressureError, NodeId, NodeLostError
from ebbrt.messenger.core_messenger import CoreMessenger, CoreMessengerServer
from ebbrt.messenger.tcp_messenger import TcpMessenger
from tests.fakes import make_allocator
from tests.messenger_nodes import EBB, PORT, SECRET
from tests.messenger_suite import MOST_MEMORY, End, MessengerForms, MessengerSuite, fill
from tests.node_pair import SECOND
from tests.pipe_network import PipeNetwork, Pipes
from tests.several_cores import SeveralCores


class CoreForms(MessengerForms):
    """Core 1 of node 1, over real core links to core 0; node 2 is at the other end of a pipe."""

    def __init__(self) -> None:
        self.pipes = Pipes(512)
        self.cores = SeveralCores(2, share=MOST_MEMORY, first=self.pipes.events)
        self.near_id, self.far_id = (NodeId(number, f"198.18.0.{number}", PORT) for number in (1, 2))
        core, (zeros, ones) = Core(), self.cores.allocators
        self.core_0 = self._messenger(self.near_id, core, zeros)
        self.server = CoreMessengerServer(self.cores.links[0], self.core_0, zeros)
        self.near = End(CoreMessenger(self.cores.links[1], self.near_id, ones), core, ones)

    def _messenger(self, local: NodeId, core: Core, allocator: MemoryAllocator) -> TcpMessenger:
        network = PipeNetwork(self.pipes, local.address, allocator)
        seed = random.Random(local.number)
        return TcpMessenger(network, self.pipes.events, allocator, core, local, SECRET, self.pipes.clock, seed)

    def begin(self) -> None:
        core, allocator = Core(), make_allocator(MOST_MEMORY)
        self.far = End(self._messenger(self.far_id, core, allocator), core, allocator)

    def now(self) -> int:
        return self.pipes.clock.now()

    def run(self, until: Callable[[], bool]) -> None:
        end = self.now() + 60 * SECOND
        self.cores.settle()
        while not until():
            due = self.pipes.events.next_due()
            assert due <= end, "it did not come about within 60 s of virtual time"
            self.pipes.clock.time = max(self.now(), due)
            self.cores.settle()

    def settle(self) -> None:
        self.cores.settle()

    def close(self) -> None:
        self.core_0.close()
        assert [manager.failures for manager in self.cores.events] == [0, 0]
        self.cores.close()


@pytest.fixture
def cores() -> Iterator[CoreForms]:
    forms = CoreForms()
    yield forms
    forms.close()


class TestOnCore1(MessengerSuite):
    @pytest.fixture
    def absent(self, cores: CoreForms) -> MessengerForms:
        return cores


# What is its own


def test_messages_cross_to_core_0_without_being_copied(cores: CoreForms) -> None:
    cores.begin()
    cores.near.send(cores.far_id, bytes(100_000))
    call = cores.near.call(cores.far_id, bytes(100_000))
    cores.run(call.done)
    assert cores.cores.memory.payload_bytes_copied == 0


def test_a_node_that_core_0_knows_is_lost_is_lost_here_after_a_message(cores: CoreForms) -> None:
    cores.core_0.node_lost(cores.far_id.number, "freed")
    cores.near.send(cores.far_id, b"too late")
    cores.settle()
    with pytest.raises(NodeLostError, match="freed"):
        cores.near.send(cores.far_id, b"later still")


def test_core_0_is_told_of_a_lost_node(cores: CoreForms) -> None:
    cores.near.messenger.node_lost(cores.far_id.number, "freed")
    cores.settle()
    with pytest.raises(NodeLostError, match="freed"):
        cores.core_0.send(cores.far_id, EBB, cores.near.message(b"?"))


def test_a_call_does_not_overtake_what_waits_on_core_0(cores: CoreForms) -> None:
    fill(cores)
    call = cores.near.call(cores.far_id, b"so small that there is room for it here")
    cores.settle()
    assert isinstance(call.error(), BackPressureError)
