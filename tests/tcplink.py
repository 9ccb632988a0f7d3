"""Two TCP engines joined by a wire in memory under virtual time, with seeded loss, reordering and duplication.

Each ``Host`` is a real Stack on a device that puts frames on the ``Wire``; the receiving side verifies
every checksum in software. ``Wire.run`` carries frames and fires timers in the order of time, so a seed fixes a run.
"""

import heapq
import random
from collections.abc import Callable
from ipaddress import IPv4Interface, IPv6Interface

from ebbrt.clock import ManualClock
from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.netdevice import EthernetDevice
from ebbrt.network import TcpConnection, TcpHandler
from stack.address import mapped, parse_address
from stack.ipv6.settings import Ipv6Settings
from stack.stack import Stack
from tests.fakes import ones_complement_sum, read_chain

ETHERNET = 14
HEADERS = 34
HEADERS_IPV6 = 54
MILLISECOND = 1_000_000
SECOND = 1_000_000_000


class LinkDevice(EthernetDevice):
    """Hands every frame to ``carry`` as bytes, completing checksums and cutting large segments as a device does."""

    def __init__(self, mac: bytes, mtu: int, checksum_offload: bool, largest_segment: int) -> None:
        self.mac = mac
        self.mtu = mtu
        self.headroom = 12
        self.checksum_offload = checksum_offload
        self.largest_segment = largest_segment
        self.segments_ipv6 = False
        self.carry: Callable[[bytes], None] = lambda frame: None
        self.most_pieces = 0
        self.frames_given = 0

    def transmit(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> bool:
        assert frame.headroom() >= self.headroom
        self.frames_given += 1
        pieces = 0
        piece: IOBuf | None = frame
        while piece is not None:
            pieces += 1
            piece = piece.next
        self.most_pieces = max(self.most_pieces, pieces)
        data = read_chain(frame)
        if not segment_size:
            if checksum_start:
                data = complete(data, checksum_start + checksum_offset)
            self.carry(data)
            return True
        assert checksum_start
        header = HEADERS + (data[HEADERS + 12] >> 4) * 4
        assert len(data) - header <= self.largest_segment
        for start in range(header, len(data), segment_size):
            self.carry(cut_segment(data, header, start, segment_size))
        return True


def complete(data: bytes, at: int) -> bytes:
    """The frame with its TCP checksum, or in IPv6 any transport's, computed."""
    blank = data[:at] + b"\0\0" + data[at + 2 :]
    if data[12:14] == b"\x86\xdd":
        length = len(data) - HEADERS_IPV6
        total = ones_complement_sum(data[22:54] + length.to_bytes(4, "big") + bytes((0, data[20])))
        checksum = 0xFFFF ^ ones_complement_sum(total.to_bytes(2, "big") + blank[HEADERS_IPV6:])
    else:
        pseudo = data[26:34] + b"\0\x06" + (len(data) - HEADERS).to_bytes(2, "big")
        checksum = 0xFFFF ^ ones_complement_sum(pseudo + blank[HEADERS:])
    return data[:at] + checksum.to_bytes(2, "big") + data[at + 2 :]


def cut_segment(data: bytes, header: int, start: int, size: int) -> bytes:
    """One of the frames a device makes of a large segment."""
    payload = data[start : start + size]
    frame = bytearray(data[:header] + payload)
    frame[16:18] = (len(frame) - ETHERNET).to_bytes(2, "big")
    frame[24:26] = b"\0\0"
    frame[24:26] = (0xFFFF ^ ones_complement_sum(bytes(frame[14:34]))).to_bytes(2, "big")
    sequence = int.from_bytes(frame[38:42], "big") + start - header
    frame[38:42] = (sequence & 0xFFFFFFFF).to_bytes(4, "big")
    if start + size < len(data):
        frame[47] &= ~0x09  # FIN and PSH stay with the last
    return complete(bytes(frame), HEADERS + 16)


class Host:
    """One machine: node memory, IPv4, TCP."""

    def __init__(
        self,
        number: int,
        clock: ManualClock,
        mtu: int = 1500,
        checksum_offload: bool = False,
        largest_segment: int = 0,
        memory: int = 16 << 20,
        received_buffer: int = 2048,
        ipv6: bool = False,
    ) -> None:
        self.clock = clock
        self.allocator = MemoryAllocator(NodeMemory(memory))
        self.device = LinkDevice(bytes([2, 0, 0, 0, 0, number]), mtu, checksum_offload, largest_segment)
        self.address = int.from_bytes(bytes([198, 18, 0, number]), "big")
        secret = bytes(range(number, number + 16))
        self.stack = Stack(self.allocator, clock, random.Random(number), secret)
        address = IPv6Interface(f"fd00::{number}/64")
        self.interface = self.stack.add_interface(
            self.device, IPv4Interface(f"198.18.0.{number}/24"), Ipv6Settings((address,), probes=0) if ipv6 else None
        )
        self.interface.up()
        self.tcp = self.stack.tcp
        self.received_buffer = received_buffer
        self.frames: list[bytes] = []  # sent by this host

    def knows(self, number: int) -> None:
        """Resolve a neighbour's address without ARP."""
        self.interface.arp.neighbour(self.address & 0xFFFFFF00 | number).set_permanent(0x020000000000 | number)

    def buffer(self, data: bytes, headroom: int = 128) -> IOBuf:
        """What an application sends."""
        iobuf = allocate(self.allocator, len(data), headroom)
        assert iobuf is not None
        iobuf.write(0, data)
        return iobuf

    def receive(self, frame: bytes) -> None:
        """A frame from the wire, in a receive buffer."""
        iobuf = allocate(self.allocator, self.received_buffer - 12, 12)
        assert iobuf is not None, "the host has run out of node memory"
        iobuf.owns_headroom = False
        iobuf.trim_end(iobuf.length - len(frame))
        iobuf.write(0, frame)
        self.interface.receive_frame(iobuf, False)


class Wire:
    """Joins two hosts. Faults are probabilities per frame; ``drop`` may also name frames (True: lost)."""

    def __init__(
        self,
        seed: int = 0,
        delay: int = MILLISECOND,
        loss: float = 0.0,
        reorder: float = 0.0,
        duplicate: float = 0.0,
        **options: int,
    ) -> None:
        self.clock = ManualClock(SECOND)
        self.random = random.Random(seed)
        self.delay = delay
        self.loss = loss
        self.reorder = reorder
        self.duplicate = duplicate
        self.drop: Callable[[bytes, Host], bool] = lambda frame, sender: False
        self.a = Host(1, self.clock, **options)
        self.b = Host(2, self.clock, **options)
        self._events: list[tuple[int, int, Host, bytes]] = []
        self._serial = 0
        for sender, receiver in ((self.a, self.b), (self.b, self.a)):
            sender.knows(receiver.address & 0xFF)
            sender.device.carry = self._carrier(sender, receiver)

    def run(self, until: Callable[[], bool] | None = None, seconds: float = 600) -> None:
        """Carry on until ``until()`` holds, or nothing is due within ``seconds``."""
        end = self.clock.now() + int(seconds * SECOND)
        while until is None or not until():
            due = min(
                self._events[0][0] if self._events else FOREVER,
                self.a.stack.next_deadline(),
                self.b.stack.next_deadline(),
            )
            if due > end:
                if end < FOREVER:
                    self.clock.time = max(self.clock.time, end)
                return
            self.clock.time = max(self.clock.time, due)
            now = self.clock.now()
            if self._events and self._events[0][0] <= now:
                _, _, receiver, frame = heapq.heappop(self._events)
                receiver.receive(frame)
            else:
                self.a.stack.poll(now)
                self.b.stack.poll(now)

    def _carrier(self, sender: Host, receiver: Host) -> Callable[[bytes], None]:
        def carry(frame: bytes) -> None:
            sender.frames.append(frame)
            if self.drop(frame, sender) or self.random.random() < self.loss:
                return
            delay = self.delay
            if self.random.random() < self.reorder:
                delay += self.random.randrange(1, 4 * self.delay)
            self._put(delay, receiver, frame)
            if self.random.random() < self.duplicate:
                self._put(delay + self.random.randrange(1, 2 * self.delay), receiver, frame)

        return carry

    def _put(self, delay: int, receiver: Host, frame: bytes) -> None:
        self._serial += 1
        heapq.heappush(self._events, (self.clock.now() + delay, self._serial, receiver, frame))


class Recorder(TcpHandler):
    """Keeps what it is told; ``on_receive`` may answer."""

    def __init__(self, on_receive: Callable[["Recorder", bytes], None] | None = None) -> None:
        self.data = bytearray()
        self.events: list[str] = []
        self.reason = ""
        self.on_receive = on_receive
        self.chains = 0

    def connected(self) -> None:
        self.events.append("connected")

    def receive(self, data: IOBuf) -> None:
        received = read_chain(data)
        self.chains += 1
        self.data += received
        if self.on_receive is not None:
            self.on_receive(self, received)

    def send_window_opened(self) -> None:
        self.events.append("window")

    def peer_closed(self) -> None:
        self.events.append("peer_closed")

    def closed(self, reason: str) -> None:
        self.events.append("closed")
        self.reason = reason


def open_pair(
    wire: Wire,
    port: int = 80,
    on_receive: Callable[[Recorder, bytes], None] | None = None,
    address: str | None = None,
) -> tuple[TcpConnection, Recorder, TcpConnection, Recorder]:
    """Connect a to b, at its IPv4 address or ``address``: (client connection, its handler, server's, its handler)."""
    accepted: list[Recorder] = []

    def accept(connection: TcpConnection) -> TcpHandler:
        accepted.append(Recorder(on_receive))
        return accepted[-1]

    wire.b.tcp.listen(port, accept, 128)
    client = Recorder()
    connection = wire.a.tcp.connect(parse_address(address) if address else mapped(wire.b.address), port, client)
    wire.run(lambda: bool(accepted) and "connected" in client.events)
    server = accepted[0]
    return connection, client, server.connection, server
