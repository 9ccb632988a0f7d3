"""Fragments of IPv6: put together, refused, given up and made, judged by scapy."""

import random

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    defragment6,
    fragment6,
)
from scapy.packet import Packet, Raw

from ebbrt.network import UdpHandler
from stack.ipv6.constants import IPV6_OUTCOMES
from tests.fakes import make_frame
from tests.ipv6_harness import NODE, PEER, SECOND, Harness, verified

DATA = random.Random(2).randbytes(4000)


def fragments(payload: Packet, size: int = 1280, **fields: object) -> list[Packet]:
    packet = IPv6(src=PEER, dst=NODE, **fields) / IPv6ExtHdrFragment(id=7) / payload
    return [IPv6(bytes(one)) for one in fragment6(packet, size)]


def piece(offset: int, data: bytes, more: int, next_header: int = 17, **fields: object) -> Packet:
    return IPv6(src=PEER, dst=NODE) / IPv6ExtHdrFragment(nh=next_header, offset=offset, m=more, **fields) / Raw(data)


def echoed(harness: Harness) -> bytes:
    frames = harness.take()
    whole = IPv6(bytes(defragment6([frame[IPv6] for frame in frames])))
    return bytes(whole[ICMPv6EchoReply].data)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_fragments_are_put_together_in_any_order(order: tuple[int, ...]) -> None:
    harness = Harness()
    parts = fragments(ICMPv6EchoRequest(data=DATA))
    assert len(parts) == 4
    for number in order:
        harness.give_ip(parts[number])
        if number != order[-1]:
            harness.give_ip(parts[number])  # a duplicate, of what is not complete yet
    assert echoed(harness) == DATA
    assert harness.counter("ipv6_reassembly", "reassembled") == 1


def test_what_we_send_too_long_is_cut_with_an_identification_that_nobody_guesses() -> None:
    harness = Harness()
    socket = harness.stack.udp.bind(7, UdpHandler())
    seen = set()
    for _ in range(3):
        assert socket.send(make_frame(harness.allocator, DATA), PEER, 9)
        frames = [frame[IPv6] for frame in harness.take()]
        assert [len(frame) for frame in frames][:2] == [1496, 1496]
        assert all(len(frame) <= 1500 for frame in frames)
        seen.add(frames[0][IPv6ExtHdrFragment].id)
        whole = IPv6(bytes(defragment6(frames)))
        assert whole[UDP].payload.load == DATA
        checksum = whole[UDP].chksum
        del whole[UDP].chksum
        assert IPv6(bytes(whole))[UDP].chksum == checksum
    assert len(seen) == 3
    assert max(seen) - min(seen) > 1000


def test_a_smaller_mtu_on_the_way_is_kept_to_for_ten_minutes() -> None:
    harness = Harness()
    socket = harness.stack.udp.bind(7, UdpHandler())

    def lengths() -> list[int]:
        socket.send(make_frame(harness.allocator, bytes(1452)), PEER, 9)
        return [len(frame[IPv6]) for frame in harness.take() if ICMPv6ND_NS not in frame]

    assert lengths() == [1500]
    quoted = IPv6(src=NODE, dst=PEER) / UDP(sport=7, dport=9) / Raw(bytes(1452))
    harness.give_ip(IPv6(src=PEER, dst=NODE) / ICMPv6PacketTooBig(mtu=1400) / quoted)
    assert lengths() == [1400, 156]
    harness.give_ip(IPv6(src=PEER, dst=NODE) / ICMPv6PacketTooBig(mtu=68) / quoted)
    assert lengths() == [1400, 156], "RFC 8201 section 4 has us discard that"
    harness.advance(601 * SECOND)
    harness.introduce()
    assert lengths() == [1500]


def test_headers_around_the_fragment_header_are_kept() -> None:
    harness = Harness()
    inner = IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(data=DATA)
    packet = IPv6(src=PEER, dst=NODE) / IPv6ExtHdrDestOpt() / IPv6ExtHdrFragment(id=7) / inner
    for part in fragment6(packet, 1280):
        harness.give_ip(part)
    assert echoed(harness) == DATA


def test_an_atomic_fragment_is_a_packet_of_its_own() -> None:
    harness = Harness()
    parts = fragments(ICMPv6EchoRequest(data=DATA))
    harness.give_ip(parts[0])
    harness.give_ip(IPv6(src=PEER, dst=NODE) / IPv6ExtHdrFragment(id=7) / ICMPv6EchoRequest(data=b"atomic"))
    assert harness.take()[0][ICMPv6EchoReply].data == b"atomic"
    for part in parts[1:]:
        harness.give_ip(part)
    assert echoed(harness) == DATA


def test_an_error_about_an_atomic_fragment_quotes_it_as_it_came() -> None:
    harness = Harness()
    packet = IPv6(src=PEER, dst=NODE) / IPv6ExtHdrFragment(id=7, nh=200) / Raw(bytes(16))
    harness.give_ip(packet)
    (error,) = harness.take()
    assert (verified(error)[ICMPv6ParamProblem].code, error[ICMPv6ParamProblem].ptr) == (1, 40)
    assert bytes(error[ICMPv6ParamProblem])[8:] == bytes(packet)


