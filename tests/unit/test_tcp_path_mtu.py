"""Path MTU discovery (RFC 1191, RFC 8201): who is believed, what is sent again, who shares it, and how it ages."""

import pytest

from stack.constants import ERROR_TOO_BIG
from stack.path_mtu import plateau_below
from tests.tcplink import SECOND, Recorder, Wire, open_pair
from tests.tcppeer import Peer


def sending(size: int = 4000, timestamps: bool = False) -> tuple[Peer, list]:
    """A peer to whom the node has sent ``size`` bytes, and the segments."""
    peer = Peer(timestamps=timestamps)
    peer.established().connection.send(peer.node.buffer(bytes(size)))
    return peer, peer.take()


def too_big(peer: Peer, segment, mtu: int) -> list:
    return peer.unreachable(segment.sport, segment.seq, ERROR_TOO_BIG, mtu)


def sizes(segments) -> list[int]:
    return [len(segment.payload) for segment in segments]


@pytest.mark.parametrize("timestamps", [False, True])
def test_what_did_not_fit_is_sent_again_at_once_in_smaller_segments(timestamps):
    peer, sent = sending(timestamps=timestamps)
    options = 12 if timestamps else 0
    assert sizes(sent)[0] == 1460 - options
    cwnd = peer.handlers[0].connection.congestion.cwnd
    again = too_big(peer, sent[0], 1000)
    assert again[0].seq == sent[0].seq
    assert sizes(again) == [960 - options] * 4 + [160 + 4 * options]
    assert peer.handlers[0].connection.congestion.cwnd == cwnd  # no sign of congestion
    assert peer.node.tcp.statistics()["segments"]["path_mtu_lowered"] == 1
    assert peer.node.tcp.statistics()["segments"]["retransmission_timeouts"] == 0


@pytest.mark.parametrize("mtu", [1500, 1501, 9000, 65535])
def test_a_size_that_is_not_smaller_is_ignored(mtu):
    peer, sent = sending()
    assert too_big(peer, sent[0], mtu) == []
    assert peer.node.tcp.statistics()["segments"]["icmp_errors_ignored"] == 1


def test_what_is_not_in_flight_is_ignored():
    peer, sent = sending()
    peer.send("A")
    assert too_big(peer, sent[0], 1000) == []
    assert peer.handlers[0].connection.snd_mss == 1460


@pytest.mark.parametrize("mtu", [1, 68, 551])
def test_nobody_makes_segments_tiny(mtu):
    peer, sent = sending()
    assert sizes(too_big(peer, sent[0], mtu))[0] == 552 - 40


def test_a_router_that_says_nothing_makes_us_try_what_networks_have():
    assert [plateau_below(mtu) for mtu in (65535, 9000, 1500, 1492, 1280, 600, 552, 100)] == [
        32000, 8166, 1492, 1400, 1006, 552, 552, 552,
    ]  # fmt: skip
    peer, sent = sending()
    assert sizes(too_big(peer, sent[0], 0))[0] == 1452


def test_the_messages_about_the_rest_of_the_window_change_nothing_more():
    peer, sent = sending(8000)
    too_big(peer, sent[0], 1000)
    for segment in sent[1:]:
        assert too_big(peer, segment, 1000) == []


def test_connections_to_the_same_host_share_it():
    peer, sent = sending()
    other = peer.handlers[0]
    first = peer.port
    peer.port, peer.seq, peer.ack = 40001, 5, 0
    answer = peer.send("S", options=peer.syn_options())[0]
    peer.send("A")
    too_big_port, peer.port = peer.port, first
    too_big(peer, sent[0], 1000)
    peer.port = too_big_port
    peer.handlers[1].connection.send(peer.node.buffer(bytes(3000)))
    assert sizes(peer.take()) == [960, 960, 960, 120]
    assert peer.handlers[1].connection.snd_mss == 960
    assert other.connection.snd_mss == 960
    assert dict(answer.options)["MSS"] == 1460
    peer.port, peer.seq, peer.ack = 40002, 5, 0
    answer = peer.send("S", options=peer.syn_options())[0]
    assert dict(answer.options)["MSS"] == 1460  # what we can receive is another matter (RFC 6691)
    peer.send("A")
    assert peer.handlers[2].connection.snd_mss == 960


