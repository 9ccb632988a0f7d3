"""Keepalive (RFC 9293 section 3.8.4), user timeout (3.8.3, RFC 5482), and windows that stay closed (3.8.6.1)."""

from ebbrt.tcp_settings import SECOND, TcpSettings
from tests.tcppeer import Peer
from tests.unit.test_tcp_settings import serving

KEEPALIVE = TcpSettings(keepalive=True, keepalive_idle=10 * SECOND, keepalive_interval=2 * SECOND, keepalive_probes=3)


def test_nothing_is_asked_by_default():
    peer = Peer()
    peer.established()
    assert peer.wait(100_000) == []
    assert peer.state() == "established"


def test_the_defaults_ask_after_two_hours():
    peer = serving(TcpSettings(keepalive=True))
    assert peer.wait(7199) == []
    assert len(peer.wait(2)) == 1


def test_an_idle_peer_is_asked_with_what_it_has_had():
    peer = serving(KEEPALIVE)
    assert peer.wait(9.9) == []
    question = peer.wait(0.2)[0]
    assert str(question.flags) == "A"
    assert len(question.payload) == 0
    assert question.seq == (peer.ack - 1) & 0xFFFFFFFF
    peer.send("A")
    assert peer.wait(9.9) == []
    assert len(peer.wait(0.2)) == 1


def test_a_peer_that_never_answers_is_given_up_with_a_reset():
    peer = serving(KEEPALIVE)
    sent = peer.wait(100)
    assert [str(segment.flags) for segment in sent] == ["A", "A", "A", "RA"]
    assert peer.handlers[0].reason == "timeout"
    assert peer.node.tcp.statistics()["segments"]["keepalives_sent"] == 3


def test_one_unanswered_question_is_not_the_end():
    peer = serving(KEEPALIVE)
    assert len(peer.wait(13)) == 2
    peer.send("A")
    assert len(peer.wait(15)) == 3
    assert peer.state() == "established"


def test_what_the_peer_sends_puts_the_question_off():
    peer = serving(KEEPALIVE)
    for _ in range(5):
        peer.wait(8)
        peer.send("A", b"x")
    assert peer.node.tcp.statistics()["segments"]["keepalives_sent"] == 0


def test_keepalive_can_be_switched_on_and_off_while_idle():
    peer = serving(TcpSettings())
    connection = peer.handlers[0].connection
    peer.wait(100)
    connection.configure(KEEPALIVE)
    assert len(peer.wait(1)) == 1  # it was idle for long enough
    connection.configure(TcpSettings())
    assert peer.wait(1000) == []
    assert peer.state() == "established"


def test_our_own_question_is_answered_by_the_stack():
    peer = Peer()
    peer.established()
    answer = peer.send("A", seq=(peer.seq - 1) & 0xFFFFFFFF, advance=False)
    assert [str(segment.flags) for segment in answer] == ["A"]
    assert answer[0].ack == peer.seq


def test_user_timeout_ends_retransmission_to_the_moment():
    peer = serving(TcpSettings(user_timeout=5 * SECOND))
    handler = peer.handlers[0]
    handler.connection.send(peer.node.buffer(b"lost"))
    peer.wait(4.99)
    assert handler.reason == ""
    peer.wait(0.02)
    assert handler.reason == "timeout"


def test_user_timeout_starts_anew_with_every_progress():
    peer = serving(TcpSettings(user_timeout=5 * SECOND))
    handler = peer.handlers[0]
    handler.connection.send(peer.node.buffer(bytes(1460 * 3)))
    first = peer.take()[0].seq
    for acknowledged in (1, 2):
        peer.wait(4)
        peer.send("A", ack=first + 1460 * acknowledged)
    peer.wait(4)
    assert handler.reason == ""
    peer.wait(1.5)
    assert handler.reason == "timeout"


def test_a_longer_user_timeout_outlasts_the_number_of_retransmissions():
    peer = serving(TcpSettings(user_timeout=1000 * SECOND))
    handler = peer.handlers[0]
    handler.connection.send(peer.node.buffer(b"lost"))
    peer.wait(999)
    assert handler.reason == ""
    peer.wait(2)
    assert handler.reason == "timeout"


def test_user_timeout_bounds_a_window_that_stays_closed():
    peer = serving(TcpSettings(user_timeout=20 * SECOND))
    handler = peer.handlers[0]
    peer.send("A", window=0)
    handler.connection.send(peer.node.buffer(b"patience"))
    start = peer.ack
    for _ in range(99):  # the peer answers every probe
        if peer.wait(0.2):
            peer.ack = start
            peer.send("A", window=0)
    assert handler.reason == ""
    peer.wait(0.5)
    assert handler.reason == "timeout"


def test_user_timeout_ends_a_connection_attempt():
    from tests.tcplink import Recorder

    peer = Peer()
    handler = Recorder()
    peer.node.tcp.connect((0, 0xFFFF << 32 | peer.node.address + 1), 9, handler, TcpSettings(user_timeout=4 * SECOND))
    peer.wait(3.9)
    assert handler.reason == ""
    peer.wait(0.2)
    assert handler.reason == "timeout"


def test_keepalive_and_user_timeout():
    peer = serving(TcpSettings(keepalive=True, keepalive_idle=10 * SECOND, user_timeout=15 * SECOND,
                               keepalive_interval=2 * SECOND))  # fmt: skip
    peer.wait(15.9)
    assert peer.state() == "established"
    peer.wait(0.2)
    assert peer.handlers[0].reason == "timeout"
