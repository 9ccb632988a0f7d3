"""The Network Manager on a node's own stack keeps what the interface promises."""

from collections.abc import Callable, Iterator

import pytest

from tests.network_manager_suite import End, Forms, NetworkManagerSuite
from tests.node_pair import VirtualNetwork, VirtualNode


class StackEnd(End):
    def __init__(self, node: VirtualNode) -> None:
        self.network = node.network
        self.allocator = node.allocator
        self.events = node.events
        self.address = node.address


class StackForms(Forms):
    def __init__(self) -> None:
        self.wire = VirtualNetwork()
        self.client, self.server = map(StackEnd, self.wire.nodes)

    def run(self, until: Callable[[], bool]) -> None:
        self.wire.run(until)

    def settle(self) -> None:
        self.wire.advance(0.5)


class TestStack(NetworkManagerSuite):
    @pytest.fixture
    def forms(self) -> Iterator[Forms]:
        forms = StackForms()
        yield forms
        forms.wire.close()
