"""ARP and the neighbour cache: resolution, refresh, bounds, and what hostile packets may not do."""

from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf
from ebbrt.network import UdpHandler
from stack.address import MASK32, parse_address
from tests.fakes import make_frame
from tests.stack_harness import (
    BROADCAST_LINK,
    GATEWAY,
    NODE,
    NODE_LINK,
    PEER,
    PEER_LINK,
    SECOND,
    Harness,
    verified,
)

PEER_NUMBER = parse_address(PEER)[1] & MASK32

OTHER_LINK = "02:00:00:00:00:77"


class Application(UdpHandler):
    def __init__(self) -> None:
        self.lost: list[tuple[str, str, int]] = []

    def undelivered(self, reason: str, address: str, port: int) -> None:
        self.lost.append((reason, address, port))


def payload(harness: Harness, data: bytes = b"hello") -> IOBuf:
    return make_frame(harness.allocator, data)


def arp_reply(sender: str = PEER, link: str = PEER_LINK) -> Ether:
    return Ether(src=link, dst=NODE_LINK) / ARP(op=2, hwsrc=link, psrc=sender, hwdst=NODE_LINK, pdst=NODE)


def test_answers_requests_for_our_address() -> None:
    harness = Harness(knows_peer=False)
    harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / ARP(op=1, hwsrc=PEER_LINK, psrc=PEER, pdst=NODE))
    (answer,) = harness.take()
    expected = Ether(src=NODE_LINK, dst=PEER_LINK) / ARP(op=2, hwsrc=NODE_LINK, psrc=NODE, hwdst=PEER_LINK, pdst=PEER)
    assert bytes(answer) == bytes(expected)
    harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / ARP(op=1, hwsrc=PEER_LINK, psrc=PEER, pdst=GATEWAY))
    assert harness.take() == []
    assert harness.counter("arp", "replies_used") == 1  # it refreshed what we knew


def test_answers_probes_without_learning() -> None:
    harness = Harness(knows_peer=False)
    harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / ARP(op=1, hwsrc=PEER_LINK, psrc="0.0.0.0", pdst=NODE))
    assert harness.take()[0][ARP].psrc == NODE
    assert harness.counter("arp", "neighbours") == 0


def test_packets_wait_for_resolution_and_leave_in_order() -> None:
    harness = Harness(knows_peer=False, checksum_offload=True)
    socket = harness.stack.udp.bind(7, Application())
    for number in range(3):
        assert socket.send(payload(harness, b"%d" % number), PEER, 9)
    (request,) = harness.take()
    assert request.dst == BROADCAST_LINK
    assert (request[ARP].op, request[ARP].psrc, request[ARP].pdst) == (1, NODE, PEER)
    harness.give(arp_reply())
    frames = harness.take()
    assert [verified(frame)[UDP].payload.load for frame in frames] == [b"0", b"1", b"2"]
    assert all(frame.dst == PEER_LINK and frame.src == NODE_LINK for frame in frames)
    assert harness.stack.next_deadline() == FOREVER


def test_gives_up_and_tells_the_owner() -> None:
    harness = Harness(knows_peer=False)
    application = Application()
    harness.stack.udp.bind(7, application).send(payload(harness), PEER, 9)
    neighbours = harness.interface.arp
    neighbour = neighbours.neighbour(PEER_NUMBER)
    assert neighbour is neighbours.neighbour(PEER_NUMBER)
    for _ in range(3):
        assert application.lost == []
        assert harness.stack.next_deadline() == harness.clock.now() + SECOND
        harness.advance(SECOND)
    assert [frame[ARP].pdst for frame in harness.take()] == [PEER] * 3
    assert application.lost == [("unreachable", PEER, 9)]
    assert neighbour.is_gone()
    assert harness.counter("arp", "frames_dropped_unreachable") == 1
    assert harness.stack.next_deadline() == FOREVER
    # The next packet starts afresh.
    harness.stack.udp.bind(8, application).send(payload(harness), PEER, 9)
    assert len(harness.take()) == 1


