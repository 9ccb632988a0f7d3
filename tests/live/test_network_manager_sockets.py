"""The Network Manager over kernel sockets keeps what the interface promises; on loopback, in real time."""

import os
import time
from collections.abc import Callable

import pytest

from ebbrt.clock import MonotonicClock
from ebbrt.event_manager import EventManager
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.socket_network import SocketNetworkManager
from tests.network_manager_suite import End, Forms, FormsFixture, NetworkManagerSuite

pytestmark = pytest.mark.live
MILLISECOND = 1_000_000
PATIENCE = 5.0  # seconds
SOON = 0.02  # seconds: what happens on loopback at all has happened by then


class SocketsEnd(End):
    def __init__(self, events: EventManager, address: str) -> None:
        self.allocator = MemoryAllocator(NodeMemory(16 << 20))
        self.events = events
        self.address = address
        self.sockets = SocketNetworkManager(events, self.allocator, address)
        self.network = self.sockets


class SocketsForms(Forms):
    """Both ends on one loop, each with an address of its own on loopback, which no other test run has."""

    def __init__(self) -> None:
        self.events = EventManager(MonotonicClock())
        network = f"127.{64 + (os.getpid() >> 8) % 64}.{os.getpid() % 256}"
        self.client = SocketsEnd(self.events, f"{network}.1")
        self.server = SocketsEnd(self.events, f"{network}.2")

    def run(self, until: Callable[[], bool]) -> None:
        assert self._turn(until, PATIENCE), f"it did not come about within {PATIENCE} s"

    def settle(self) -> None:
        self._turn(lambda: False, SOON)

    def _turn(self, until: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                return False
            timer = self.events.set_timer(MILLISECOND, lambda: None)  # ends a halt
            self.events.turn()
            timer.stop()
        return True

    def close(self) -> None:
        for end in (self.client, self.server):
            end.sockets.close()
        self.events.close()


class TestSockets(NetworkManagerSuite):
    @pytest.fixture
    def forms(self) -> FormsFixture:
        forms = SocketsForms()
        yield forms
        forms.close()
