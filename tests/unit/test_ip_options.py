"""Options of IPv4 in answers: what a Linux host was seen to return to the same questions, byte for byte."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP, defragment, fragment
from scapy.packet import Packet, Raw

from stack.ipv4.options import returned_options
from tests.fakes import ones_complement_sum
from tests.stack_harness import NODE, PEER, Harness
from tests.unit.test_ip_packets import Recorder

US = "c6120002"
TIME = "(?:[89a-f][0-9a-f]{7})"  # with the bit that says it is not that of the day


def asked(options: bytes, payload: Packet | None = None) -> bytes:
    """A packet from the peer with just these options, filled up with zeros; an echo request if nothing is said."""
    packet = IP(src=PEER, dst=NODE) / (ICMP(id=9) / b"ping" if payload is None else payload)
    packet = IP(bytes(packet))
    options += bytes(-len(options) % 4)
    packet.ihl = 5 + len(options) // 4
    packet.len += len(options)
    packet.chksum = 0
    header = bytes(packet)[:20] + options
    checksum = 0xFFFF ^ ones_complement_sum(header)
    return header[:10] + checksum.to_bytes(2, "big") + header[12:] + bytes(packet.payload)


def answered(harness: Harness, options: str, payload: Packet | None = None) -> IP:
    """The answer; its header is sound."""
    harness.give_ip(asked(bytes.fromhex(options), payload))
    (frame,) = [frame for frame in harness.device.frames() if frame[12:14] == b"\x08\0"]
    assert ones_complement_sum(frame[14 : 14 + 4 * (frame[14] & 15)]) == 0xFFFF
    return IP(frame[14:])


def options_in(packet: IP) -> str:
    return bytes(packet)[20 : 4 * packet.ihl].hex()


def route(entries: int, pointer: int, filled: str = "") -> str:
    return f"07{3 + 4 * entries:02x}{pointer:02x}" + filled.ljust(8 * entries, "0")


def times(length: int, pointer: int, flags: int, filled: str | None = None) -> str:
    return f"44{length:02x}{pointer:02x}{flags:02x}" + ("00" * (length - 4) if filled is None else filled)


@pytest.mark.parametrize(
    ("options", "returned"),
    [
        (route(3, 4), route(3, 12, US + US) + "00"),
        (route(3, 8, "01020304"), route(3, 16, "01020304" + US + US) + "00"),
        (route(3, 16, "01" * 12), route(3, 16, "01" * 12) + "00"),
        (route(1, 4), route(1, 8, US) + "00"),
        (route(3, 5), route(3, 13, "00" + US + US) + "00"),
        ("070304", "07030400"),
        ("01" + route(2, 4) + "01", route(2, 12, US + US) + "00"),
        (times(16, 5, 0), times(16, 13, 0, TIME * 2 + "0" * 8)),
        (times(8, 5, 0), times(8, 9, 0, TIME)),
        (times(8, 9, 0x30), times(8, 9, 0x40)),
        (times(8, 9, 0xE0), times(8, 9, 0xF0)),
        ("44040500", "44040510"),
        (times(20, 5, 1), times(20, 21, 1, (US + TIME) * 2)),
        (times(12, 5, 1), times(12, 13, 1, US + TIME)),
        (times(20, 5, 3, US + "0" * 24), times(20, 13, 3, US + TIME + "0" * 16)),
        (times(20, 5, 3, "c6120009" + "0" * 24), times(20, 5, 3, "c6120009" + "0" * 24)),
        (times(20, 13, 3, "0102030405060708" + US + "0" * 8), times(20, 21, 3, "0102030405060708" + US + TIME)),
        (times(16, 5, 2), times(16, 5, 2)),
        (route(2, 4) + times(12, 5, 0), route(2, 12, US + US) + times(12, 13, 0, TIME * 2) + "00"),
        ("88041234", ""),
        ("94040000", ""),
        ("820b" + "00" * 9, ""),
    ],
)
def test_an_echo_reply_returns_options_as_linux_does(options: str, returned: str) -> None:
    harness = Harness()
    harness.clock.advance(0x12345678 * 1_000_000)
    reply = answered(harness, options)
    assert reply[ICMP].type == 0
    assert bytes(reply[ICMP].payload) == b"ping"
    assert re.fullmatch(returned, options_in(reply)), options_in(reply)


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        (route(3, 3), 22),
        (route(3, 14), 22),
        ("0702", 21),
        ("0705040000", 22),
        (route(1, 4) + route(1, 4), 27),
        (times(8, 9, 0xF0), 23),
        (times(12, 13, 0xF1), 23),
        (times(16, 4, 0), 22),
        ("440305", 21),
        (times(10, 5, 1), 22),
        (times(16, 5, 0) + times(16, 5, 0), 36),
        ("830703" + US, 22),
        ("8302", 21),
        ("0109", 21),
    ],
)
@pytest.mark.parametrize("payload", [None, UDP(sport=9, dport=7) / Raw(b"x")])
def test_a_malformed_option_is_a_parameter_problem_where_linux_says(
    options: str, pointer: int, payload: Packet | None
) -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder)
    error = answered(harness, options, payload)
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].ptr) == (12, 0, pointer)
    assert harness.counter("ipv4", "bad_option") == 1
    assert recorder.received == []


@pytest.mark.parametrize("options", ["830704" + US, "830708" + US, "890704" + US])
def test_source_routes_are_dropped_in_silence_as_linux_does(options: str) -> None:
    harness = Harness()
    harness.give_ip(asked(bytes.fromhex(options)))
    assert harness.take() == []
    assert harness.counter("ipv4", "source_route") == 1


def test_errors_return_the_route_too() -> None:
    error = answered(Harness(), route(3, 4), UDP(dport=999))
    assert (error[ICMP].type, error[ICMP].code) == (3, 3)
    assert options_in(error) == route(3, 12, US + US) + "00"


def test_udp_is_delivered_whatever_options_it_has() -> None:
    harness = Harness()
    recorder = Recorder()
    harness.stack.udp.bind(7, recorder)
    harness.give_ip(asked(bytes.fromhex(route(3, 4)), UDP(sport=9, dport=7) / Raw(b"hello")))
    assert recorder.received == [(b"hello", PEER, 9)]


def test_a_long_ping_has_its_route_in_the_first_fragment() -> None:
    harness = Harness()
    request = IP(asked(bytes.fromhex(route(9, 4)), ICMP(id=9) / Raw(bytes(3000))))
    for part in fragment(request, 1480):
        harness.give_ip(part)
    frames = [IP(frame[14:]) for frame in harness.device.frames()]
    assert max(len(frame) for frame in frames) <= 1500
    assert [options_in(frame) for frame in frames] == [route(9, 12, US + US) + "00", *[""] * (len(frames) - 1)]
    for frame in frames:
        assert ones_complement_sum(bytes(frame)[: 4 * frame.ihl]) == 0xFFFF
    (reply,) = defragment(frames)
    assert bytes(reply[ICMP].payload) == bytes(3000)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
def test_whatever_options_are_asked_for_is_survived(options: bytes) -> None:
    returned = returned_options(options, 0xC6120002, 10**18)
    assert len(returned) <= (len(options) + 3) // 4 * 4
    assert len(returned) % 4 == 0
    harness = Harness()
    harness.give_ip(asked(options[:40]))
    counted = harness.stack.statistics()["ipv4"]
    assert counted["received"] == counted["delivered"] + counted["bad_option"] + counted["source_route"] == 1
    for frame in harness.device.frames():
        assert ones_complement_sum(frame[14 : 14 + 4 * (frame[14] & 15)]) == 0xFFFF
