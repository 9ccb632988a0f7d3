"""The Messenger over kernel sockets, as a front-end has it, keeps what the interface promises; on loopback."""

import random
from collections.abc import Callable, Iterator

import pytest

from ebbrt.ebb import Core
from ebbrt.messages import NodeId
from ebbrt.messenger.tcp_messenger import TcpMessenger
from tests.live.test_network_manager_sockets import SocketsEnd, SocketsForms
from tests.messenger_nodes import PORT, SECRET
from tests.messenger_suite import End, MessengerForms, MessengerSuite

pytestmark = pytest.mark.live


class LoopbackForms(MessengerForms):
    """Two Network Managers on one loop, in real time."""

    def __init__(self) -> None:
        self.sockets = SocketsForms()
        self.messengers: list[TcpMessenger] = []
        self.near_id = NodeId(1, self.sockets.client.address, PORT)
        self.far_id = NodeId(2, self.sockets.server.address, PORT)
        self.near = self._make(self.sockets.client, self.near_id)

    def _make(self, end: SocketsEnd, local: NodeId) -> End:
        core, events = Core(), self.sockets.events
        messenger = TcpMessenger(
            end.network, events, end.allocator, core, local, SECRET, self.sockets.clock, random.Random(local.number)
        )
        self.messengers.append(messenger)
        return End(messenger, core, end.allocator)

    def begin(self) -> None:
        self.far = self._make(self.sockets.server, self.far_id)

    def now(self) -> int:
        return self.sockets.clock.now()

    def run(self, until: Callable[[], bool]) -> None:
        self.sockets.run(until)

    def settle(self) -> None:
        self.sockets.settle()

    def close(self) -> None:
        for messenger in self.messengers:
            messenger.close()
        failures = self.sockets.events.failures
        self.sockets.close()
        assert failures == 0


class TestOverSockets(MessengerSuite):
    @pytest.fixture
    def absent(self) -> Iterator[MessengerForms]:
        forms = LoopbackForms()
        yield forms
        forms.close()
