"""Whole nodes on one wire in memory under virtual time: memory, event loop, stack, Network Manager, base Ebbs.

``VirtualNetwork().nodes`` are two ``VirtualNode``s, or more. ``run(until)`` turns their loops, carries frames and lets
time pass, in order, so that a test with timers takes no time and is the same each time. Names are resolved by ARP; the
stacks complete and verify every checksum. What an application raises ends, as in a node, at its Event Manager.
"""

import heapq
import random
from collections.abc import Callable
from ipaddress import IPv4Interface

from ebbrt import ebb
from ebbrt.clock import ManualClock
from ebbrt.constants import FOREVER
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import IdleHandler, TimerSource
from ebbrt.events.timers import Timer
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from stack.network_manager import StackNetworkManager
from stack.stack import Stack
from tests.tcplink import LinkDevice

MILLISECOND = 1_000_000
SECOND = 1_000_000_000
RECEIVE_BUFFER = 2048
VIRTIO_HEADER = 12  # what lies before a frame in a receive buffer
GROUP = 1  # the bit of a link address that makes it that of a group


class VirtualEvents(EventManager):
    """An Event Manager that can be asked when it has something to do."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self._deadlines: list[int] = []
        self._timed: list[TimerSource] = []

    def set_timer(self, delay: int, function: Callable[[], object]) -> Timer:
        heapq.heappush(self._deadlines, self.clock.now() + delay)
        return super().set_timer(delay, function)

    def add_timer_source(self, source: TimerSource) -> None:
        self._timed.append(source)
        super().add_timer_source(source)

    def next_due(self) -> int:
        """The next deadline that lies ahead, or FOREVER."""
        while self._deadlines and self._deadlines[0] <= self.clock.now():
            heapq.heappop(self._deadlines)
        return min([FOREVER, *self._deadlines[:1], *(source.next_deadline() for source in self._timed)])


class _Quiet(IdleHandler):
    """Called when a loop has nothing to do, where it would halt."""

    def __init__(self) -> None:
        self.reached = False

    def poll(self) -> None:
        self.reached = True


class VirtualNode:
    """One node: ``number`` 1 to 254 is the last byte of its address."""

    def __init__(self, network: "VirtualNetwork", number: int, memory: int) -> None:
        self.number = number
        self.address = f"198.18.0.{number}"
        self.clock = network.clock
        self.allocator = MemoryAllocator(NodeMemory(memory))
        self.events = VirtualEvents(network.clock)
        self.device = LinkDevice(bytes([2, 0, 0, 0, 0, number]), 1500, False, 0)
        self.device.carry = lambda frame: network.carry(self, frame)
        self.stack = Stack(
            self.allocator,
            network.clock,
            random.Random(number),
            bytes(range(number, number + 16)),
        )
        self.interface = self.stack.add_interface(self.device, IPv4Interface(f"{self.address}/24"))
        self.network = StackNetworkManager(self.stack, self.events)
        self.core = ebb.Core()
        self.core.install(ebb.MEMORY_ALLOCATOR, self.allocator)
        self.core.install(ebb.EVENT_MANAGER, self.events)
        self.core.install(ebb.NETWORK_MANAGER, self.network)
        self.connected = True  # False: the cable is out, and every frame to and from it is lost
        self._quiet = _Quiet()
        self.events.add_idle_handler(self._quiet)

    def buffer(self, data: bytes) -> IOBuf:
        """What an application sends."""
        iobuf = allocate(self.allocator, len(data), 128)
        assert iobuf is not None
        iobuf.write(0, data)
        return iobuf

    def receive(self, frame: bytes) -> None:
        """A frame from the wire, in a receive buffer, as an event of its own; lost without memory."""
        iobuf = allocate(self.allocator, RECEIVE_BUFFER - VIRTIO_HEADER, VIRTIO_HEADER)
        if iobuf is not None:
            iobuf.owns_headroom = False
            iobuf.trim_end(iobuf.length - len(frame))
            iobuf.write(0, frame)
            self.events.spawn(lambda: self.interface.receive_frame(iobuf, False), True)

    def settle(self) -> None:
        """Turn the loop until nothing is left to do at this time."""
        self.core.enter()
        self._quiet.reached = False
        while not self._quiet.reached:
            self.events.turn()


class VirtualNetwork:
    """``count`` nodes of ``memory`` bytes each; a frame takes ``delay`` nanoseconds, and ``loss`` of them are lost."""

    def __init__(
        self, count: int = 2, delay: int = MILLISECOND // 10, loss: float = 0.0, seed: int = 0, memory: int = 16 << 20
    ) -> None:
        self.clock = ManualClock(SECOND)
        self.delay = delay
        self.loss = loss
        self.random = random.Random(seed)
        self.nodes = [VirtualNode(self, number, memory) for number in range(1, count + 1)]
        self._before = ebb.current_core()
        self._frames: list[tuple[int, int, VirtualNode, bytes]] = []
        self._serial = 0

    def run(self, until: Callable[[], bool], seconds: float = 60) -> None:
        """Carry on until ``until()`` holds; AssertionError when it does not within ``seconds`` of virtual time."""
        assert self._run(until, seconds), f"it did not come about within {seconds} s of virtual time"

    def advance(self, seconds: float) -> None:
        """Let time pass, with all that happens in it."""
        self._run(lambda: False, seconds)

    def carry(self, sender: VirtualNode, frame: bytes) -> None:
        """Put a frame on the wire."""
        to_group = frame[0] & GROUP
        for node in self.nodes:
            if node is sender or not (to_group or node.device.mac == frame[:6]):
                continue
            if node.connected and sender.connected and self.random.random() >= self.loss:
                self._serial += 1
                heapq.heappush(self._frames, (self.clock.now() + self.delay, self._serial, node, frame))

    def close(self) -> None:
        """Give the loops' descriptors back, and the process its Ebbs."""
        self._before.enter()
        for node in self.nodes:
            node.events.close()

    def _run(self, until: Callable[[], bool], seconds: float) -> bool:
        end = self.clock.now() + int(seconds * SECOND)
        while True:
            for node in self.nodes:
                node.settle()
            if until():
                return True
            frames = self._frames[0][0] if self._frames else FOREVER
            due = min(frames, *(node.events.next_due() for node in self.nodes))
            if due > end:
                self.clock.time = end
                return False
            self.clock.time = max(self.clock.time, due)
            while self._frames and self._frames[0][0] <= self.clock.now():
                _, _, receiver, frame = heapq.heappop(self._frames)
                receiver.receive(frame)
