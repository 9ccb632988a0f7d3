"""``netlab bench connections``: what one of many open connections takes, in memory and in time per request.

A stack in this process, on a wire that leads nowhere: the frames of the peers are written by hand, one after another,
and what the stack sends is dropped when its sequence numbers have been read. No kernel, no device and no other process
is in the figures. Memory is that of an idle connection which has served one request: all the objects that the stack
has for it, a handler of the library's own class, and its place in the look-up and among the timers.
"""

import gc
import os
import random
import struct
import time
import tracemalloc
from array import array
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface

from ebbrt.clock import ManualClock
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.netdevice import EthernetDevice
from ebbrt.network import TcpConnection, TcpHandler
from netlab.bench import environment
from netlab.bench.ending import ending
from netlab.bench.figures import Figure, Outcome, compared, figure
from netlab.bench.runner import CLIENT_CPU, SERVER_CPU
from stack.stack import Stack
from stack.tcp.lookups import DEFAULT_LOOKUP

FEW, MANY = 10, 10_000
MOST_BYTES = 2048  # of memory for an idle connection
MOST_RATIO = 1.2  # of a request's time with many connections to that with few
NODE_MEMORY = 64 << 20
REQUESTS = 10_000  # in each timed interval
PAYLOAD = bytes(32)
PORT = 11211
FIRST_PEER_PORT = 20_000
PEERS_EACH = 40_000  # ports of one peer's address
SECOND = 1_000_000_000
IDLE = 300 * SECOND
NODE, NETWORK = bytes([198, 18, 0, 1]), "198.18.0.1/16"
NODE_MAC, PEER_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
PEER = bytes([198, 18, 0, 2])
PEER_SEQUENCE = 1_000_000
SYN, PUSH_ACK, PLAIN_ACK = 0x02, 0x18, 0x10
SYN_OPTIONS = bytes.fromhex("020405b4 0402 080a 00000001 00000000 01 030307")
OPTIONS = bytes.fromhex("0101 080a 00000001 00000000")
HEADERS = 14 + 20

Progress = Callable[[str], None]


class Sink(EthernetDevice):
    """Takes every frame and remembers the TCP sequence number of the last."""

    def __init__(self) -> None:
        self.mac = NODE_MAC
        self.mtu = 1500
        self.headroom = 12
        self.checksum_offload = True
        self.largest_segment = 0
        self.sequence = 0

    def transmit(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> bool:
        """See EthernetDevice."""
        self.sequence = int.from_bytes(frame.peek(HEADERS + 4, 4), "big")
        return True


class Echo(TcpHandler):
    """Answers with what it received."""

    __slots__ = ()

    def receive(self, data: IOBuf) -> None:
        """See TcpHandler."""
        self.connection.send(data)


class Crowd:
    """A stack, and ``count`` connections to it, each of which has served one request."""

    def __init__(self, count: int, lookup: str = DEFAULT_LOOKUP) -> None:
        self.clock = ManualClock(SECOND)
        self.allocator = MemoryAllocator(NodeMemory(NODE_MEMORY))
        self.device = Sink()
        self.stack = Stack(self.allocator, self.clock, random.Random(1), bytes(range(16)), lookup=lookup)
        self.interface = self.stack.add_interface(self.device, IPv4Interface(NETWORK))
        self.expected = array("Q")  # the node's next sequence number, by connection
        self.sequences = array("Q")  # the peer's
        self.handlers: list[TcpHandler] = []
        self.stack.tcp.listen(PORT, self._accept, count)
        self._give(_arp_request())
        self.open(count)

    def open(self, count: int) -> None:
        """Open so many more."""
        for number in range(len(self.sequences), len(self.sequences) + count):
            self._give(segment(number, PEER_SEQUENCE, 0, SYN, SYN_OPTIONS))
            self.expected.append(self.device.sequence + 1)
            self.sequences.append(PEER_SEQUENCE + 1)
            self._give(segment(number, PEER_SEQUENCE + 1, self.expected[number], PLAIN_ACK, OPTIONS))
            self.request(number)

    def settle(self) -> None:
        """Acknowledge every reply, and let time pass until no timer waits."""
        for number, sequence in enumerate(self.sequences):
            self._give(segment(number, sequence, self.expected[number], PLAIN_ACK, OPTIONS))
        self.clock.advance(IDLE)
        self.stack.poll(self.clock.now())

    def request(self, number: int) -> None:
        """One request on that connection, which is answered at once."""
        sequence = self.sequences[number]
        self._give(segment(number, sequence, self.expected[number], PUSH_ACK, OPTIONS, PAYLOAD))
        self.sequences[number] = sequence + len(PAYLOAD)
        self.expected[number] += len(PAYLOAD)

    def _accept(self, connection: TcpConnection) -> TcpHandler:
        self.handlers.append(Echo())
        return self.handlers[-1]

    def _give(self, frame: bytes) -> None:
        """Let the stack receive a frame whose checksum the device vouches for."""
        buffer = allocate(self.allocator, len(frame), self.device.headroom)
        assert buffer is not None
        buffer.write(0, frame)
        self.interface.receive_frame(buffer, True)


def segment(
    number: int, sequence: int, acknowledgment: int, flags: int, options: bytes, payload: bytes = b""
) -> bytes:
    """The frame of connection ``number``'s peer."""
    length = 40 + len(options) + len(payload)
    tcp = struct.pack(
        "!HHIIBBHHH",
        FIRST_PEER_PORT + number % PEERS_EACH,
        PORT,
        sequence & 0xFFFFFFFF,
        acknowledgment & 0xFFFFFFFF,
        (20 + len(options)) // 4 << 4,
        flags,
        0xFFFF,
        0,
        0,
    )
    return NODE_MAC + PEER_MAC + b"\x08\x00" + _ip_header(length) + tcp + options + payload


def _ip_header(length: int) -> bytes:
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, 0, 0x4000, 64, 6, 0, PEER, NODE)
    total: int = sum(struct.unpack("!10H", header))
    checksum = 0xFFFF ^ ((total & 0xFFFF) + (total >> 16))
    return header[:10] + checksum.to_bytes(2, "big") + header[12:]


