"""A live wire: the stack under test on a TAP, with driver and device, in real time; the runner is its far side.

The TAP is in a network namespace without a name, which is gone with its last descriptor. Packets of the script enter
by a packet socket on the kernel's end of the TAP, as from the other host, and those of the stack are seen there. It is
a TAP without offloads, so that what is seen is what a wire would carry: whole checksums, one segment in each frame.
"""

import random
import socket
from pathlib import Path

from pyroute2 import IPRoute

from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH
from drivers.virtio.device import NetDevice
from drivers.virtio.driver import VirtioNet
from drivers.virtio.port import TapPort
from drivers.virtio.tap import Tap, open_tap
from ebbrt.clock import MonotonicClock
from ebbrt.constants import FOREVER
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from ebbrt.memory import MemoryAllocator, NodeMemory
from netlab.namespaces import run_in_scratch
from netlab.script.configuration import Configuration
from netlab.script.packets import Ends, build, dissect
from netlab.script.tree import IpInfo, Packet, Tcp
from netlab.script.wire import (
    ETHERTYPES,
    MEMORY,
    MICROSECOND,
    NODE_MAC,
    REMOTE_MAC,
    SECRET,
    InjectionError,
    Wire,
    attach,
)
from stack.network_manager import StackTimers
from stack.stack import Stack

TAP_NAME = "script"
LONGEST_PACKET = 65521  # what Linux lets a TAP have as its MTU
ETH_P_ALL = 3
PACKET_OUTGOING = 4
WARM_UP = Packet(True, IpInfo(), (0, 0), Tcp("S", None, 0, 0, 0, 0, 0, ()))  # scapy's first packet takes it long
MOST_ON_THE_WAY = 100_000_000  # nanoseconds that a packet may need to reach the stack
LOOK = 200  # microseconds
LONGEST_WAIT = 1_000_000  # nanoseconds: how long the runner looks away from calls that block


class TapWire(Wire):
    """A stack on a live TAP."""

    def __init__(self, configuration: Configuration) -> None:
        clock = MonotonicClock()
        self._tap, self._far = run_in_scratch(_open)
        memory = NodeMemory(MEMORY)
        allocator = MemoryAllocator(memory)
        self._events = EventManager(clock)
        spill = allocator.allocate(LONGEST_FRAME + NET_HEADER_LENGTH)
        assert spill is not None, "the memory of a run holds the spill area"
        self._spill = spill  # kept for as long as the device writes to it
        port = TapPort(self._tap.fds[0], self._tap.vnet_header)
        self._device = NetDevice(memory, port, self._events, spill.offset, NODE_MAC, configuration.mtu)
        self._driver = VirtioNet(self._device, allocator, self._events)
        stack = Stack(allocator, clock, random.Random(1), SECRET)
        super().__init__(clock, stack)
        self._interface = attach(stack, self._driver, configuration)
        self._driver.start(self._interface)
        self._interface.up()
        self._events.add_timer_source(StackTimers(stack))
        self._events.watch(self._far.fileno(), _FarSide(self))
        dissect(build(WARM_UP, Ends(configuration.remote_ip, 1, configuration.local_ip, 1)), 0)
        self._started = clock.now()

    def inject(self, packet: bytes) -> None:
        """See Wire: the stack has received it when this returns, as a kernel has what a TUN gives it."""
        before = self._interface.statistics()["received"]
        if len(packet) > LONGEST_PACKET:
            raise InjectionError(f"the packet has {len(packet)} bytes; a TAP takes {LONGEST_PACKET} at most")
        self._far.send(NODE_MAC + REMOTE_MAC + ETHERTYPES[packet[0] >> 4] + packet)
        latest = self.clock.now() + MOST_ON_THE_WAY
        while self._interface.statistics()["received"] == before and self.clock.now() < latest:
            self.advance(self.now() + LOOK)

    def advance(self, until: int) -> None:
        """See Wire: for a millisecond at most."""
        left = max(self._started + until * MICROSECOND - self.clock.now(), 0)
        timer = self._events.set_timer(min(left, LONGEST_WAIT), self._events.stop)
        self._events.run()
        timer.stop()

    def has_more(self) -> bool:
        """See Wire."""
        return self.stack.next_deadline() < FOREVER

    def look(self) -> None:
        """Take what the stack has put on the wire; what this side has sent is seen there too, and is not its own."""
        while True:
            try:
                frame, address = self._far.recvfrom(65536)
            except BlockingIOError:
                return
            if address[2] != PACKET_OUTGOING:
                self.saw(frame)
                self._events.stop()

    def close(self) -> None:
        """See Wire."""
        self._driver.stop()
        self._events.unwatch(self._far.fileno())
        self._events.close()
        self._device.close()
        self._far.close()


class _FarSide(InterruptHandler):
    """The far side of the TAP has something."""

    def __init__(self, wire: TapWire) -> None:
        self.wire = wire

    def interrupt(self) -> None:
        self.wire.look()


def _open() -> tuple[Tap, socket.socket]:
    """A TAP that is up, on which the kernel itself says nothing, and a packet socket on its other end.

    The MTU of a run is the stack's: what a script sends may be longer, as in the simulation.
    """
    tap = open_tap(TAP_NAME, vnet_header=False, make=True)
    Path(f"/proc/sys/net/ipv6/conf/{tap.name}/disable_ipv6").write_text("1")
    with IPRoute() as route:
        index = route.link_lookup(ifname=tap.name)[0]
        route.link("set", index=index, mtu=LONGEST_PACKET, state="up")
    far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
    far.bind((tap.name, ETH_P_ALL))
    return tap, far
