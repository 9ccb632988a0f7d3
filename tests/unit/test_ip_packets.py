"""IPv4, ICMP and UDP against scapy: what is validated, delivered, answered and sent."""

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from ebbrt.iobuf import IOBuf
from ebbrt.network import AddressInUseError, UdpHandler
from stack.error_limit import ErrorLimit
from tests.fakes import make_frame, read_chain
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


class Recorder(UdpHandler):
    def __init__(self) -> None:
        self.received: list[tuple[bytes, str, int]] = []
        self.lost: list[tuple[str, str, int]] = []

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        self.received.append((read_chain(data), address, port))

    def undelivered(self, reason: str, address: str, port: int) -> None:
        self.lost.append((reason, address, port))


def from_peer(payload: Packet, **fields: object) -> IP:
    return IP(src=PEER, dst=NODE, **fields) / payload


def datagram(data: bytes = b"hello", port: int = 7, **fields: object) -> IP:
    return from_peer(UDP(sport=9, dport=port) / Raw(data), **fields)


def spoiled(packet: Packet, offset: int, value: int) -> bytes:
    data = bytearray(bytes(packet))
    data[offset] = value
    return bytes(data)


# Ethernet


def test_frames_for_others_and_of_other_kinds_are_counted() -> None:
    harness = Harness()
    harness.give(Ether(src=PEER_LINK, dst="02:00:00:00:00:99") / datagram())
    harness.give(Ether(src=PEER_LINK, dst=NODE_LINK, type=0x86DD) / Raw(bytes(40)))
    harness.give(bytes(13))
    assert harness.counter("ethernet", "not_for_us") == 1
    assert harness.counter("ethernet", "unknown_ethertype") == 1
    assert harness.counter("ethernet", "too_short") == 1
    assert harness.take() == []


# IPv4


@pytest.mark.parametrize(
    ("packet", "outcome"),
    [
        (bytes(datagram())[:19], "short_header"),
        (datagram(version=6), "bad_version"),
        (datagram(ihl=4), "bad_header_length"),
        (bytes(datagram(ihl=15))[:50], "bad_header_length"),
        (datagram(len=19), "bad_total_length"),
        (datagram(len=34), "bad_total_length"),
        (datagram(chksum=0x1234), "bad_header_checksum"),
        (IP(src="127.0.0.1", dst=NODE) / UDP(), "bad_source"),
        (IP(src="0.0.0.0", dst=NODE) / UDP(), "bad_source"),
        (IP(src="224.0.0.1", dst=NODE) / UDP(), "bad_source"),
        (IP(src="255.255.255.255", dst=NODE) / UDP(), "bad_source"),
        (IP(src="198.19.255.255", dst=NODE) / UDP(), "bad_source"),
        (IP(src=NODE, dst=NODE) / UDP(), "bad_source"),
        (IP(src=PEER, dst=GATEWAY) / UDP(), "not_ours"),
        (IP(src=PEER, dst="224.0.0.9") / UDP(), "not_ours"),
        (datagram(flags="MF"), "fragment"),
        (datagram(frag=1), "fragment"),
        (IP(src=PEER, dst="255.255.255.255") / TCP(flags="S"), "tcp_to_group"),
    ],
)
def test_invalid_packets_are_dropped_with_a_reason(packet: Packet | bytes, outcome: str) -> None:
    harness = Harness()
    harness.give_ip(packet)
    assert harness.counter("ipv4", outcome) == 1
    assert harness.counter("ipv4", "received") == 1
    assert harness.counter("ipv4", "delivered") == 0
    assert harness.take() == []


def test_unicast_packet_in_a_broadcast_frame_is_dropped() -> None:
    harness = Harness()
    harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / datagram())
    assert harness.counter("ipv4", "not_ours") == 1


@pytest.mark.parametrize("cuts", [(), (34,), (14, 30), (14, 34, 40, 42, 43), (45, 46)])
def test_padding_is_trimmed_wherever_the_buffers_end(cuts: tuple[int, ...]) -> None:
    """Chains whose first piece holds the IPv4 header, or starts it anew right behind the Ethernet header."""
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder)
    data = bytes(Ether(src=PEER_LINK, dst=NODE_LINK) / datagram(b"abc")) + b"padding padding"
    contiguous = not cuts or not any(14 < cut < 34 or 34 < cut < 42 for cut in cuts)
    harness.give(data, *cuts)
    assert recorder.received == ([(b"abc", PEER, 9)] if contiguous else [])


