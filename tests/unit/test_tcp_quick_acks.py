"""Quick acknowledgments and pingpong mode (``stack.tcp.quick_acks``): which segments are acknowledged at once.

Frames of a dialogue are counted, its first request included: what is answered at once costs no frame of its own.
"""

import pytest

from ebbrt.tcp_settings import TcpSettings
from tests.tcplink import Recorder, Wire, open_pair
from tests.tcppeer import PORT, Peer

FULL = bytes(1460)
SOON = 0.005
LATE = 0.045  # later than an acknowledgment may wait


def serving(receive_buffer: int = 0, on_receive=None) -> Peer:
    peer = Peer()
    peer.handlers = [Recorder(on_receive)]
    settings = TcpSettings(receive_buffer=receive_buffer)
    peer.node.tcp.listen(PORT, lambda connection: peer.handlers[0], settings=settings)
    peer.send("S", options=peer.syn_options())
    peer.send("A")
    return peer


def answer(peer: Peer) -> list[int]:
    """The application answers now; how much is in each frame that leaves."""
    peer.handlers[0].connection.send(peer.node.buffer(b"answer"))
    sent = peer.take()
    assert sent[-1].ack == peer.seq
    peer.send("A")
    return [len(segment.payload) for segment in sent]


def at_once(peer: Peer, count: int) -> list[int]:
    """How many acknowledgments each of ``count`` full segments gets at once."""
    return [len(peer.send("A", FULL)) for _ in range(count)]


@pytest.mark.parametrize(("receive_buffer", "quick"), [(60_000, 16), (12_000, 4), (5000, 1), (2000, 2)])
def test_at_the_beginning_half_a_window_is_acknowledged_segment_by_segment(receive_buffer, quick):
    peer = serving(receive_buffer)
    assert at_once(peer, quick + 2) == [1] * quick + [0, 1]


def test_where_answers_are_given_at_once_a_request_costs_two_frames_the_first_one_too():
    peer = serving(on_receive=lambda handler, data: handler.connection.send(peer.node.buffer(b"answer")))
    for _ in range(40):
        assert [len(segment.payload) for segment in peer.send("PA", b"request")] == [6]
        peer.send("A")
        assert peer.wait(SOON) == []


def test_the_first_answer_that_comes_later_makes_acknowledgments_wait_for_the_next():
    peer = serving()
    assert len(peer.send("PA", b"first")) == 1
    for _ in range(40):
        peer.wait(SOON)
        assert answer(peer) == [6]
        assert peer.send("PA", b"next") == []


def test_the_first_reply_to_a_client_is_acknowledged_and_later_ones_with_its_next_request():
    wire = Wire()
    connection, client, _, _ = open_pair(
        wire, on_receive=lambda server, data: server.connection.send(wire.b.buffer(b"reply"))
    )
    for number in range(1, 11):
        connection.send(wire.a.buffer(b"request"))
        wire.run(lambda number=number: len(client.data) == 5 * number)
        wire.run(seconds=SOON)
    assert len(wire.a.frames) == 2 + 10 + 1  # the handshake, the requests, and the acknowledgment of the first reply
    assert len(wire.b.frames) == 1 + 10


def test_a_late_answer_is_none():
    peer = serving()
    for _ in range(5):
        assert len(peer.send("PA", b"request")) == 1
        peer.wait(LATE)
        answer(peer)


def test_what_is_not_answered_ends_the_waiting_and_begins_anew():
    peer = serving(12_000)
    at_once(peer, 4)
    peer.ask()
    assert peer.send("PA", b"no answer") == []
    assert len(peer.wait(LATE)) == 1
    assert at_once(peer, 6) == [1, 1, 1, 1, 0, 1]


def test_where_nobody_answers_a_delay_is_no_sign_that_the_peer_waits():
    peer = serving(12_000)
    assert at_once(peer, 5) == [1, 1, 1, 1, 0]
    assert len(peer.wait(LATE)) == 1
    assert at_once(peer, 2) == [0, 1]


def test_silence_begins_anew():
    peer = serving(12_000)
    assert at_once(peer, 6) == [1, 1, 1, 1, 0, 1]
    peer.wait(0.15)  # less than the retransmission timeout
    assert at_once(peer, 2) == [0, 1]
    peer.wait(2)
    assert at_once(peer, 6) == [1, 1, 1, 1, 0, 1]


def test_silence_between_requests_does_not():
    peer = serving()
    peer.ask()
    peer.wait(2)
    assert peer.send("PA", b"request") == []
    assert answer(peer) == [6]


def test_what_comes_again_begins_anew():
    peer = serving(12_000)
    at_once(peer, 4)
    peer.ask()
    assert at_once(peer, 2) == [0, 1]
    peer.send("A", FULL, seq=peer.seq - 1460)
    assert at_once(peer, 6) == [1, 1, 1, 1, 0, 1]


def test_a_probe_of_the_closed_window_begins_anew():
    peer = serving(2920)
    assert at_once(peer, 5) == [1, 0, 1, 0, 1]
    connection = peer.handlers[0].connection
    connection.pause()
    at_once(peer, 2)
    assert [segment.window for segment in peer.send("A", b"probe", advance=False)] == [0]
    connection.resume()
    peer.take()
    assert at_once(peer, 4) == [1, 1, 0, 1]


@pytest.mark.parametrize(("beyond", "acknowledgments"), [(0, 0), (1, 1)])
def test_what_is_cut_to_the_window_is_acknowledged_at_once(beyond, acknowledgments):
    peer = serving(1200)
    peer.ask()
    connection = peer.handlers[0].connection
    window = (connection.rcv_adv - connection.rcv_nxt) & 0xFFFFFFFF
    answers = peer.send("A", bytes(window + beyond))
    assert [peer.seq - segment.ack for segment in answers] == [beyond] * acknowledgments


def test_settings_that_ask_for_it_get_every_segment_acknowledged():
    peer = serving()
    peer.handlers[0].connection.configure(TcpSettings(delayed_ack=False))
    peer.ask()
    assert at_once(peer, 20) == [1] * 20