def test_queue_is_bounded_and_keeps_the_latest() -> None:
    harness = Harness(knows_peer=False)
    socket = harness.stack.udp.bind(7, Application())
    for number in range(100):
        socket.send(payload(harness, b"%d" % number), PEER, 9)
    harness.take()
    harness.give(arp_reply())
    assert [frame[UDP].payload.load for frame in harness.take()] == [b"%d" % number for number in range(36, 100)]
    assert harness.counter("arp", "frames_dropped_queue_full") == 36


def test_old_entry_is_probed_by_unicast_while_in_use() -> None:
    harness = Harness()
    socket = harness.stack.udp.bind(7, Application())
    harness.advance(61 * SECOND)
    socket.send(payload(harness), PEER, 9)
    request, datagram = harness.take()
    assert (request.dst, request[ARP].op) == (PEER_LINK, 1)
    assert (datagram.dst, datagram[UDP].dport) == (PEER_LINK, 9)
    harness.give(arp_reply())
    assert harness.stack.next_deadline() == FOREVER
    socket.send(payload(harness), PEER, 9)
    assert len(harness.take()) == 1


def test_old_entry_that_does_not_answer_is_forgotten() -> None:
    harness = Harness()
    socket = harness.stack.udp.bind(7, Application())
    harness.advance(61 * SECOND)
    socket.send(payload(harness), PEER, 9)
    for _ in range(3):
        harness.advance(SECOND)
    assert [frame.dst for frame in harness.take() if ARP in frame] == [PEER_LINK] * 3
    assert harness.counter("arp", "neighbours") == 0
    socket.send(payload(harness), PEER, 9)
    assert harness.take()[0].dst == BROADCAST_LINK


def test_gratuitous_packets_change_known_entries_only() -> None:
    harness = Harness()
    announce = Ether(src=OTHER_LINK, dst=BROADCAST_LINK)
    harness.give(announce / ARP(op=1, hwsrc=OTHER_LINK, psrc="198.18.9.9", pdst="198.18.9.9"))
    harness.give(announce / ARP(op=2, hwsrc=OTHER_LINK, psrc="198.18.9.9", pdst=NODE))
    assert harness.counter("arp", "neighbours") == 1
    assert harness.counter("arp", "ignored") == 2
    harness.give(announce / ARP(op=1, hwsrc=OTHER_LINK, psrc=PEER, pdst=PEER))
    harness.stack.udp.bind(7, Application()).send(payload(harness), PEER, 9)
    assert harness.take()[0].dst == OTHER_LINK


def test_refuses_impossible_senders() -> None:
    harness = Harness(knows_peer=False)
    for link, address in (
        (BROADCAST_LINK, PEER),
        ("01:00:5e:00:00:01", PEER),
        ("00:00:00:00:00:00", PEER),
        (NODE_LINK, PEER),
        (PEER_LINK, "10.0.0.1"),
        (PEER_LINK, "198.19.255.255"),
        (PEER_LINK, "198.18.0.0"),
    ):
        harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / ARP(op=1, hwsrc=link, psrc=address, pdst=NODE))
    assert harness.counter("arp", "bad_sender") == 7
    harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / ARP(op=1, hwsrc=PEER_LINK, psrc=NODE, pdst=NODE))
    assert harness.counter("arp", "address_conflicts") == 1
    harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / ARP(op=3, hwsrc=PEER_LINK, psrc=PEER, pdst=NODE))
    assert harness.counter("arp", "malformed") == 1
    assert harness.take() == []
    assert harness.counter("arp", "neighbours") == 0


def test_flood_does_not_displace_who_is_in_use() -> None:
    harness = Harness()
    held = harness.interface.arp.neighbour(PEER_NUMBER)
    socket = harness.stack.udp.bind(7, Application())
    for number in range(5000):
        sender = f"198.18.{1 + number // 250}.{1 + number % 250}"
        harness.give(Ether(src=OTHER_LINK, dst=NODE_LINK) / ARP(op=1, hwsrc=OTHER_LINK, psrc=sender, pdst=NODE))
        if number % 500 == 0:
            socket.send(payload(harness), PEER, 9)
    assert harness.counter("arp", "neighbours") == 1024
    assert harness.counter("arp", "evicted") == 5001 - 1024
    assert not held.is_gone()


