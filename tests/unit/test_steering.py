"""Four cores of one node in one process, a stack each: what arrives at the wrong one."""

import random
from collections.abc import Iterator
from ipaddress import IPv4Interface
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from ebbrt.clock import ManualClock
from ebbrt.iobuf import IOBuf
from ebbrt.network import TcpHandler, UdpHandler
from stack.address import parse_address
from stack.constants import PROTOCOL_TCP, PROTOCOL_UDP
from stack.ipv4.address_claim import AddressUser
from stack.ipv6.settings import Ipv6Settings
from stack.stack import Stack
from stack.steering import MOST_UNDER_WAY, Steering
from tests.fakes import FakeDevice, make_frame
from tests.several_cores import SeveralCores
from tests.stack_harness import BROADCAST_LINK, NODE, NODE_LINK, PEER, PEER_LINK, SECOND

CORES = 4
PEER_NUMBER = parse_address(PEER)


class Keep(TcpHandler):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def connected(self) -> None:
        self.told.append("connected")

    def receive(self, data: IOBuf) -> None:
        self.told.append(data.copy_out())

    def closed(self, reason: str) -> None:
        self.told.append(reason)


class CloseBack(TcpHandler):
    """Closes when the peer does."""

    def peer_closed(self) -> None:
        self.connection.close()


class KeepDatagrams(UdpHandler):
    """Keeps the datagrams it is given."""

    def __init__(self) -> None:
        self.told: list[bytes] = []

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        self.told.append(data.copy_out())


class FourCores:
    """``stacks`` and their ``devices``, joined by core links in memory. ipv6: what they have of that."""

    def __init__(self, ipv6: Ipv6Settings | None = None) -> None:
        self.cores = SeveralCores(CORES, ring_size=1 << 20)
        area = self.cores.allocators[0].allocate(Steering.size(CORES))
        assert area is not None
        self.area = area
        self.cores.memory.view(area.offset, area.size())[:] = bytes(area.size())
        self.clock = ManualClock(SECOND)
        self.devices = [FakeDevice() for _ in range(CORES)]
        self.steering = [Steering(links, self.cores.memory, area.offset) for links in self.cores.links]
        self.stacks = [
            Stack(
                self.cores.allocators[number],
                self.clock,
                random.Random(number),
                b"sixteen byte key",
                steering=self.steering[number],
            )
            for number in range(CORES)
        ]
        for stack, device in zip(self.stacks, self.devices, strict=True):
            stack.add_interface(device, IPv4Interface(f"{NODE}/15"), ipv6).up()

    def give(self, core: int, packet: Packet, settle: bool = True) -> None:
        """Let the device give ``core`` a packet from the peer."""
        frame = bytes(Ether(src=PEER_LINK, dst=NODE_LINK) / packet)
        self.stacks[core].interfaces[0].receive_frame(make_frame(self.cores.allocators[core], frame), False)
        if settle:
            self.cores.settle()

    def arp(self, core: int, **fields: Any) -> None:
        self.give(core, ARP(hwsrc=PEER_LINK, psrc=PEER, **fields))

    def introduce(self) -> None:
        """Let every core know the peer."""
        for core in range(CORES):
            self.arp(core, op=1, pdst=NODE)
        self.take()

    def take(self) -> list[list[Ether]]:
        """What each core has sent since the last call."""
        return [[Ether(frame) for frame in device.frames()] for device in self.devices]

    def senders(self) -> list[int]:
        return [core for core, frames in enumerate(self.take()) for _ in frames]


def icmp_errors(node: FourCores) -> list[int]:
    return [stack.statistics()["tcp"]["segments"]["icmp_errors"] for stack in node.stacks]


@pytest.fixture
def node() -> Iterator[FourCores]:
    four = FourCores()
    yield four
    four.cores.close()


def segment(destination: int, flags: str, **fields: int) -> Packet:
    return IP(src=PEER, dst=NODE) / TCP(**{"sport": 4000, "dport": destination, "flags": flags, **fields})


def datagram(destination: int) -> Packet:
    return IP(src=PEER, dst=NODE) / UDP(sport=4000, dport=destination) / b"datagram"