def _arp_request() -> bytes:
    """By which the node gets to know the peer's link address."""
    head = b"\xff" * 6 + PEER_MAC + b"\x08\x06"
    return head + struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, PEER_MAC, PEER, bytes(6), NODE)


def object_bytes(count: int = MANY) -> float:
    """Bytes of Python's own memory that one idle connection of ``count`` more takes."""
    crowd = Crowd(FEW)
    crowd.settle()
    tracemalloc.start()
    try:
        before = _traced(crowd)
        crowd.open(count)
        crowd.settle()
        return (_traced(crowd) - before) / count
    finally:
        tracemalloc.stop()


def resident_bytes(count: int = MANY) -> float:
    """The same as the growth of this process: what the system really gave for them."""
    crowd = Crowd(FEW)
    crowd.settle()
    gc.collect()
    before = _resident()
    crowd.open(count)
    crowd.settle()
    gc.collect()
    return (_resident() - before) / count


def node_memory_bytes(count: int = MANY) -> float:
    """Bytes of node memory that one idle connection pins."""
    crowd = Crowd(FEW)
    crowd.settle()
    before = crowd.allocator.allocated_bytes
    crowd.open(count)
    crowd.settle()
    return (crowd.allocator.allocated_bytes - before) / count


def request_times(count: int, rounds: int, lookup: str = DEFAULT_LOOKUP) -> tuple[list[float], list[float]]:
    """Nanoseconds for each request with ``count`` connections that take turns, and with few, in paired rounds."""
    many, few = Crowd(count, lookup), Crowd(FEW, lookup)
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for which in (0, 1) if number % 2 else (1, 0):
            taken = _timed((many, few)[which])
            if number:  # the first is to warm up
                times[which].append(taken)
    return times


def run(rounds: int, lookup: str, progress: Progress) -> Outcome:
    """Measure everything, on one core."""
    described = environment.describe("own-core", SERVER_CPU, CLIENT_CPU)
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVER_CPU})
    figures: list[Figure] = []
    try:
        with ending() as ended:
            figures.extend(_figures(rounds, lookup, progress))  # one by one: those made before an end are kept
        return Outcome(figures, described, ended=ended)
    finally:
        os.sched_setaffinity(0, allowed)


def _figures(rounds: int, lookup: str, progress: Progress) -> Iterator[Figure]:
    progress("memory")
    grown = resident_bytes()  # first: what was used before and is free now would hide some of it
    yield figure(f"memory of an idle connection, of {MANY}", "bytes", [object_bytes()], MOST_BYTES)
    yield figure("the same, as the process grew", "bytes", [grown], MOST_BYTES)
    yield figure("node memory pinned by it", "bytes", [node_memory_bytes()], 0)
    progress("time")
    many, few = request_times(MANY, rounds, lookup)
    yield compared(f"request and reply, {MANY} connections", "ns", many, f"{FEW} connections", few, MOST_RATIO)


def _timed(crowd: Crowd) -> float:
    count = len(crowd.sequences)
    start = time.perf_counter_ns()
    for number in range(REQUESTS):
        crowd.request(number % count)
    return (time.perf_counter_ns() - start) / REQUESTS


def _traced(crowd: Crowd) -> int:
    """Traced bytes, without what the measurement itself keeps of each connection."""
    gc.collect()
    own = crowd.sequences.__sizeof__() + crowd.expected.__sizeof__()
    return tracemalloc.get_traced_memory()[0] - own


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