def test_options_are_skipped() -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder)
    harness.give_ip(datagram(options=[IPOption_NOP()] * 8))
    assert recorder.received == [(b"hello", PEER, 9)]


def test_next_hop_is_the_gateway_off_the_network() -> None:
    harness = Harness()
    harness.introduce(GATEWAY, "02:00:00:00:00:aa")
    socket = harness.stack.udp.bind(7, Recorder())
    assert socket.send(make_frame(harness.allocator, b"x"), "10.1.2.3", 9)
    assert socket.send(make_frame(harness.allocator, b"x"), PEER, 9)
    assert socket.send(make_frame(harness.allocator, b"x"), "198.19.255.255", 9)
    far, near, everybody = harness.take()
    assert (far.dst, far[IP].dst) == ("02:00:00:00:00:aa", "10.1.2.3")
    assert (near.dst, near[IP].dst) == (PEER_LINK, PEER)
    assert (everybody.dst, everybody[IP].dst) == (BROADCAST_LINK, "198.19.255.255")


def test_no_route() -> None:
    harness = Harness(gateway=None)
    socket = harness.stack.udp.bind(7, Recorder())
    for address in ("10.1.2.3", NODE):
        assert not socket.send(make_frame(harness.allocator, b"x"), address, 9)
    assert harness.counter("ipv4", "send_no_route") == 2
    assert harness.take() == []


# ICMP


@pytest.mark.parametrize("size", [0, 1, 2, 56, 57, 1471, 1472])
@pytest.mark.parametrize("cuts", [(), (42,), (43,), (50, 51, 58)])
def test_echo(size: int, cuts: tuple[int, ...]) -> None:
    harness = Harness()
    data = bytes(index % 251 for index in range(size))
    request = Ether(src=PEER_LINK, dst=NODE_LINK) / from_peer(ICMP(id=0x1234, seq=0xFFFF) / Raw(data))
    harness.give(request, *(cut for cut in cuts if cut < 42 + size))
    reply = verified(harness.take()[0])
    assert (reply.src, reply.dst, reply.flags) == (NODE, PEER, "DF")
    assert (reply[ICMP].type, reply[ICMP].code, reply[ICMP].id, reply[ICMP].seq) == (0, 0, 0x1234, 0xFFFF)
    assert bytes(reply[ICMP].payload) == data
    assert harness.counter("icmp", "echo_requests_answered") == 1


def test_echo_sends_the_received_memory_itself() -> None:
    harness = Harness()
    frame = make_frame(
        harness.allocator, bytes(Ether(src=PEER_LINK, dst=NODE_LINK) / from_peer(ICMP() / Raw(b"data")))
    )
    payload = frame.start + 42
    harness.interface.receive_frame(frame, False)
    assert harness.device.sent[0].pieces[1] == (payload, 4)


def test_echo_is_not_answered_when_damaged_or_broadcast() -> None:
    harness = Harness()
    harness.give_ip(from_peer(ICMP(chksum=1) / Raw(b"data")), checksum_valid=True)
    harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / IP(src=PEER, dst="255.255.255.255") / ICMP())
    harness.give_ip(from_peer(Raw(b"\x08\0\0\0"), proto=1))
    harness.give_ip(from_peer(ICMP(type=13)))
    harness.give_ip(from_peer(ICMP(type=0)))
    for name in ("bad_checksum", "echo_to_broadcast", "too_short", "unknown_type", "echo_replies"):
        assert harness.counter("icmp", name) == 1, name
    assert harness.take() == []