def test_an_answer_to_arp_reaches_the_core_that_asked(node: FourCores) -> None:
    node.stacks[2].tcp.connect(PEER_NUMBER, 80, Keep())
    (request,) = node.take()[2]
    assert request[ARP].op == 1
    node.arp(0, op=2, hwdst=NODE_LINK, pdst=NODE)
    sent = node.take()
    assert [len(frames) for frames in sent] == [0, 0, 1, 0], "the SYN that waited did not leave"
    assert sent[2][0][TCP].flags == "S"


def test_only_one_core_answers_a_request_and_all_learn_of_a_move(node: FourCores) -> None:
    node.introduce()
    node.arp(1, op=1, pdst=NODE)
    assert node.senders() == [1]
    moved = "02:00:00:00:00:77"
    node.give(3, ARP(op=1, hwsrc=moved, psrc=PEER, pdst=PEER))  # gratuitous
    for core in range(CORES):
        node.give(core, IP(src=PEER, dst=NODE) / ICMP() / b"ping")
    assert [frame.dst for frames in node.take() for frame in frames] == [moved] * CORES


def test_a_syn_goes_to_the_core_that_listens_and_its_connection_lives_there(node: FourCores) -> None:
    node.introduce()
    handler = Keep()
    node.stacks[3].tcp.listen(80, lambda connection: handler)
    node.give(1, segment(80, "S", seq=100))
    sent = node.take()
    assert [len(frames) for frames in sent] == [0, 0, 0, 1]
    acknowledged = sent[3][0][TCP].seq + 1
    node.give(2, segment(80, "A", seq=101, ack=acknowledged))
    node.give(0, segment(80, "PA", seq=101, ack=acknowledged) / b"hello")
    assert handler.told == ["connected", b"hello"]
    assert node.senders() == [3]  # acknowledged


def test_where_all_listen_a_connection_is_found_wherever_its_segments_come(node: FourCores) -> None:
    """The device may forget a flow and choose another core: no reset for a connection that lives."""
    node.introduce()
    handlers = [Keep() for _ in range(CORES)]
    for stack, handler in zip(node.stacks, handlers, strict=True):
        stack.tcp.listen(80, lambda connection, handler=handler: handler)  # type: ignore[misc]
    node.give(2, segment(80, "S", seq=100))
    acknowledged = node.take()[2][0][TCP].seq + 1
    node.give(2, segment(80, "A", seq=101, ack=acknowledged))
    for index, core in enumerate((1, 3, 0, 2)):
        node.give(core, segment(80, "PA", seq=101 + index, ack=acknowledged) / b"x")
    assert [handler.told for handler in handlers] == [[], [], ["connected", b"x", b"x", b"x", b"x"], []]
    assert all(frame[TCP].flags == "A" for frames in node.take() for frame in frames)


def come_and_go(node: FourCores, end: str, peer_port: int = 4000) -> int:
    """A connection of the peer's on core 2, of one piece of data and an ``end``; the node's last sequence number."""
    node.give(2, segment(80, "S", sport=peer_port, seq=100))
    sequence = int(node.take()[2][0][TCP].seq) + 1
    node.give(2, segment(80, "A", sport=peer_port, seq=101, ack=sequence))
    node.give(2, segment(80, "PA", sport=peer_port, seq=101, ack=sequence) / b"hello")
    node.give(2, segment(80, end, sport=peer_port, seq=106, ack=sequence))
    if end == "FA":
        node.give(2, segment(80, "A", sport=peer_port, seq=107, ack=sequence + 1))
    assert node.stacks[2].statistics()["tcp"]["connections"]["now"] == 0
    node.take()
    return sequence


