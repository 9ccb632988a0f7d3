"""IPv6, its extension headers, ICMPv6 and UDP over it against scapy: what is validated, delivered, answered."""

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    HBHOptUnknown,
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from ebbrt.iobuf import IOBuf
from ebbrt.network import UdpHandler
from tests.fakes import make_frame, read_chain
from tests.ipv6_harness import NODE, NODE_LINK, PEER, PEER_LINK, Harness, group_link, verified


class Recorder(UdpHandler):
    def __init__(self) -> None:
        self.received: list[tuple[bytes, str, int]] = []
        self.lost: list[tuple[str, str, int]] = []

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        self.received.append((read_chain(data), address, port))

    def undelivered(self, reason: str, address: str, port: int) -> None:
        self.lost.append((reason, address, port))


def from_peer(payload: Packet, **fields: object) -> IPv6:
    return IPv6(**{"src": PEER, "dst": NODE, **fields}) / payload


def datagram(**fields: object) -> IPv6:
    return from_peer(UDP(sport=9, dport=7) / Raw(b"hello"), **fields)


def listening() -> tuple[Harness, Recorder]:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder)
    return harness, recorder


@pytest.mark.parametrize(
    ("packet", "outcome"),
    [
        (bytes(datagram())[:39], "short_header"),
        (datagram(version=4), "bad_version"),
        (datagram(plen=14), "bad_payload_length"),
        (datagram(src="ff02::1"), "bad_source"),
        (datagram(src="::1"), "bad_source"),
        (datagram(src="::ffff:1.2.3.4"), "bad_source"),
        (datagram(src=NODE), "bad_source"),
        (datagram(src="::"), "bad_source"),
        (datagram(dst="fd00::3"), "not_ours"),
        (datagram(dst="ff02::1:2"), "not_ours"),
        (datagram(dst="ff01::1"), "not_ours"),
        (datagram(nh=200), "unknown_protocol"),
        (datagram(nh=1), "unknown_protocol"),
        (datagram(nh=59), "no_next_header"),
        (from_peer(TCP(dport=80), dst="ff02::1"), "tcp_to_group"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_counted_and_dropped(packet: Packet | bytes, outcome: str) -> None:
    harness, recorder = listening()
    harness.give_ip(packet)
    assert harness.counter("ipv6", outcome) == 1
    assert recorder.received == []


def test_a_datagram_arrives_without_the_links_padding_and_in_pieces() -> None:
    harness, recorder = listening()
    harness.give_ip(bytes(datagram()) + bytes(7))
    harness.give_ip(bytes(datagram()), 14 + 40, 14 + 50)
    assert recorder.received == [(b"hello", PEER, 9)] * 2


def test_udp_needs_a_checksum() -> None:
    harness, recorder = listening()
    harness.give_ip(from_peer(UDP(sport=9, dport=7, chksum=0) / Raw(b"hello")))
    harness.give_ip(from_peer(UDP(sport=9, dport=7, chksum=1) / Raw(b"hello")))
    assert harness.counter("udp", "bad_checksum") == 2
    assert recorder.received == []


# Extension headers


def test_known_headers_are_walked_over() -> None:
    harness, recorder = listening()
    payload = UDP(sport=9, dport=7) / Raw(b"hello")
    headers = IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0\0")]) / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(segleft=0)
    harness.give_ip(from_peer(headers / payload))
    harness.give_ip(from_peer(IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1E, optdata=b"abcd")]) / payload))
    assert recorder.received == [(b"hello", PEER, 9)] * 2


@pytest.mark.parametrize(
    ("header", "to", "code", "pointer"),
    [
        (IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x41)]), NODE, None, 0),
        (IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x81)]), NODE, 2, 42),
        (IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0xC1)]), NODE, 2, 42),
        (IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0x81)]), "ff02::1", 2, 42),
        (IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0xC1)]), "ff02::1", None, 0),
        (IPv6ExtHdrRouting(segleft=1, addresses=["fd00::9"]), NODE, 0, 42),
        (IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop(), NODE, 1, 40),
    ],
)  # fmt: skip
def test_unknown_headers_and_options_are_dropped_and_reported(
    header: Packet, to: str, code: int | None, pointer: int
) -> None:
    harness, recorder = listening()
    frame = from_peer(header / UDP(sport=9, dport=7) / Raw(b"hello"), dst=to)
    harness.give(Ether(src=PEER_LINK, dst=group_link(to) if to != NODE else NODE_LINK) / frame)
    sent = harness.take()
    assert recorder.received == []
    assert [(verified(one)[ICMPv6ParamProblem].code, one[ICMPv6ParamProblem].ptr) for one in sent] == (
        [] if code is None else [(code, pointer)]
    )
    if code is not None:
        assert (sent[0][IPv6].src, sent[0][IPv6].dst) == (NODE, PEER)


def with_headers(count: int) -> IPv6:
    packet = UDP(sport=9, dport=7) / Raw(b"hello")
    for _ in range(count):
        packet = IPv6ExtHdrDestOpt() / packet
    return from_peer(packet)


@pytest.mark.parametrize("count", [1, 8, 64])
def test_as_many_headers_as_linux_is_known_to_take(count: int) -> None:
    harness, recorder = listening()
    harness.give_ip(with_headers(count))
    assert recorder.received == [(b"hello", PEER, 9)]


