"""The two ends of a run: the stack under test, and the wire on which the runner plays the other host.

``Wire`` is the one interface the runner has. ``SimulatedWire`` is a stack on a device in memory under virtual time,
which jumps from one deadline to the next; ``netlab.script.tap_wire`` is one on a live TAP.
"""

import random
from collections import deque
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface

from ebbrt.clock import Clock, ManualClock
from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.netdevice import EthernetDevice
from netlab.script.configuration import Configuration
from netlab.script.packets import Seen, dissect
from netlab.script.tree import Tcp
from stack.address import parse_address
from stack.interface import Interface
from stack.ipv6.settings import Ipv6Settings
from stack.neighbour import NeighbourTable
from stack.stack import Stack
from stack.tcp.connection import Connection

NODE_MAC = bytes.fromhex("020000000001")
REMOTE_MAC = bytes.fromhex("020000000002")
MEMORY = 64 << 20
START = 1000 * 1_000_000_000  # the clock of a simulated run begins here
MICROSECOND = 1000
PREFIX_LENGTH, PREFIX_LENGTH_6 = 16, 48
ETHERNET_HEADER = 14
MASK32 = 0xFFFFFFFF
ETHERTYPES = {4: b"\x08\x00", 6: b"\x86\xdd"}
IP_ETHERTYPES = frozenset(ETHERTYPES.values())
SECRET = b"packets of script"


class InjectionError(Exception):
    """A packet cannot be put on the wire."""


class Wire:
    """What the runner sees: time, the stack, what it sends, and a way to send to it.

    sent: packets of the stack, oldest first, with their time in microseconds since the run began.
    """

    def __init__(self, clock: Clock, stack: Stack) -> None:
        self.clock = clock
        self.stack = stack
        self.sent: deque[Seen] = deque()
        self._started = clock.now()

    def now(self) -> int:
        """Microseconds since the run began."""
        return (self.clock.now() - self._started) // MICROSECOND

    def micros(self, nanoseconds: int) -> int:
        """A time of the clock, in microseconds since the run began, rounded up."""
        return -((self._started - nanoseconds) // MICROSECOND)

    def inject(self, packet: bytes) -> None:
        """Let the stack receive a packet, which begins with its IP header, now. Raises InjectionError."""
        raise NotImplementedError

    def advance(self, until: int) -> None:
        """Let time pass until ``until`` (microseconds since the run began), or until something may have happened."""
        raise NotImplementedError

    def has_more(self) -> bool:
        """Whether anything can happen by itself, however late."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave nothing behind."""

    def saw(self, frame: bytes) -> None:
        """The stack has sent a frame; what is not IP is not a script's business."""
        if frame[12:14] in IP_ETHERTYPES:
            seen = dissect(frame[ETHERNET_HEADER:], self.now())
            if seen is not None:
                self.sent.append(replace(seen, is_last=self._is_last(seen)))

    def _is_last(self, seen: Seen) -> bool:
        """Whether the data of a segment ends where what the application has queued ends."""
        body, ends = seen.packet.body, seen.ends
        if not isinstance(body, Tcp) or not body.length:
            return False
        local, remote = parse_address(ends.source), parse_address(ends.destination)
        connections = self.stack.tcp.engine.connections
        connection = connections.find(*local, ends.source_port, *remote, ends.destination_port)
        if not isinstance(connection, Connection):
            return False
        return (body.sequence + body.length - connection.snd_una - connection.queue.length) & MASK32 == 0


class ScriptDevice(EthernetDevice):
    """The stack's network interface: what it transmits goes to ``wire`` at once, one frame for each segment."""

    def __init__(self, mtu: int) -> None:
        self.mac = NODE_MAC
        self.mtu = mtu
        self.headroom = 0
        self.checksum_offload = False
        self.largest_segment = 0
        self.segments_ipv6 = False
        self.wire: Wire | None = None

    def transmit(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> bool:
        """See EthernetDevice."""
        assert self.wire is not None
        pieces = []
        piece: IOBuf | None = frame
        while piece is not None:
            pieces.append(piece.peek(0, piece.length))
            piece = piece.next
        self.wire.saw(b"".join(pieces))
        return True


class SimulatedWire(Wire):
    """A stack in memory under virtual time: everything it does is repeatable to the byte."""

    def __init__(self, configuration: Configuration) -> None:
        clock = ManualClock(START)
        self._manual = clock
        self.allocator = MemoryAllocator(NodeMemory(MEMORY))
        device = ScriptDevice(configuration.mtu)
        device.wire = self
        stack = Stack(self.allocator, clock, random.Random(1), SECRET)
        super().__init__(clock, stack)
        self._interface = attach(stack, device, configuration)
        self._interface.up()

    def inject(self, packet: bytes) -> None:
        """See Wire."""
        frame = NODE_MAC + REMOTE_MAC + ETHERTYPES[packet[0] >> 4] + packet
        buffer = allocate(self.allocator, len(frame), 0)
        assert buffer is not None, "the memory of a run is enough for its packets"
        buffer.owns_headroom = False
        buffer.write(0, frame)
        self._interface.receive_frame(buffer, False)

    def advance(self, until: int) -> None:
        """See Wire: to the stack's next deadline, when that is earlier."""
        now = self._manual.time
        target = max(self._started + until * MICROSECOND, now)
        deadline = self.stack.next_deadline()
        if deadline > target:
            self._manual.time = target
            return
        self._manual.time = max(deadline, now)
        self.stack.poll(self._manual.time)

    def has_more(self) -> bool:
        """See Wire."""
        return self.stack.next_deadline() < FOREVER


def attach(stack: Stack, device: EthernetDevice, configuration: Configuration) -> Interface:
    """Give the stack its interface, its address, and the way to the other host, whose link address is known.

    The interface is to be called ``up`` when its device works.
    """
    if configuration.wire_ipv6:
        return _attach_ipv6(stack, device, configuration)
    own = IPv4Interface(f"{configuration.local_ip}/{PREFIX_LENGTH}")
    interface = stack.add_interface(device, own)
    gateway = next(address for address in own.network.hosts() if address != own.ip)
    _introduce(interface.arp, str(gateway), configuration.remote_ip)
    stack.add_gateway(gateway)
    return interface


def _attach_ipv6(stack: Stack, device: EthernetDevice, configuration: Configuration) -> Interface:
    """The same for IPv6. The address is not asked for first: a script's first packet is its own."""
    own = IPv6Interface(f"{configuration.local_ip}/{PREFIX_LENGTH_6}")
    gateway = next(address for address in own.network.hosts() if address != own.ip)
    settings = Ipv6Settings(addresses=(own,), gateway=gateway, probes=0)
    interface = stack.add_interface(device, None, settings)
    assert interface.link6 is not None
    _introduce(interface.link6.neighbours, str(gateway), configuration.remote_ip)
    return interface


def _introduce(neighbours: NeighbourTable, *addresses: str) -> None:
    """All of these are the other end of the wire."""
    for address in addresses:
        neighbours.lookup(*parse_address(address)).set_permanent(int.from_bytes(REMOTE_MAC, "big"))