@pytest.mark.parametrize("listening", [[2], [0, 1, 2, 3]])
@pytest.mark.parametrize("end", ["FA", "RA"])
@pytest.mark.parametrize("core", [0, 2])
def test_what_was_overtaken_by_the_end_of_its_connection_is_dropped(
    node: FourCores, core: int, end: str, listening: list[int]
) -> None:
    """The peer's next segment comes to the right core while the one before waits in the queue of ``core``."""
    node.introduce()
    for number in listening:
        node.stacks[number].tcp.listen(80, lambda connection: CloseBack())
    sequence = come_and_go(node, end)
    node.give(core, segment(80, "A", seq=106, ack=sequence))
    node.give(core, segment(80, "PA", seq=101, ack=sequence) / b"hello")  # sent twice; the first came in time
    assert node.senders() == []
    assert sum(stack.statistics()["tcp"]["drops"]["after_end"] for stack in node.stacks) == 2
    node.give(core, segment(80, "PA", seq=107, ack=sequence) / b"x")  # what the connection has not had
    assert [frame[TCP].flags for frames in node.take() for frame in frames] == ["R"]


def test_only_so_many_ends_are_remembered(node: FourCores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.tcp.ended.MOST", 2)
    node.introduce()
    node.stacks[2].tcp.listen(80, lambda connection: CloseBack())
    for peer_port in (4000, 4001, 4000, 4002):
        come_and_go(node, "FA", peer_port)
    for peer_port, resets in ((4000, 0), (4001, 1), (4002, 0)):
        node.give(0, segment(80, "A", sport=peer_port, seq=106, ack=1))
        assert len(node.senders()) == resets


@pytest.mark.parametrize("core", range(CORES))
def test_a_segment_of_no_connection_is_reset_once(node: FourCores, core: int) -> None:
    node.introduce()
    for stack in node.stacks:
        stack.tcp.listen(80, lambda connection: Keep())
    for port in (80, 99, 50000):
        node.give(core, segment(port, "A", seq=5, ack=6))
        resets = [frame for frames in node.take() for frame in frames]
        assert [frame[TCP].flags for frame in resets] == ["R"]
        assert resets[0][TCP].seq == 6


def test_ports_of_own_connections_are_divided_among_the_cores(node: FourCores) -> None:
    node.introduce()
    ports: list[set[int]] = []
    for stack in node.stacks:
        for _ in range(50):
            stack.tcp.connect(PEER_NUMBER, 80, Keep())
    for frames in node.take():
        ports.append({frame[TCP].sport for frame in frames})
    assert [len(of_core) for of_core in ports] == [50] * CORES
    assert len(set.union(*ports)) == 50 * CORES


def test_an_answer_to_a_connection_of_another_core_reaches_it(node: FourCores) -> None:
    node.introduce()
    handler = Keep()
    node.stacks[1].tcp.connect(PEER_NUMBER, 80, handler)
    syn = node.take()[1][0][TCP]
    answer = TCP(sport=80, dport=syn.sport, flags="SA", seq=700, ack=syn.seq + 1)
    before = node.steering[3].handed_over
    node.give(3, IP(src=PEER, dst=NODE) / answer)
    assert handler.told == ["connected"]
    counted = node.stacks[3].statistics()
    assert counted["tcp"]["segments"]["handed_over"] == 1
    assert counted["steering"]["handed_over"] == before + 1


def test_a_port_that_a_core_listens_on_is_not_drawn_by_the_core_it_belongs_to(node: FourCores) -> None:
    first, last = node.steering[0].own_ports(49152, 65535)
    node.steering[1].claim(PROTOCOL_TCP, first)
    assert node.steering[0].is_claimed_elsewhere(PROTOCOL_TCP, first)
    assert not node.steering[0].is_claimed_elsewhere(PROTOCOL_TCP, last)
    node.steering[1].release(PROTOCOL_TCP, first)
    assert not node.steering[0].is_claimed_elsewhere(PROTOCOL_TCP, first)


def test_datagrams_go_to_a_core_that_has_the_port_and_else_are_refused_once(node: FourCores) -> None:
    node.introduce()
    handler = KeepDatagrams()
    socket = node.stacks[2].udp.bind(9000, handler)
    for core in range(CORES):
        node.give(core, datagram(9000))
    assert handler.told == [b"datagram"] * CORES
    assert node.senders() == []
    socket.close()
    assert not node.steering[0].is_claimed_elsewhere(PROTOCOL_UDP, 9000)
    node.give(1, datagram(9000))
    assert node.senders() == [1]


def test_an_icmp_error_reaches_the_core_whose_packet_it_quotes(node: FourCores) -> None:
    node.introduce()
    handler = Keep()
    node.stacks[2].tcp.connect(PEER_NUMBER, 80, handler)
    syn = node.take()[2][0][IP]
    node.give(0, IP(src=PEER, dst=NODE) / ICMP(type=3, code=1) / bytes(syn)[:28])
    assert handler.told == ["unreachable"]
    assert icmp_errors(node) == [1, 0, 1, 0]


def test_an_icmp_error_about_a_port_of_all_is_told_each_once(node: FourCores) -> None:
    node.introduce()
    for stack in node.stacks:
        stack.tcp.listen(80, lambda connection: Keep())
    node.give(3, IP(src=PEER, dst=NODE) / ICMP(type=3, code=1) / IP(src=NODE, dst=PEER) / TCP(sport=80, dport=4000))
    assert icmp_errors(node) == [1, 1, 1, 1]


def test_a_core_that_takes_nothing_costs_a_bounded_amount(node: FourCores) -> None:
    node.introduce()
    node.stacks[2].tcp.listen(80, lambda connection: Keep())
    before = node.steering[1].handed_over
    for number in range(MOST_UNDER_WAY + 50):
        node.give(1, segment(80, "S", seq=number), settle=False)
    assert node.steering[1].handed_over - before == MOST_UNDER_WAY
    assert node.steering[1].dropped_full == 50
    node.cores.settle()
    node.give(1, segment(80, "S", seq=1))
    assert node.steering[1].dropped_full == 50, "room was not made again"


def test_what_was_handed_over_is_given_back(node: FourCores) -> None:
    node.introduce()
    before = [allocator.allocated_bytes for allocator in node.cores.allocators]
    for core in range(CORES):
        node.give(core, datagram(9000))
        node.give(core, segment(50000 + core, "A", seq=5, ack=6))
    node.take()
    node.cores.settle()
    assert [allocator.allocated_bytes for allocator in node.cores.allocators] == before


def test_the_area_is_as_large_as_said() -> None:
    assert Steering.size(CORES) == CORES * (16384 + CORES * 8)


def test_an_address_conflict_comes_to_the_core_that_has_the_claim(node: FourCores) -> None:
    node.introduce()
    interface = node.stacks[0].interfaces[0]
    address = IPv4Interface(f"{NODE}/15")
    node.stacks[0].claim(interface).claim(address, AddressUser(), node.clock.now(), probe=False, keep=True)
    node.take()
    node.give(2, ARP(op=2, hwsrc=PEER_LINK, psrc=NODE, pdst=NODE))
    assert node.senders() == [0], "no defence, or more than one"


def test_hostile_arp_and_errors_stay_with_the_core_they_came_to(node: FourCores) -> None:
    node.introduce()
    before = [steering.statistics()["received"] for steering in node.steering]
    node.give(0, ARP(op=7, hwsrc=PEER_LINK, psrc=PEER, pdst=NODE))
    node.give(0, ARP(op=2, hwsrc=BROADCAST_LINK, psrc=PEER, pdst=NODE))
    quoted = IP(src="198.18.0.9", dst=PEER) / TCP(sport=50000, dport=80)
    node.give(0, IP(src=PEER, dst=NODE) / ICMP(type=3, code=1) / bytes(quoted))
    node.give(0, IP(src=PEER, dst=NODE) / ICMP(type=3, code=1) / b"E")
    assert [steering.statistics()["received"] for steering in node.steering] == before


@pytest.mark.parametrize("core", range(CORES))
def test_a_cookie_that_comes_to_another_core_opens_the_connection_where_it_was_made(
    node: FourCores, core: int
) -> None:
    node.introduce()
    accepted = []
    for number, stack in enumerate(node.stacks):
        stack.tcp.listen(80, lambda connection, number=number: accepted.append(number) or Keep(), backlog=0)
    node.give(1, segment(80, "S", seq=100))
    answer = node.take()[1][0][TCP]
    assert answer.flags == "SA"
    node.give(core, segment(80, "A", seq=101, ack=answer.seq + 1))
    assert accepted == [1]
    assert node.senders() == []
