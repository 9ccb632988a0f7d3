"""SYN cookies (RFC 4987): what a full backlog answers, what brings a cookie back, and what does not."""

import pytest

from stack.tcp.syn_cookies import MSS_TABLE, SynCookies, sack_of, window_scale_of, with_options
from tests.tcplink import SECOND
from tests.tcppeer import Peer

FLOW = bytes(36)


def pressed(timestamps: bool = False, on_receive=None) -> Peer:
    """A peer of a node whose listener has no room for handshakes."""
    peer = Peer(timestamps=timestamps)
    peer.listen(backlog=0, on_receive=on_receive)
    return peer


def cookie_counts(peer: Peer) -> tuple[int, ...]:
    return tuple(peer.node.tcp.statistics()["syn_cookies"].values())


def test_a_full_backlog_answers_without_state():
    peer = pressed()
    answer = peer.send("S", options=peer.syn_options())
    assert [(str(segment.flags), segment.ack) for segment in answer] == [("SA", peer.seq)]
    assert ("MSS", 1460) in answer[0].options
    assert peer.state() == "closed"
    assert peer.node.tcp.statistics()["connections"]["handshakes"] == 0
    assert peer.node.allocator.statistics()["allocated_bytes"] == 0
    assert peer.wait(100) == []
    assert cookie_counts(peer) == (1, 0, 0)


def test_the_acknowledged_cookie_makes_a_connection_that_works_both_ways():
    peer = pressed(on_receive=lambda handler, data: handler.connection.send(peer.node.buffer(data)))
    peer.send("S", options=peer.syn_options())
    assert peer.send("A") == []
    assert peer.state() == "established"
    assert peer.handlers[0].events == ["connected"]
    assert [bytes(segment.payload) for segment in peer.send("PA", b"echo")] == [b"echo"]
    peer.send("FA")
    peer.handlers[0].connection.close()
    peer.take()
    peer.send("A")
    assert peer.state() == "closed"
    assert cookie_counts(peer) == (1, 1, 0)
    assert peer.node.tcp.statistics()["connections"]["handshakes"] == 0


def test_data_in_the_segment_that_brings_the_cookie_is_delivered():
    peer = pressed()
    peer.send("S", options=peer.syn_options())
    peer.send("PA", b"first")
    assert peer.handlers[0].data == b"first"


def test_a_later_segment_is_not_reset_when_the_one_with_the_cookie_was_lost():
    peer = pressed()
    peer.send("S", options=peer.syn_options())
    start = peer.seq
    assert peer.send("PA", b"second", seq=start + 5, advance=False) == []
    assert peer.drops() == {"bad_cookie": 1}
    peer.send("PA", b"first", seq=start)
    assert peer.handlers[0].data == b"first"


@pytest.mark.parametrize(("offered", "used"), [(1460, 1460), (1459, 1440), (9000, 1460), (536, 536), (535, 88)])
def test_the_cookie_remembers_the_segment_size(offered, used):
    peer = pressed()
    peer.send("S", options=[("MSS", offered)])
    peer.send("A")
    peer.handlers[0].connection.send(peer.node.buffer(bytes(4000)))
    assert len(peer.take()[0].payload) == used


def test_timestamps_carry_window_scale_and_sack():
    peer = pressed(timestamps=True)
    options = [("MSS", 1460), ("SAckOK", b""), ("WScale", 7), ("Timestamp", (peer.tsval, 0))]
    answer = peer.send("S", options=options)[0]
    value, echo = dict(answer.options)["Timestamp"]
    assert echo == peer.tsval
    assert dict(answer.options)["WScale"] == 7
    assert "SAckOK" in dict(answer.options)
    peer.send("A", window=1000, options=[("Timestamp", (peer.tsval, value))])
    connection = peer.handlers[0].connection
    assert (connection.snd_wnd, connection.snd_wnd_shift, connection.rcv_wnd_shift) == (128_000, 7, 7)
    assert connection.sack
    connection.send(peer.node.buffer(b"x"))
    sent = peer.take()[0]
    assert dict(sent.options)["Timestamp"][1] == peer.tsval
    assert (dict(sent.options)["Timestamp"][0] - value) & 0xFFFFFFFF < 128


def test_without_timestamps_there_is_neither():
    peer = pressed()
    answer = peer.send("S", options=[("MSS", 1460), ("SAckOK", b""), ("WScale", 7)])[0]
    assert set(dict(answer.options)) == {"MSS"}
    peer.send("A", window=1000)
    assert peer.handlers[0].connection.snd_wnd == 1000
    assert not peer.handlers[0].connection.sack


@pytest.mark.parametrize("scale", [-1, 0, 7, 14])
@pytest.mark.parametrize("sack", [False, True])
def test_options_in_a_timestamp_never_make_it_later(scale, sack):
    for timestamp in (0, 1, 63, 64, 1000, 0xFFFFFFFF):
        value = with_options(timestamp, scale, sack)
        assert window_scale_of(value) == scale
        assert sack_of(value) == sack
        assert (timestamp - value) & 0xFFFFFFFF < 64


@pytest.mark.parametrize("field", ["ack", "seq", "sport"])
def test_what_is_not_a_cookie_makes_no_connection(field):
    peer = pressed()
    peer.send("S", options=peer.syn_options())
    if field == "sport":
        peer.port += 1
        wrong = {}
    else:
        wrong = {field: (getattr(peer, field) + 8) & 0xFFFFFFFF}
    assert peer.send("A", advance=False, **wrong) == []
    assert peer.state() == "closed"
    assert cookie_counts(peer) == (1, 0, 1)


@pytest.mark.parametrize(("age", "state"), [(63, "established"), (129, "closed")])
def test_a_cookie_ages(age, state):
    peer = pressed()
    peer.send("S", options=peer.syn_options())
    peer.clock.advance(age * SECOND)
    peer.send("A")
    assert peer.state() == state


def test_acks_are_reset_as_ever_when_no_cookie_is_out():
    peer = pressed()
    assert [str(segment.flags) for segment in peer.send("A", ack=77)] == ["R"]
    peer.send("S", options=peer.syn_options())
    peer.clock.advance(200 * SECOND)
    assert [str(segment.flags) for segment in peer.send("A", ack=77)] == ["R"]
    assert cookie_counts(peer) == (1, 0, 0)


def test_a_cookie_played_again_opens_no_more_connections_than_cookies_were_sent():
    peer = pressed()
    peer.send("S", options=peer.syn_options())
    start = peer.seq
    peer.send("A")
    peer.send("R")
    assert peer.state() == "closed"
    peer.send("A", seq=start)
    assert peer.state() == "closed"
    assert cookie_counts(peer) == (1, 1, 0)


def test_nobody_guesses_a_cookie():
    cookies = SynCookies(b"sixteen byte key")
    cookie = cookies.make(FLOW, 5, 1460, 0)
    assert cookies.check(FLOW, 5, cookie, 0) == 1460
    good = [other for other in range(cookie - 5000, cookie + 5000) if cookies.check(FLOW, 5, other & 0xFFFFFFFF, 0)]
    assert len(good) == len(MSS_TABLE)
    assert cookies.check(FLOW, 6, cookie, 0) == 0
    stranger = SynCookies(b"another key here")
    stranger.make(FLOW, 5, 1460, 0)
    assert stranger.check(FLOW, 5, cookie, 0) == 0