def test_redirects_and_source_quench_are_ignored() -> None:
    harness = Harness()
    sent = IP(src=NODE, dst="10.1.2.3") / UDP()
    harness.give_ip(from_peer(ICMP(type=5, code=1, gw=PEER) / sent))
    harness.give_ip(from_peer(ICMP(type=4) / sent))
    assert harness.counter("icmp", "unknown_type") == 2
    harness.stack.udp.bind(7, Recorder()).send(make_frame(harness.allocator, b"x"), "10.1.2.3", 9)
    assert harness.take()[0].pdst == GATEWAY


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (datagram(b"x" * 100), 3),
        (datagram(b""), 3),
        (datagram(b"x" * 100, options=[IPOption_NOP()] * 4), 3),
        (from_peer(Raw(b"abc"), proto=200), 2),
        (from_peer(Raw(b""), proto=200), 2),
    ],
)
def test_errors_quote_the_header_and_eight_bytes(packet: IP, code: int) -> None:
    harness = Harness()
    harness.give_ip(packet)
    error = verified(harness.take()[0])
    assert (error.dst, error[ICMP].type, error[ICMP].code) == (PEER, 3, code)
    original = bytes(packet)
    assert bytes(error[ICMP].payload) == original[: packet.__class__(original).ihl * 4 + 8]
    assert harness.counter("icmp", "errors_sent") == 1


def test_errors_quote_what_is_split_over_buffers() -> None:
    harness = Harness()
    packet = bytes(from_peer(Raw(b"abcdefghij"), proto=200))
    harness.give_ip(packet, 14 + 20 + 3, 14 + 20 + 5)
    assert bytes(verified(harness.take()[0])[ICMP].payload) == packet[: 20 + 8]


def test_errors_are_limited_in_rate_and_never_about_broadcasts() -> None:
    harness = Harness()
    harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / IP(src=PEER, dst="255.255.255.255") / UDP(dport=7))
    assert harness.counter("icmp", "errors_about_broadcast") == 1
    for _ in range(200):
        harness.give_ip(datagram())
    sent = len(harness.take())
    assert 25 <= sent <= 100
    assert harness.counter("icmp", "errors_limited") == 200 - sent
    harness.advance(20_000_000)
    for _ in range(200):
        harness.give_ip(datagram())
    assert 10 <= len(harness.take()) <= 50
    harness.advance(3600 * SECOND)
    for _ in range(200):
        harness.give_ip(datagram())
    assert 25 <= len([frame for frame in harness.take() if ICMP in frame]) <= 100


def test_what_is_left_of_the_errors_does_not_tell_how_many_others_got() -> None:
    """As of the scan that counts them: forged packets, to ports that may be closed, then one's own until it stops."""

    def left_after(forged: int, seed: int) -> int:
        limit = ErrorLimit(random.Random(seed))
        for _ in range(forged):
            limit.take(SECOND)
        return sum(limit.take(SECOND) for _ in range(200))

    none = {left_after(0, seed) for seed in range(40)}
    one = {left_after(1, seed) for seed in range(40)}
    assert len(none & one) > 5
    everything = [left_after(0, seed) for seed in range(400)]
    assert 48 <= sum(everything) / 400 <= 53, "one token each, on average"


def test_received_errors_reach_the_sender() -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder).send(make_frame(harness.allocator, b"hello"), PEER, 9)
    sent = bytes(harness.take()[0][IP])
    harness.give_ip(from_peer(ICMP(type=3, code=3) / Raw(sent)))
    harness.give_ip(from_peer(ICMP(type=11, code=0) / Raw(sent[:28])))
    assert recorder.lost == [("refused", PEER, 9), ("unreachable", PEER, 9)]
    assert harness.counter("icmp", "errors_delivered") == 2
    assert harness.take() == []


def test_received_errors_about_what_we_did_not_send_are_ignored() -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder).send(make_frame(harness.allocator, b"hello"), PEER, 9)
    sent = bytes(harness.take()[0][IP])
    for quoted in (
        sent[:27],
        spoiled(IP(sent), 0, 0x65),
        spoiled(IP(sent), 0, 0x44),
        spoiled(IP(sent), 0, 0x4F),
        spoiled(IP(sent), 0, 0x46)[:28],
        spoiled(IP(sent), 7, 1),
        spoiled(IP(sent), 9, 99),
        spoiled(IP(sent), 15, 9),
    ):
        harness.give_ip(from_peer(ICMP(type=3, code=3) / Raw(quoted)))
    assert harness.counter("icmp", "errors_not_ours") == 8
    assert recorder.lost == []


# UDP