@pytest.mark.parametrize("before", [None, IPv6ExtHdrDestOpt()])
def test_a_hop_by_hop_header_behind_a_fragment_header_is_not_understood(before: Packet | None) -> None:
    """It may stand right behind IPv6's header only (RFC 8200 section 4), in an atomic fragment and in others."""
    harness = Harness()
    header = IPv6(src=PEER, dst=NODE) if before is None else IPv6(src=PEER, dst=NODE) / before
    inner = bytes(IPv6ExtHdrHopByHop(nh=58)) + bytes(ICMPv6EchoRequest(data=bytes(40)))
    named = 40 if before is None else 48
    harness.give_ip(header / IPv6ExtHdrFragment(id=7, nh=0) / Raw(inner))
    (error,) = harness.take()
    assert (verified(error)[ICMPv6ParamProblem].code, error[ICMPv6ParamProblem].ptr) == (1, named)
    harness.give_ip(header / IPv6ExtHdrFragment(id=8, nh=0, m=1) / Raw(inner[:24]))
    harness.give_ip(header / IPv6ExtHdrFragment(id=8, nh=0, offset=3) / Raw(inner[24:]))
    (error,) = harness.take()
    # The fragment header is gone: the field that named it names what follows.
    named = 6 if before is None else 40
    assert (verified(error)[ICMPv6ParamProblem].code, error[ICMPv6ParamProblem].ptr) == (1, named)
    assert harness.counter("ipv6", "bad_extension_header") == 2


def test_every_packet_is_counted_once() -> None:
    """What came as fragments counts once more when it is whole; an atomic fragment is whole, and counts once."""
    harness = Harness()
    header = IPv6(src=PEER, dst=NODE)
    for part in fragments(ICMPv6EchoRequest(data=DATA)):
        harness.give_ip(part)
    harness.give_ip(header / IPv6ExtHdrFragment(id=7) / ICMPv6EchoRequest(data=b"atomic"))
    harness.give_ip(header / IPv6ExtHdrFragment(id=7, nh=200) / Raw(bytes(8)))
    harness.give_ip(piece(0, bytes(63), 1))
    harness.give_ip(piece(0, bytes((17, 0)) + bytes(6), 1, 60))
    harness.give_ip(header / IPv6ExtHdrFragment(id=7) / IPv6ExtHdrFragment(id=8) / ICMPv6EchoRequest())
    counted = harness.stack.statistics()
    outcomes = [counted["ipv6"][name] for name in IPV6_OUTCOMES]
    assert counted["ipv6"]["received"] == sum(outcomes)
    reassembled = counted["ipv6_reassembly"]["reassembled"]
    assert counted["ethernet"]["ipv6"] + reassembled == counted["ipv6"]["received"]
    assert reassembled == 1


def test_an_overlap_ends_the_whole_packet() -> None:
    harness = Harness()
    for part in (piece(0, bytes(64), 1), piece(4, bytes(64), 1), piece(8, bytes(64), 0)):
        harness.give_ip(part)
    assert harness.counter("ipv6_reassembly", "overlaps") == 1
    assert harness.counter("ipv6_reassembly", "of_condemned") == 1
    harness.advance(61 * SECOND)
    assert harness.take() == []


@pytest.mark.parametrize(
    ("packet", "code", "pointer"),
    [
        (piece(0, bytes(63), 1), 0, 4),
        (piece(8191, bytes(64), 0), 0, 42),
        (piece(0, bytes((17, 0)) + bytes(6), 1, 60), 3, 0),
        (piece(0, bytes((17, 1)) + bytes(6), 1, 60), 3, 0),
    ],
)
def test_fragments_that_cannot_be_are_reported(packet: Packet, code: int, pointer: int) -> None:
    harness = Harness()
    harness.give_ip(packet)
    (error,) = harness.take()
    assert (verified(error)[ICMPv6ParamProblem].code, error[ICMPv6ParamProblem].ptr) == (code, pointer)


def test_a_tiny_first_fragment_of_tcp_is_dropped() -> None:
    harness = Harness()
    harness.give_ip(piece(0, bytes(TCP(dport=80))[:16], 1, 6))
    assert harness.counter("ipv6_reassembly", "tiny") == 1


def test_the_sender_is_told_after_a_minute_if_the_first_fragment_came() -> None:
    harness = Harness()
    first, second, *_ = fragments(ICMPv6EchoRequest(data=DATA))
    harness.give_ip(first)
    harness.advance(59 * SECOND)
    assert harness.take() == []
    harness.advance(2 * SECOND)
    (error,) = harness.take()
    assert verified(error)[ICMPv6TimeExceeded].code == 1
    assert bytes(error[ICMPv6TimeExceeded])[8:][:48] == bytes(first)[:48]
    harness.give_ip(second)
    harness.advance(61 * SECOND)
    assert [frame for frame in harness.take() if ICMPv6TimeExceeded in frame] == []


def test_neighbor_discovery_in_a_fragment_is_ignored() -> None:
    harness = Harness()
    harness.give_ip(IPv6(src=PEER, dst=NODE, hlim=255) / IPv6ExtHdrFragment(id=7) / ICMPv6ND_NS(tgt=NODE))
    assert harness.counter("icmpv6", "in_fragments") == 1
    assert harness.take() == []


def test_fragments_in_fragments_are_dropped() -> None:
    harness = Harness()
    nested = IPv6ExtHdrFragment(id=7) / IPv6ExtHdrFragment(id=8) / ICMPv6EchoRequest()
    harness.give_ip(IPv6(src=PEER, dst=NODE) / nested)
    assert harness.take() == []
