"""Explicit congestion notification (RFC 3168), and pacing."""

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.tcplink import HEADERS, MILLISECOND, SECOND, Wire, open_pair
from tests.tcppeer import Peer

MSS = 1448
ECT_0 = 2
CE = 3
ECE = 0x40
CWR = 0x80


def flags_of(frame: bytes) -> int:
    return frame[HEADERS + 13]


def payload_length(frame: bytes) -> int:
    return int.from_bytes(frame[16:18], "big") - 20 - (frame[HEADERS + 12] >> 4) * 4


def with_ecn(bits: int, frame: bytes) -> bytes:
    """The frame with other bits of ECN in its IP header."""
    changed = bytearray(frame)
    difference = (bits - (frame[15] & 3)) & 0xFFFF
    changed[15] = frame[15] & 0xFC | bits
    checksum = int.from_bytes(frame[24:26], "big") - difference
    changed[24:26] = (checksum % 0xFFFF).to_bytes(2, "big")
    return bytes(changed)


class Marker:
    """Marks the data segments of the client that have these numbers, counted from 0."""

    def __init__(self, wire: Wire, marked: set[int]) -> None:
        self.count = 0
        carry = wire.a.device.carry

        def mark(frame: bytes) -> None:
            if payload_length(frame):
                if self.count in marked:
                    assert frame[15] & 3 == ECT_0
                    frame = with_ecn(CE, frame)
                self.count += 1
            carry(frame)

        wire.a.device.carry = mark


@pytest.mark.parametrize(
    ("client", "server", "agreed"), [(1, 2, True), (1, 1, True), (2, 2, False), (1, 0, False), (0, 1, False)]
)
def test_ecn_is_agreed_in_the_syns(client, server, agreed):
    wire = Wire()
    wire.a.tcp.engine.ecn = client
    wire.b.tcp.engine.ecn = server
    connection, _, other, server_handler = open_pair(wire)
    assert (connection.ecn, other.ecn) == (agreed, agreed)
    connection.send(wire.a.buffer(bytes(3 * MSS)))
    wire.run(lambda: len(server_handler.data) == 3 * MSS)
    data = [frame for frame in wire.a.frames if payload_length(frame)]
    assert {frame[15] & 3 for frame in data} == {ECT_0 if agreed else 0}
    others = [frame for frame in wire.a.frames + wire.b.frames if not payload_length(frame)]
    assert {frame[15] & 3 for frame in others} == {0}  # neither SYNs nor ACKs


def test_a_syn_that_is_lost_is_repeated_without_ecn():
    wire = Wire()
    wire.a.tcp.engine.ecn = 1
    wire.drop = lambda frame, sender: flags_of(frame) & (ECE | CWR) == ECE | CWR
    connection, *_ = open_pair(wire)
    assert not connection.ecn


def test_a_mark_is_echoed_until_the_sender_has_reduced_once():
    wire = Wire(delay=10 * MILLISECOND)
    wire.a.tcp.engine.ecn = 1
    connection, _, _, server = open_pair(wire)
    Marker(wire, {3, 5})
    connection.send(wire.a.buffer(bytes(40 * MSS)))
    wire.run(lambda: len(server.data) == 40 * MSS)
    wire.run(seconds=0.2)
    counters = wire.a.tcp.statistics()["segments"]
    assert counters["ecn_reductions"] == 1
    assert counters["retransmitted"] == 0
    assert wire.b.tcp.statistics()["segments"]["ecn_marks_received"] == 2
    told = [frame for frame in wire.a.frames if flags_of(frame) & CWR and payload_length(frame)]
    assert len(told) == 1
    assert any(flags_of(frame) & ECE for frame in wire.b.frames[-30:])
    assert not flags_of(wire.b.frames[-1]) & ECE  # CWR has been heard
    assert connection.congestion.ssthresh < 20 * MSS


@pytest.mark.parametrize("marked", [False, True])
def test_a_mark_is_echoed_at_once_where_an_acknowledgment_would_wait(marked):
    wire = Wire()
    wire.a.tcp.engine.ecn = 1
    connection, client, other, server = open_pair(wire)
    Marker(wire, {1} if marked else set())
    connection.send(wire.a.buffer(b"request"))
    wire.run(lambda: server.data == b"request")
    other.send(wire.b.buffer(b"answer"))  # from now on acknowledgments wait for answers
    wire.run(lambda: client.data == b"answer")
    wire.run(seconds=1)
    before = len(wire.b.frames)
    connection.send(wire.a.buffer(b"again"))
    wire.run(lambda: server.data == b"requestagain")
    assert [flags_of(frame) & ECE for frame in wire.b.frames[before:]] == ([ECE] if marked else [])


def test_a_retransmission_is_not_marked_as_capable():
    wire = Wire(delay=10 * MILLISECOND)
    wire.a.tcp.engine.ecn = 1
    connection, _, _, server = open_pair(wire)
    seen: list[bytes] = []

    def lose_third(frame: bytes, sender) -> bool:
        if sender is wire.a and payload_length(frame):
            seen.append(frame)
        return len(seen) == 3

    wire.drop = lose_third
    connection.send(wire.a.buffer(bytes(10 * MSS)))
    wire.run(lambda: len(server.data) == 10 * MSS)
    lost = seen[2][38:42]
    assert [frame[15] & 3 for frame in seen if frame[38:42] == lost] == [ECT_0, 0]


def test_marks_without_ecn_are_nothing():
    peer = Peer()
    peer.established()
    before = len(peer.out)
    peer.send("AE", b"data")
    assert len(peer.out) == before
    assert peer.node.tcp.statistics()["segments"]["ecn_reductions"] == 0


def test_paced_segments_are_spread_over_the_round_trip():
    wire = Wire(delay=50 * MILLISECOND)
    connection, _, _, server = open_pair(wire)
    connection.configure(replace(connection.settings(), pacing=True))
    connection.send(wire.a.buffer(bytes(100 * MSS)))
    times: list[int] = []
    carry = wire.a.device.carry

    def note(frame: bytes) -> None:
        if payload_length(frame):
            times.append(wire.clock.now())
        carry(frame)

    wire.a.device.carry = note
    wire.run(lambda: len(server.data) == 100 * MSS)
    gaps = [after - before for before, after in pairwise(times)]
    assert gaps[0] == 5 * MILLISECOND  # a window of 10 in 100 ms, at twice the speed
    assert min(gaps) > MILLISECOND // 2  # three doublings later
    assert wire.a.tcp.statistics()["segments"]["retransmitted"] == 0


def test_pacing_keeps_to_the_rate_that_was_set():
    wire = Wire(delay=MILLISECOND)
    connection, _, _, server = open_pair(wire)
    connection.configure(replace(connection.settings(), pacing=True, most_rate=100_000))
    start = wire.clock.now()
    connection.send(wire.a.buffer(bytes(100_000)))
    wire.run(lambda: len(server.data) == 100_000)
    assert 0.95 < (wire.clock.now() - start) / SECOND < 1.1
