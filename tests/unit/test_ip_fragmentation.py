"""Fragments through the whole stack: what scapy has cut is delivered and answered; what we cut scapy mends."""

import pytest
from scapy.layers.inet import (
    ICMP,
    IP,
    TCP,
    UDP,
    IPOption,
    IPOption_LSRR,
    IPOption_NOP,
    IPOption_SSRR,
    defragment,
    fragment,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from ebbrt.constants import FOREVER
from stack.fragments import IPV4_TIMEOUT
from tests.fakes import make_frame, ones_complement_sum
from tests.stack_harness import BROADCAST_LINK, NODE, NODE_LINK, PEER, PEER_LINK, SECOND, Harness, verified
from tests.unit.test_ip_packets import Recorder

DATA = bytes(number % 251 for number in range(8000))


def datagram(data: bytes = DATA, **fields: object) -> IP:
    return IP(src=PEER, dst=NODE, id=7, **fields) / UDP(sport=9, dport=7) / Raw(data)


def give(harness: Harness, parts: list[Packet]) -> None:
    for part in parts:
        harness.give_ip(part)


def whole(frames: list[Ether]) -> IP:
    """The one packet that scapy makes of fragments of ours, its checksums verified, and those of their headers."""
    for frame in frames:
        assert ones_complement_sum(bytes(frame[IP])[:20]) == 0xFFFF
    (packet,) = defragment([frame[IP] for frame in frames])
    return verified(Ether() / packet)


@pytest.mark.parametrize("backward", [False, True])
def test_a_datagram_in_fragments_is_delivered(backward: bool) -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder)
    parts = fragment(datagram(), 1000)
    give(harness, parts[::-1] if backward else parts)
    assert recorder.received == [(DATA, PEER, 9)]
    assert harness.counter("ipv4", "fragment") == len(parts)
    assert harness.stack.next_deadline() == FOREVER


def test_the_checksum_of_the_whole_is_verified_even_if_the_device_vouched_for_the_parts() -> None:
    harness = Harness()
    harness.stack.udp.bind(7, Recorder())
    parts = fragment(IP(bytes(datagram())[:-1] + b"!"), 1000)
    for part in parts:
        harness.give_ip(part, checksum_valid=True)
    assert harness.counter("udp", "bad_checksum") == 1


def test_a_long_ping_is_answered_in_fragments() -> None:
    harness = Harness()
    give(harness, fragment(IP(src=PEER, dst=NODE, id=7) / ICMP(id=1, seq=2) / Raw(DATA), 1480))
    frames = harness.take()
    assert [(frame[IP].flags.value, frame[IP].frag) for frame in frames] == [
        *((1, number * 185) for number in range(5)),
        (0, 925),
    ]
    reply = whole(frames)
    assert (reply[ICMP].type, reply[ICMP].id, reply[ICMP].seq, bytes(reply[ICMP].payload)) == (0, 1, 2, DATA)
    assert harness.counter("ipv4", "sent_fragments") == 6


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("cuts", [(), (1,), (1473, 1480, 4444)])
@pytest.mark.parametrize("length", [1473, 8000, 65507])
def test_a_long_datagram_leaves_in_fragments(offload: bool, cuts: tuple[int, ...], length: int) -> None:
    harness = Harness(checksum_offload=offload)
    data = (DATA * 9)[:length]
    frame = make_frame(harness.allocator, data, *(cut for cut in cuts if cut < length))
    assert harness.stack.udp.bind(7, Recorder()).send(frame, PEER, 9)
    frames = harness.take()
    assert all(len(frame[IP]) <= 1500 for frame in frames)
    packet = whole(frames)
    assert bytes(packet[UDP].payload) == data


def test_no_two_datagrams_in_fragments_have_the_same_identification() -> None:
    harness = Harness()
    socket = harness.stack.udp.bind(7, Recorder())
    for _ in range(20):
        socket.send(make_frame(harness.allocator, bytes(2000)), PEER, 9)
        socket.send(make_frame(harness.allocator, b"short"), PEER, 9)
    identifications = [frame[IP].id for frame in harness.take() if frame[IP].flags.MF]
    assert len(set(identifications)) == len(identifications) == 20


def test_fragments_wait_for_the_neighbour() -> None:
    harness = Harness(knows_peer=False)
    harness.stack.udp.bind(7, Recorder()).send(make_frame(harness.allocator, DATA), PEER, 9)
    assert [ARP in frame for frame in harness.take()] == [True]
    harness.give(Ether(src=PEER_LINK, dst=NODE_LINK) / ARP(op=2, hwsrc=PEER_LINK, psrc=PEER, pdst=NODE))
    assert bytes(whole(harness.take())[UDP].payload) == DATA


def test_what_never_completes_is_given_up_and_its_sender_told() -> None:
    harness = Harness()
    first, second, *_ = fragment(datagram(), 1000)
    harness.give_ip(first)
    harness.give_ip(fragment(datagram()[IP], 1000)[2].copy())
    harness.give_ip(fragment(IP(src=PEER, dst=NODE, id=8) / UDP() / Raw(DATA), 1000)[1])  # no first fragment
    assert harness.stack.next_deadline() == harness.clock.now() + IPV4_TIMEOUT
    harness.advance(IPV4_TIMEOUT - 1)
    assert harness.take() == []
    harness.advance(1)
    (error,) = harness.take()
    assert (error[IP].dst, error[ICMP].type, error[ICMP].code) == (PEER, 11, 1)
    assert bytes(error[ICMP].payload)[:28] == bytes(first)[:28]
    assert harness.counter("ipv4_reassembly", "expired") == 2
    harness.give_ip(second)
    assert harness.counter("ipv4_reassembly", "datagrams") == 1


