"""A front-end put together by hand, for the live tests of the Node Allocator; run by ``netlab run``."""

import os
import random
import secrets
import time
from collections.abc import Callable
from typing import Any

from ebbrt import ebb
from ebbrt.clock import MonotonicClock
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.messages import FRONT_END, NodeId, pack, unpack
from ebbrt.messenger.tcp_messenger import TcpMessenger
from ebbrt.node_allocator import FrontEndNodeAllocator
from ebbrt.node_provider import ADDRESS_VARIABLE, SOCKET_VARIABLE, IaasProvider
from ebbrt.sockets.socket_network import SocketNetworkManager
from tests.live.iaas_applications import ECHO

SECOND = 1_000_000_000


class FrontEnd:
    """Events, network, Messenger and Node Allocator of this process."""

    def __init__(self) -> None:
        clock = MonotonicClock()
        core = ebb.Core()
        core.enter()
        self.events = EventManager(clock)
        self.memory = MemoryAllocator(NodeMemory(64 << 20))
        self.network = SocketNetworkManager(self.events, self.memory, os.environ[ADDRESS_VARIABLE])
        local = NodeId(FRONT_END, os.environ[ADDRESS_VARIABLE], 9100)
        secret = secrets.token_bytes(32)
        self.messenger = TcpMessenger(
            self.network, self.events, self.memory, core, local, secret, clock, random.SystemRandom()
        )
        provider = IaasProvider(self.events, os.environ[SOCKET_VARIABLE])
        self.allocator = FrontEndNodeAllocator(provider, self.messenger, self.memory, secret, (), os.getcwd())
        core.install(ebb.MESSENGER, self.messenger)
        core.install(ebb.NODE_ALLOCATOR, self.allocator)

    def turn(self) -> None:
        """Turn the loop once; a halt lasts for 10 ms at most."""
        timer = self.events.set_timer(SECOND // 100, lambda: None)
        self.events.turn()
        timer.stop()

    def wait(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        """Turn the loop until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come about in time"
            self.turn()

    def wait_for(self, *futures: Future[Any]) -> None:
        self.wait(lambda: all(future.done() for future in futures))

    def echo(self, node: NodeId, value: object, timeout: int = 5 * SECOND) -> Future[Any]:
        return self.messenger.call(node, ECHO, pack(self.memory, value), timeout).then(unpack)