@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("data", [b"", b"a", b"hello world", b"x" * 1472])
def test_udp_send(data: bytes, offload: bool) -> None:
    harness = Harness(checksum_offload=offload)
    socket = harness.stack.udp.bind(7, Recorder())
    assert socket.local_port() == 7
    assert socket.send(make_frame(harness.allocator, data), PEER, 9)
    sent = harness.device.sent[0]
    assert (sent.checksum_start, sent.checksum_offset) == ((34, 6) if offload else (0, 6))
    packet = verified(harness.take()[0])
    assert (packet.src, packet.dst, packet.ttl) == (NODE, PEER, 64)
    assert (packet[UDP].sport, packet[UDP].dport, bytes(packet[UDP].payload)) == (7, 9, data)


def test_udp_checksum_of_zero_is_sent_as_all_ones() -> None:
    harness = Harness()
    socket = harness.stack.udp.bind(7, Recorder())
    socket.send(make_frame(harness.allocator, b"\0\0"), PEER, 9)
    missing = harness.take()[0][UDP].chksum
    socket.send(make_frame(harness.allocator, missing.to_bytes(2, "big")), PEER, 9)
    assert harness.take()[0][UDP].chksum == 0xFFFF


def test_udp_too_long() -> None:
    harness = Harness()
    assert not harness.stack.udp.bind(7, Recorder()).send(make_frame(harness.allocator, bytes(65508)), PEER, 9)
    assert harness.counter("ipv4", "send_too_long") == 1


def test_udp_receive_checksums() -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder)
    good = datagram(b"good")
    harness.give_ip(good)
    harness.give_ip(from_peer(UDP(sport=9, dport=7, chksum=0) / Raw(b"none")))
    bad = from_peer(UDP(sport=9, dport=7, chksum=1) / Raw(b"bad"))
    harness.give_ip(bad)
    harness.give_ip(bad, checksum_valid=True)
    assert [data for data, _, _ in recorder.received] == [b"good", b"none", b"bad"]
    assert harness.counter("udp", "bad_checksum") == 1


def test_udp_lengths() -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder)
    harness.give_ip(from_peer(UDP(sport=9, dport=7, len=7) / Raw(b"hello")))
    harness.give_ip(from_peer(UDP(sport=9, dport=7, len=14) / Raw(b"hello")))
    harness.give_ip(from_peer(Raw(b"1234567"), proto=17))
    harness.give_ip(from_peer(UDP(sport=9, dport=7, len=10, chksum=0) / Raw(b"hello")))
    assert harness.counter("udp", "bad_length") == 2
    assert harness.counter("udp", "too_short") == 1
    assert recorder.received == [(b"he", PEER, 9)]


def test_udp_broadcast_is_received() -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder)
    harness.give(Ether(src=PEER_LINK, dst=BROADCAST_LINK) / IP(src=PEER, dst="198.19.255.255") / UDP(sport=9, dport=7))
    assert recorder.received == [(b"", PEER, 9)]


def test_udp_binding() -> None:
    harness = Harness()
    udp = harness.stack.udp
    socket = udp.bind(7, Recorder())
    with pytest.raises(AddressInUseError):
        udp.bind(7, Recorder())
    with pytest.raises(ValueError):
        udp.bind(65536, Recorder())
    assert udp.bind(0, Recorder()).local_port() >= 49152
    socket.close()
    socket.close()
    assert not socket.send(make_frame(harness.allocator, b"x"), PEER, 9)
    handler = Recorder()
    assert udp.bind(7, handler) is handler.socket


def test_upcall_may_answer_and_close() -> None:
    class Echo(UdpHandler):
        def receive(self, data: IOBuf, address: str, port: int) -> None:
            self.socket.send(data, address, port)
            self.socket.close()

    harness = Harness()
    harness.stack.udp.bind(7, Echo())
    harness.give_ip(datagram(b"ping"))
    harness.give_ip(datagram(b"ping"))
    answer, refusal = harness.take()
    assert verified(answer)[UDP].payload.load == b"ping"
    assert refusal[ICMP].type == 3


def test_nothing_is_leaked() -> None:
    harness = Harness()
    harness.stack.udp.bind(7, Recorder())
    before = harness.allocator.statistics()["allocated_bytes"]
    for packet in (datagram(), datagram(port=8), from_peer(ICMP() / Raw(b"x" * 100)), from_peer(Raw(b""), proto=99)):
        harness.give_ip(packet)
    assert harness.allocator.statistics()["allocated_bytes"] == before
    assert harness.allocator.statistics()["payload_bytes_copied"] == 0