def test_nobody_is_told_about_a_broadcast_or_an_error_in_fragments() -> None:
    harness = Harness()
    link = Ether(src=PEER_LINK, dst=BROADCAST_LINK)
    harness.give(link / fragment(IP(src=PEER, dst="255.255.255.255", id=1) / UDP() / Raw(DATA), 1000)[0])
    harness.give_ip(fragment(IP(src=PEER, dst=NODE, id=2) / ICMP(type=3, code=3) / Raw(DATA), 1000)[0])
    harness.advance(IPV4_TIMEOUT)
    assert harness.take() == []
    assert harness.counter("icmp", "errors_about_broadcast") == 1
    assert harness.counter("icmp", "errors_about_errors") == 1


def test_a_datagram_longer_than_any_is_dropped() -> None:
    harness = Harness()
    harness.give_ip(IP(src=PEER, dst=NODE, id=3, frag=8189, proto=17) / Raw(bytes(24)))
    assert harness.counter("ipv4_reassembly", "too_long") == 1


def test_options_of_the_first_fragment_count_to_the_length_of_the_whole() -> None:
    harness = Harness()
    harness.give_ip(IP(src=PEER, dst=NODE, id=3, flags="MF", proto=17, options=[IPOption_NOP()] * 40) / bytes(65472))
    harness.give_ip(IP(src=PEER, dst=NODE, id=3, frag=8184, proto=17) / bytes(40))
    assert harness.counter("ipv4_reassembly", "too_long") == 1
    assert harness.counter("ipv4", "delivered") == 0


def test_an_unbound_port_is_refused_quoting_the_header_of_the_whole() -> None:
    harness = Harness()
    give(harness, fragment(datagram(), 1000))
    (error,) = harness.take()
    quoted = IP(bytes(error[ICMP].payload))
    assert (error[ICMP].type, error[ICMP].code) == (3, 3)
    assert (quoted.len, quoted.flags.value, quoted.frag) == (8028, 0, 0)


def test_nothing_is_leaked_or_copied() -> None:
    harness = Harness()
    before = harness.allocator.statistics()["allocated_bytes"]
    give(harness, fragment(IP(src=PEER, dst=NODE, id=7) / ICMP() / Raw(DATA), 1000))
    give(harness, fragment(datagram(), 1000))
    give(harness, fragment(datagram(), 1000)[:3])
    harness.advance(60 * SECOND)
    harness.device.sent.clear()
    assert harness.allocator.statistics()["allocated_bytes"] == before
    assert harness.allocator.statistics()["payload_bytes_copied"] == 0


@pytest.mark.parametrize(("ecn", "expected"), [((2, 2), 2), ((2, 3), 3)])
def test_congestion_experienced_by_a_part_is_that_of_the_whole(ecn: tuple[int, int], expected: int) -> None:
    harness = Harness()
    parts = fragment(datagram(DATA[:1500], tos=2), 1000)
    for part, bits in zip(parts, ecn, strict=True):
        part.tos = bits
    give(harness, parts)
    (error,) = harness.take()
    assert IP(bytes(error[ICMP].payload)).tos == expected


# Options


@pytest.mark.parametrize("option", [IPOption_LSRR, IPOption_SSRR])
def test_source_routes_are_refused(option: type[IPOption]) -> None:
    harness = Harness()
    harness.stack.udp.bind(7, Recorder())
    harness.give_ip(datagram(b"routed", options=[option(routers=[PEER])]))
    assert harness.counter("ipv4", "source_route") == 1
    assert harness.take() == []


@pytest.mark.parametrize(
    ("option", "pointer"), [(b"\x44\x01\x00\x00", 20), (b"\x01\x44\x09\x05", 21), (b"\x01\x01\x01\x44", 23)]
)
def test_a_bad_option_is_a_parameter_problem(option: bytes, pointer: int) -> None:
    harness = Harness()
    bad = bytearray(bytes(datagram(b"bad", options=[IPOption_NOP()] * 4)))
    bad[20:24] = option
    bad[10:12] = b"\0\0"
    bad[10:12] = (0xFFFF ^ ones_complement_sum(bad[:24])).to_bytes(2, "big")
    harness.give_ip(bytes(bad))
    error = Ether(harness.device.frames()[0][: 14 + 28])
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].ptr) == (12, 0, pointer)
    assert harness.counter("ipv4", "bad_option") == 1


def test_tcp_is_never_sent_in_fragments() -> None:
    harness = Harness()
    path = harness.stack.internet.path(None, (0, 0xFFFF << 32 | 0xC6120003))
    packet = make_frame(harness.allocator, bytes(2000))
    packet.owns_headroom = True
    packet.advance(100)
    assert not path.send(packet, 1900, 6, 16, 0, 0, harness.clock.now())
    assert harness.counter("ipv4", "send_too_long") == 1
    assert TCP not in harness.take()