@pytest.mark.parametrize("count", [65, 170])
def test_the_walk_is_bounded(count: int) -> None:
    harness, recorder = listening()
    harness.give_ip(with_headers(count))
    assert harness.counter("ipv6", "bad_extension_header") == 1
    (error,) = harness.take()
    assert (verified(error)[ICMPv6ParamProblem].code, error[ICMPv6ParamProblem].ptr) == (8, 40 + 64 * 8)
    assert recorder.received == []


@pytest.mark.parametrize("kind", [IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop])
def test_eight_options_in_a_header_are_taken_and_no_more(kind: type[Packet]) -> None:
    harness, recorder = listening()
    payload = UDP(sport=9, dport=7) / Raw(b"hello")
    options = [HBHOptUnknown(otype=0x1E, optdata=b"ab"), PadN(optdata=b"\0\0")] * 8
    harness.give_ip(from_peer(kind(options=options) / payload))
    assert recorder.received == [(b"hello", PEER, 9)]
    harness.give_ip(from_peer(kind(options=[*options, HBHOptUnknown(otype=0x1E, optdata=b"ab")]) / payload))
    (error,) = harness.take()
    assert (verified(error)[ICMPv6ParamProblem].code, error[ICMPv6ParamProblem].ptr) == (9, 40 + 2 + 8 * 8)
    assert len(recorder.received) == 1


def test_a_header_that_runs_out_of_the_packet_is_dropped() -> None:
    harness, _ = listening()
    harness.give_ip(from_peer(Raw(bytes((17, 200, 0, 0, 0, 0, 0, 0))), nh=60))
    harness.give_ip(from_peer(Raw(bytes((17, 0, 1))), nh=60))
    harness.give_ip(from_peer(Raw(bytes((17, 0, 1, 9, 0, 0, 0, 0))), nh=60))
    assert harness.counter("ipv6", "bad_extension_header") == 2
    assert harness.counter("ipv6", "bad_option") == 1


# ICMPv6


@pytest.mark.parametrize("size", [0, 1, 56, 1452])
def test_echo_requests_are_answered(size: int) -> None:
    harness = Harness()
    data = (bytes(range(256)) * 6)[:size]
    harness.give_ip(from_peer(ICMPv6EchoRequest(id=3, seq=4, data=data), tc=0xB8))
    (reply,) = harness.take()
    packet = verified(reply)
    assert (packet.src, packet.dst, packet.hlim) == (NODE, PEER, 64)
    assert (packet[ICMPv6EchoReply].id, packet[ICMPv6EchoReply].seq) == (3, 4)
    assert packet[ICMPv6EchoReply].data == data


def test_an_echo_request_to_a_group_is_answered_from_our_address() -> None:
    harness = Harness()
    harness.give_nd(ICMPv6EchoRequest(id=3), to="ff02::1", hlim=1)
    (reply,) = harness.take()
    assert (reply[IPv6].src, reply[IPv6].dst) == (NODE, PEER)


def test_bad_checksums_and_unknown_types_are_dropped() -> None:
    harness = Harness()
    harness.give_ip(from_peer(ICMPv6EchoRequest(cksum=1)))
    harness.give_ip(from_peer(Raw(b"\x80\0"), nh=58))
    harness.give_ip(from_peer(ICMPv6EchoRequest(type=200)))
    assert harness.counter("icmpv6", "bad_checksum") == 1
    assert harness.counter("icmpv6", "too_short") == 1
    assert harness.counter("icmpv6", "unknown_type") == 1
    assert harness.take() == []


def test_a_closed_port_is_reported_with_as_much_as_fits() -> None:
    harness = Harness()
    packet = from_peer(UDP(sport=9, dport=77) / Raw(bytes(1400)))
    harness.give_ip(packet)
    (error,) = harness.take()
    assert len(error[IPv6]) == 1280
    assert verified(error)[ICMPv6DestUnreach].code == 4
    assert bytes(error[ICMPv6DestUnreach])[8:] == bytes(packet)[:1232]


def test_no_error_about_groups_nobody_or_errors() -> None:
    harness = Harness()
    harness.give(Ether(src=PEER_LINK, dst=group_link("ff02::1")) / datagram(dst="ff02::1"))
    harness.give_ip(from_peer(Raw(bytes(8)), src="::", nh=200))
    harness.give_ip(from_peer(ICMPv6DestUnreach(code=4) / from_peer(UDP(dport=99))))
    assert harness.take() == []


def test_errors_are_limited_and_recover() -> None:
    harness = Harness()
    for _ in range(200):
        harness.give_ip(datagram())
    sent = len(harness.take())
    assert 25 <= sent <= 100
    assert harness.counter("icmpv6", "errors_limited") == 200 - sent
    harness.advance(20_000_000)
    for _ in range(200):
        harness.give_ip(datagram())
    assert 10 <= len(harness.take()) <= 50


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ICMPv6DestUnreach(code=4), "refused"),
        (ICMPv6DestUnreach(code=0), "unreachable"),
        (ICMPv6TimeExceeded(code=0), "unreachable"),
        (ICMPv6PacketTooBig(mtu=1280), "unreachable"),
        (ICMPv6ParamProblem(code=1, ptr=6), "unreachable"),
    ],
)
def test_errors_reach_the_socket(error: Packet, reason: str) -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder).send(make_frame(harness.allocator, b"hello"), PEER, 9)
    (sent,) = harness.take()
    harness.give_ip(from_peer(error / verified(sent)))
    assert recorder.lost == [(reason, PEER, 9)]
    harness.give_ip(from_peer(error / IPv6(src="fd00::7", dst=PEER) / UDP(sport=7, dport=9)))
    assert harness.counter("icmpv6", "errors_not_ours") == 1
    assert len(recorder.lost) == 1