def test_after_ten_minutes_more_is_tried_again():
    peer, sent = sending()
    too_big(peer, sent[0], 1000)
    peer.send("A")
    connection = peer.handlers[0].connection
    peer.clock.advance(590 * SECOND)
    connection.send(peer.node.buffer(bytes(2000)))
    assert max(sizes(peer.take())) == 960
    peer.send("A")
    peer.clock.advance(11 * SECOND)
    connection.send(peer.node.buffer(bytes(2000)))
    again = peer.take()
    assert max(sizes(again)) == 1460
    assert peer.node.tcp.statistics()["segments"]["path_mtu_restored"] == 1
    assert sizes(too_big(peer, again[0], 1000))[0] == 960


def test_the_peers_own_limit_stays():
    peer = Peer()
    peer.listen()
    peer.send("S", options=[("MSS", 1100)])
    peer.send("A")
    peer.handlers[0].connection.send(peer.node.buffer(bytes(4000)))
    sent = peer.take()
    assert sizes(sent)[0] == 1100
    assert sizes(too_big(peer, sent[0], 1000))[0] == 960
    peer.send("A")
    peer.clock.advance(601 * SECOND)
    peer.handlers[0].connection.send(peer.node.buffer(bytes(4000)))
    assert sizes(peer.take())[0] == 1100


def test_a_transfer_over_a_narrow_path_arrives():
    wire = Wire()
    connection, _, _, server = open_pair(wire)

    def narrow(frame: bytes, sender) -> bool:
        if len(frame) <= 14 + 700:
            return False
        reports.append(frame)
        return True

    reports: list[bytes] = []
    wire.drop = narrow
    data = bytes(range(256)) * 1000
    connection.send(wire.a.buffer(data))
    while len(server.data) < len(data):
        wire.run(lambda: bool(reports) or len(server.data) == len(data), seconds=5)
        while reports:
            frame = reports.pop()
            error = wire.a.stack.internet.error
            error.kind, error.mtu = ERROR_TOO_BIG, 700
            error.local_low = 0xFFFF << 32 | int.from_bytes(frame[26:30], "big")
            error.remote_low = 0xFFFF << 32 | int.from_bytes(frame[30:34], "big")
            error.local_port = int.from_bytes(frame[34:36], "big")
            error.remote_port = int.from_bytes(frame[36:38], "big")
            error.sequence = int.from_bytes(frame[38:42], "big")
            wire.a.tcp.icmp_error(error, wire.clock.now())
    assert server.data == data
    assert isinstance(server, Recorder)
    assert wire.a.tcp.statistics()["segments"]["retransmission_timeouts"] == 0


@pytest.mark.parametrize(("hole", "size"), [(1400, 1240), (1000, 512)])
def test_a_black_hole_is_found(hole, size):
    wire = Wire()
    connection, _, _, server = open_pair(wire)
    wire.drop = lambda frame, sender: len(frame) > 14 + hole
    connection.send(wire.a.buffer(bytes(20_000)))
    wire.run(lambda: len(server.data) == 20_000, seconds=120)
    assert len(server.data) == 20_000
    options = 12  # timestamps
    assert connection.snd_mss == size - options
    assert wire.a.tcp.statistics()["segments"]["black_holes"] == (1 if size == 1240 else 2)


def test_small_segments_that_are_lost_are_no_black_hole():
    peer, _ = sending(100)
    peer.wait(100)
    assert peer.node.tcp.statistics()["segments"]["retransmission_timeouts"] > 6
    assert peer.node.tcp.statistics()["segments"]["black_holes"] == 0
