"""The state machine of RFC 9293: opening, closing, and what RST, SYN and FIN do in every state."""

import pytest

from stack.tcp.state import END, TRANSITIONS, dot, next_state
from tests.tcppeer import PEER_ISN, Peer

OPEN_STATES = [
    "syn_sent",
    "syn_received",
    "established",
    "fin_wait_1",
    "fin_wait_2",
    "close_wait",
    "closing",
    "last_ack",
    "time_wait",
]


def peer_in(state: str) -> Peer:
    """A peer whose connection with the node is, on the node's side, in ``state``."""
    peer = Peer()
    if state == "syn_sent":
        peer.connecting()
    elif state == "syn_received":
        peer.listen()
        peer.send("S", options=peer.syn_options())
    else:
        handler = peer.established()
        connection = handler.connection
        if state in ("fin_wait_1", "fin_wait_2", "closing", "time_wait"):
            connection.close()
            fin = peer.take()[0]
            assert fin.flags == "FA"
            if state in ("fin_wait_2", "time_wait"):
                peer.send("A")
            if state == "closing":
                peer.send("FA", ack=fin.seq)
            if state == "time_wait":
                peer.send("FA")
        elif state in ("close_wait", "last_ack"):
            peer.send("FA")
            if state == "last_ack":
                connection.close()
                assert peer.take()[0].flags == "FA"
    assert peer.state() == state
    return peer


@pytest.mark.parametrize("state", OPEN_STATES)
def test_each_state_can_be_reached(state):
    peer_in(state)


@pytest.mark.parametrize("state", OPEN_STATES)
def test_exact_reset_ends_every_state_but_time_wait(state):
    peer = peer_in(state)
    if state == "syn_sent":
        peer.send("RA")
    else:
        peer.send("R")
    assert peer.state() == ("time_wait" if state == "time_wait" else "closed")
    if peer.handlers:
        assert peer.handlers[0].reason == ("closed" if state == "time_wait" else "reset")


@pytest.mark.parametrize("state", OPEN_STATES[1:])
def test_reset_in_window_but_not_exact_only_brings_a_challenge(state):
    peer = peer_in(state)
    answer = peer.send("R", seq=(peer.seq + 5) & 0xFFFFFFFF, advance=False)
    assert [segment.flags for segment in answer] == ["A"]
    assert peer.state() == state
    assert peer.drops()["blind_reset"] == 1
    assert peer.send("R", seq=(peer.seq - 5) & 0xFFFFFFFF, advance=False) == []
    assert peer.state() == state


@pytest.mark.parametrize("state", OPEN_STATES[2:-1])
def test_syn_in_an_open_connection_is_only_answered(state):
    peer = peer_in(state)
    answer = peer.send("S", seq=peer.seq, advance=False)
    assert [segment.flags for segment in answer] == ["A"]
    assert peer.state() == state


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("syn_received", "close_wait"),
        ("established", "close_wait"),
        ("fin_wait_1", "time_wait"),
        ("fin_wait_2", "time_wait"),
        ("close_wait", "close_wait"),
        ("closing", "time_wait"),
        ("last_ack", "closed"),
        ("time_wait", "time_wait"),
    ],
)
def test_fin_that_acknowledges_everything(state, after):
    peer = peer_in(state)
    peer.send("FA")
    assert peer.state() == after
    if after == "time_wait":
        assert peer.handlers[0].events == ["connected", "peer_closed", "closed"]


def test_fin_that_does_not_acknowledge_ours_is_a_simultaneous_close():
    peer = peer_in("fin_wait_1")
    answer = peer.send("FA", ack=(peer.ack - 1) & 0xFFFFFFFF)
    assert answer[-1].ack == peer.seq
    assert peer.state() == "closing"
    peer.send("A")
    assert peer.state() == "time_wait"
    peer.wait(61)
    assert peer.state() == "closed"
    assert peer.handlers[0].reason == "closed"


def test_simultaneous_open():
    peer = Peer()
    handler = peer.connecting()
    answer = peer.send("S", options=peer.syn_options())
    assert answer[0].flags == "SA"
    assert answer[0].ack == PEER_ISN + 1
    assert peer.state() == "syn_received"
    # The peer's own SYN-ACK, whose SYN we have already: a SYN-ACK as the answer would bring another one, for ever.
    assert [segment.flags for segment in peer.send("SA", seq=PEER_ISN, advance=False)] == ["A"]
    assert peer.state() == "established"
    assert handler.events == ["connected"]