def test_holder_of_an_evicted_neighbour_can_go_on() -> None:
    harness = Harness()
    neighbours = harness.interface.arp
    path = harness.stack.internet.path(None, parse_address(PEER))
    held = neighbours.neighbour(PEER_NUMBER)
    for number in range(1024):
        sender = f"198.18.{1 + number // 250}.{1 + number % 250}"
        harness.give(Ether(src=OTHER_LINK, dst=NODE_LINK) / ARP(op=1, hwsrc=OTHER_LINK, psrc=sender, pdst=NODE))
    harness.take()
    assert held.is_gone()
    packet = make_frame(harness.allocator, bytes(64))
    packet.owns_headroom = True
    packet.advance(40)
    assert path.send(packet, 24, 200, 0, 0, 0, harness.clock.now())
    harness.take()
    harness.give(arp_reply())
    assert harness.take()[0][IP].proto == 200


def test_a_flood_from_addresses_that_nobody_has_displaces_only_its_own() -> None:
    harness = Harness()
    held = harness.interface.arp.neighbour(PEER_NUMBER)
    waiting = harness.interface.arp.neighbour(PEER_NUMBER + 1)
    before = harness.allocator.statistics()["allocated_bytes"]
    for number in range(1000):
        source = f"198.19.{number // 250}.{1 + number % 250}"
        harness.give_ip(IP(src=source, dst=NODE) / UDP(sport=1, dport=9))
        harness.advance(2_000_000)
    harness.device.sent.clear()
    assert not held.is_gone()
    assert not waiting.is_gone()
    assert harness.counter("arp", "neighbours") <= 2 + 128
    assert harness.allocator.statistics()["allocated_bytes"] - before < 1024 * 512


def test_those_that_nothing_is_known_of_have_a_limit_of_their_own() -> None:
    harness = Harness()
    held = harness.interface.arp.neighbour(PEER_NUMBER)
    socket = harness.stack.udp.bind(7, Application())
    for number in range(400):
        socket.send(payload(harness), f"198.18.{1 + number // 250}.{1 + number % 250}", 9)
    assert harness.counter("arp", "neighbours") == 1 + 256
    assert harness.counter("arp", "evicted") == 400 - 256
    assert not held.is_gone()


def test_frames_that_wait_are_bounded_for_all_neighbours_together() -> None:
    harness = Harness(knows_peer=False)
    socket = harness.stack.udp.bind(7, Application())
    for number in range(30):
        for _ in range(60):
            socket.send(payload(harness), f"198.18.1.{1 + number}", 9)
    counted = harness.stack.statistics()["arp"]
    assert counted["frames_queued"] - counted["frames_dropped_evicted"] <= 1024
    assert counted["frames_dropped_evicted"] == 60 * counted["evicted"]


def test_full_device_is_counted() -> None:
    harness = Harness(knows_peer=False)
    socket = harness.stack.udp.bind(7, Application())
    socket.send(payload(harness), PEER, 9)
    harness.device.full = True
    harness.give(arp_reply())
    assert harness.counter("arp", "frames_dropped_device_full") == 1
    assert not socket.send(payload(harness), PEER, 9)
    assert harness.counter("ipv4", "send_device_full") == 1
    assert harness.counter("udp", "send_dropped") == 1


def test_replies_to_strangers_look_for_few_of_them_and_displace_nobody() -> None:
    harness = Harness()
    harness.stack.udp.bind(7, Application()).send(payload(harness), "198.18.200.1", 9)
    for number in range(1000):
        packet = IP(src=f"198.19.{number >> 8}.{number & 255}", dst=NODE) / ICMP(type=8) / b"?"
        harness.give(Ether(src=PEER_LINK, dst=NODE_LINK) / packet)
    statistics = harness.interface.arp.statistics()
    assert statistics["resolving"] == 128
    assert statistics["replies_not_resolved"] == 1000 - 127
    assert statistics["evicted"] == 0
    harness.give_ip(IP(src=PEER, dst=NODE) / ICMP(type=8) / b"?")
    assert harness.take()[-1][ICMP].type == 0
    for _ in range(3):
        harness.advance(4 * SECOND)
    assert harness.interface.arp.statistics()["resolving"] == 0