def test_half_close_still_receives():
    peer = peer_in("fin_wait_2")
    peer.send("PA", b"more")
    assert peer.handlers[0].data == b"more"
    assert not peer.handlers[0].connection.send(peer.node.buffer(b"x"))


def test_data_and_fin_in_one_segment():
    peer = Peer()
    handler = peer.established()
    answer = peer.send("FPA", b"last words")
    assert handler.data == b"last words"
    assert handler.events == ["connected", "peer_closed"]
    assert answer[-1].ack == peer.seq


def test_fin_before_the_data_it_follows():
    peer = Peer()
    handler = peer.established()
    start = peer.seq
    peer.send("FPA", b"late", seq=start + 4)
    assert peer.state() == "established"
    peer.send("PA", b"soon", seq=start, advance=False)
    assert handler.data == b"soonlate"
    assert peer.state() == "close_wait"
    assert peer.take() == []


def test_close_in_syn_received_waits_for_established():
    peer = Peer()
    handler = peer.connecting()
    peer.send("S", options=peer.syn_options())
    handler.connection.close()
    assert peer.state() == "syn_received"
    answer = peer.send("A")
    assert peer.state() == "fin_wait_1"
    assert "F" in answer[-1].flags


def test_connect_refused_and_wrong_acknowledgment():
    peer = Peer()
    handler = peer.connecting()
    answer = peer.send("SA", ack=peer.ack + 77, advance=False)
    assert [(segment.flags, segment.seq) for segment in answer] == [("R", peer.ack + 77)]
    assert peer.state() == "syn_sent"
    peer.send("R", advance=False)  # acknowledges nothing: anyone could have sent it
    assert peer.state() == "syn_sent"
    peer.send("RA")
    assert handler.reason == "refused"


def test_syn_for_a_closed_port_is_reset():
    peer = Peer()
    answer = peer.send("S")
    assert [(segment.flags, segment.ack) for segment in answer] == [("RA", PEER_ISN + 1)]
    answer = peer.send("A", ack=5)
    assert [(segment.flags, segment.seq) for segment in answer] == [("R", 5)]
    assert peer.send("R") == []
    assert peer.drops() == {"no_connection": 3}


def test_time_wait_acknowledges_a_repeated_fin_and_starts_again():
    peer = peer_in("time_wait")
    peer.wait(50)
    answer = peer.send("FA", seq=(peer.seq - 1) & 0xFFFFFFFF)
    assert [segment.flags for segment in answer] == ["A"]
    peer.wait(50)
    assert peer.state() == "time_wait"
    peer.wait(11)
    assert peer.state() == "closed"
    assert peer.node.tcp.statistics()["connections"] | {"timers": 0} == {
        "now": 0, "active_opens": 0, "passive_opens": 1, "established": 1, "closed": 1, "time_wait_evicted": 0,
        "handshakes": 0, "timers": 0, "buffers_grown": 0,
    }  # fmt: skip


def test_time_wait_gives_way_to_a_newer_syn_only():
    peer = peer_in("time_wait")
    peer.send("S", seq=(peer.seq - 1000) & 0xFFFFFFFF, advance=False, options=peer.syn_options())
    assert peer.state() == "time_wait"
    answer = peer.send("S", seq=(peer.seq + 1000) & 0xFFFFFFFF, options=peer.syn_options())
    assert answer[-1].flags == "SA"
    assert peer.state() == "syn_received"
    peer.ack = answer[-1].seq + 1
    peer.send("A")
    assert len(peer.handlers) == 2


def test_fin_wait_2_does_not_wait_for_ever():
    peer = peer_in("fin_wait_2")
    peer.wait(59)
    assert peer.state() == "fin_wait_2"
    peer.wait(2)
    assert peer.handlers[0].reason == "timeout"


def test_abort_resets_the_peer():
    peer = peer_in("established")
    peer.handlers[0].connection.abort()
    reset = peer.take()[0]
    assert reset.flags == "RA"
    assert reset.seq == peer.ack
    assert peer.handlers[0].reason == "aborted"
    assert peer.state() == "closed"


def test_impossible_transitions_are_bugs():
    with pytest.raises(RuntimeError, match="receive FIN in state closed"):
        next_state(0, "receive FIN")
    assert all((state, END) in TRANSITIONS for state in range(2, 11))
    assert 'established -> fin_wait_1 [label="close"]' in dot()
