"""TCP Fast Open (RFC 7413): cookies, data in the SYN at both ends, bounds, and falling back."""

import pytest

from stack.address import mapped
from stack.constants import ERROR_TOO_BIG
from stack.tcp.fast_open import FastOpenQueue, FastOpenServers
from tests.tcplink import SECOND, Recorder, Wire
from tests.tcppeer import PEER_ISN, PORT, Peer


def option_of(segment) -> bytes | None:
    """The cookie in a segment's Fast Open option; None without the option."""
    return next((value[0] if value else b"" for name, *value in segment.options if name in (34, "TFO")), None)


def raw(segment) -> bytes:
    """The option's bytes, as they are on the wire."""
    options = bytes(segment)[20 : segment.dataofs * 4]
    at = 0
    while at < len(options):
        if options[at] == 34:
            return options[at + 2 : at + options[at + 1]]
        at += 1 if options[at] == 1 else options[at + 1]
    raise AssertionError("no Fast Open option")


class Server(Peer):
    """A peer of a node that listens with Fast Open, and echoes."""

    def __init__(self, limit: int = 4) -> None:
        Peer.__init__(self)
        self.accepted = self.handlers

        def accept(connection) -> Recorder:
            self.handlers.append(Recorder(lambda handler, data: handler.connection.send(self.node.buffer(data))))
            return self.handlers[-1]

        self.node.tcp.listen(PORT, accept, 8, fast_open=limit)

    def syn(self, cookie: bytes, data: bytes = b"", **fields) -> list:
        return self.send("S", data, options=[("MSS", 1460), (34, cookie)], **fields)

    def cookie(self) -> bytes:
        """Ask for one, and give up."""
        answer = self.syn(b"")[0]
        self.send("R")
        self.seq, self.ack, self.port = PEER_ISN, 0, self.port + 1
        return raw(answer)

    def now(self) -> int:
        return self.node.tcp.statistics()["connections"]["now"]


def test_a_cookie_is_given_to_who_asks_and_depends_on_the_address_alone():
    server = Server()
    first = server.cookie()
    assert len(first) == 8
    assert server.cookie() == first
    assert server.now() == 0


def test_data_with_a_cookie_is_answered_before_the_handshake_is_complete():
    server = Server()
    cookie = server.cookie()
    answers = server.syn(cookie, b"hello")
    assert [(str(segment.flags), segment.ack) for segment in answers] == [("SA", server.seq), ("PA", server.seq)]
    assert bytes(answers[1].payload) == b"hello"
    assert answers[1].seq == answers[0].seq + 1
    assert server.state() == "syn_received"
    handler = server.handlers[0]
    assert handler.events == ["connected"]
    server.send("A")
    assert server.state() == "established"
    assert handler.connection.flight() == 0
    assert [bytes(segment.payload) for segment in server.send("PA", b"more")] == [b"more"]
    assert handler.data == b"hellomore"
    assert handler.events == ["connected"]
    assert server.node.tcp.statistics()["connections"]["handshakes"] == 0


@pytest.mark.parametrize("cookie", [b"", b"12345678", b"1234"])
def test_without_the_right_cookie_the_data_is_ignored_and_a_cookie_comes(cookie):
    server = Server()
    right = server.cookie()
    answers = server.syn(cookie, b"hello")
    assert [segment.ack for segment in answers] == [PEER_ISN + 1]
    assert raw(answers[0]) == right
    assert server.handlers == []
    server.seq = PEER_ISN + 1
    assert bytes(server.send("PA", b"hello")[0].payload) == b"hello"


def test_a_listener_that_did_not_ask_for_it_ignores_the_option():
    peer = Peer()
    peer.listen()
    answer = peer.send("S", b"hello", options=[("MSS", 1460), (34, b"")])[0]
    assert option_of(answer) is None
    assert answer.ack == PEER_ISN + 1


def test_the_queue_is_bounded_and_resets_stay_counted():
    server = Server(limit=2)
    cookie = server.cookie()
    for number in range(3):
        server.port, server.seq, server.ack = 1000 + number, 5, 0
        answers = server.syn(cookie, b"x")
        assert len(answers) == (2 if number < 2 else 1)
    server.port, server.seq = 1000, 7
    server.send("R")
    assert server.handlers[0].reason == "reset"
    server.port, server.seq, server.ack = 1003, 5, 0
    assert len(server.syn(cookie, b"x")) == 1  # RFC 7413 section 5.1: a reset makes no room, for a minute
    server.clock.advance(61 * SECOND)
    server.port, server.seq, server.ack = 1004, 5, 0
    assert len(server.syn(cookie, b"x")) == 2


def test_the_limit_changes_while_connections_are_pending():
    server = Server(limit=0)
    assert option_of(server.syn(b"")[0]) is None
    server.send("R")
    queue = server.node.tcp.engine.listeners[PORT].fast_open
    queue.set_limit(2)
    server.seq, server.ack, server.port = PEER_ISN, 0, 999
    cookie = server.cookie()
    server.port, server.seq, server.ack = 1000, 5, 0
    assert len(server.syn(cookie, b"x")) == 2
    queue.set_limit(1)
    server.port, server.seq, server.ack = 1001, 5, 0
    assert len(server.syn(cookie, b"x")) == 1
    queue.set_limit(0)
    server.port, server.seq, server.ack = 1002, 5, 0
    assert option_of(server.syn(cookie, b"x")[0]) is None
    assert queue.pending == 1


def test_the_answer_is_repeated_with_the_handshake_and_after_it():
    server = Server()
    cookie = server.cookie()
    sent = server.syn(cookie, b"hello")
    again = server.wait(1.1)
    assert [(str(segment.flags), segment.seq, segment.ack) for segment in again] == [("SA", sent[0].seq, sent[0].ack)]
    server.send("A", ack=sent[0].seq + 1)  # the SYN-ACK arrived, its data did not
    assert server.state() == "established"
    assert bytes(server.wait(2)[0].payload) == b"hello"


def test_close_before_the_handshake_is_complete():
    server = Server()
    cookie = server.cookie()
    server.syn(cookie, b"hello")
    server.handlers[0].connection.close()
    server.take()
    server.send("A")
    assert server.state() in ("fin_wait_1", "fin_wait_2")
    server.take()
    server.send("FA")
    assert server.state() == "time_wait"
    assert server.handlers[0].reason == "closed"


def test_a_handshake_that_is_never_completed_ends():
    server = Server()
    cookie = server.cookie()
    server.syn(cookie, b"hello")
    server.wait(100)
    assert server.handlers[0].reason == "timeout"
    assert server.node.tcp.statistics()["connections"]["handshakes"] == 0
    assert server.node.allocator.statistics()["allocated_bytes"] == 0


class Client(Peer):
    """A node that connects with Fast Open to this peer."""

    def connect(self, data: bytes = b"hello") -> tuple[Recorder, object]:
        handler = Recorder()
        self.seq, self.ack = PEER_ISN, 0
        self.node.tcp.connect(mapped(self.node.address + 1), self.port, handler, fast_open=self.node.buffer(data))
        syn = self.take()[0]
        self.node_port = syn.sport
        return handler, syn

    def learn(self, cookie: bytes = b"cookie!!") -> None:
        """Give the node a cookie."""
        handler, _ = self.connect()
        self.send("SA", options=[("MSS", 1460), (34, cookie)])
        handler.connection.abort()
        self.take()


def test_the_first_connection_asks_and_sends_after_the_handshake():
    client = Client()
    handler, syn = client.connect()
    assert raw(syn) == b""
    assert len(syn.payload) == 0
    sent = client.send("SA", options=[("MSS", 1460), (34, b"cookie!!")])
    assert [bytes(segment.payload) for segment in sent] == [b"hello"]
    assert handler.events == ["connected"]


def test_the_next_one_sends_the_cookie_and_the_data():
    client = Client()
    client.learn()
    handler, syn = client.connect()
    assert raw(syn) == b"cookie!!"
    assert bytes(syn.payload) == b"hello"
    assert client.ack == syn.seq + 6
    answers = client.send("SA", options=client.syn_options())
    assert [len(segment.payload) for segment in answers] == [0]
    assert handler.connection.queue.length == 0
    assert client.wait(5) == []
    assert client.node.tcp.statistics()["fast_open"]["sent"] == 1


def test_data_that_was_not_taken_is_sent_again_at_once():
    client = Client()
    client.learn()
    _, syn = client.connect()
    sent = client.send("SA", ack=syn.seq + 1, options=client.syn_options())
    assert [(segment.seq, bytes(segment.payload)) for segment in sent] == [(syn.seq + 1, b"hello")]


def test_more_than_fits_follows_after_the_handshake():
    client = Client()
    client.learn()
    _, syn = client.connect(bytes(3000))
    assert len(syn.payload) == 1420
    sent = client.send("SA", options=client.syn_options())
    assert sum(len(segment.payload) for segment in sent) >= 1460
    assert sent[0].seq == syn.seq + 1421


@pytest.mark.parametrize("wrong", [0, 7])
def test_an_acknowledgment_of_more_or_less_than_the_syn_is_refused(wrong):
    client = Client()
    client.learn()
    handler, syn = client.connect()
    answer = client.send("SA", ack=syn.seq + wrong, options=client.syn_options())
    assert [str(segment.flags) for segment in answer] == ["R"]
    assert handler.events == []


def test_a_lost_syn_is_repeated_without_and_the_server_is_left_in_peace():
    client = Client()
    client.learn()
    handler, syn = client.connect()
    again = client.wait(1.1)[0]
    assert (again.seq, len(again.payload)) == (syn.seq, 0)
    assert 34 not in [option[0] for option in again.options]
    sent = client.send("SA", ack=syn.seq + 1, options=client.syn_options())
    assert [bytes(segment.payload) for segment in sent] == [b"hello"]
    handler.connection.abort()
    client.take()
    _, syn = client.connect()
    assert option_of(syn) is None
    assert len(syn.payload) == 0


def test_a_refused_fast_open_says_so():
    client = Client()
    client.learn()
    handler, _ = client.connect()
    client.send("RA")
    assert handler.reason == "refused"


def test_both_ends_together():
    wire = Wire()
    served = []

    def accept(connection):
        served.append(Recorder(lambda handler, data: handler.connection.send(wire.b.buffer(data))))
        return served[-1]

    wire.b.tcp.listen(PORT, accept, 8, fast_open=8)
    times = []
    for _ in range(2):
        handler = Recorder()
        start = wire.clock.now()
        wire.a.tcp.connect(mapped(wire.b.address), PORT, handler, fast_open=wire.a.buffer(b"ping"))
        wire.run(lambda: handler.data == b"ping", seconds=5)  # noqa: B023
        times.append(wire.clock.now() - start)
        wire.run(seconds=1)
    assert times == [4_000_000, 2_000_000]
    assert wire.b.tcp.statistics()["fast_open"]["accepted"] == 1


def test_what_is_known_of_servers_is_bounded():
    class Way:
        def __init__(self, number: int) -> None:
            self.destination_high, self.destination_low = 0, number

    servers = FastOpenServers()
    for number in range(1000):
        servers.remember(Way(number), b"12345678", 1460)
    assert servers.begin(Way(999), 1460, 0).cookie == b"12345678"
    assert servers.begin(Way(1), 1460, 0).cookie == b""
    servers.remember(Way(5), bytes(16), 1460)  # too long to fit beside the other options
    assert servers.begin(Way(5), 1460, 0).cookie == b""
    servers.disable(Way(999), 0)
    assert servers.begin(Way(999), 1460, 3599 * SECOND) is None
    assert servers.begin(Way(999), 1460, 3600 * SECOND).cookie == b""


def test_resets_leave_the_queue_in_time():
    queue = FastOpenQueue(1)
    assert queue.has_room(0)
    queue.was_reset(0)
    assert not queue.has_room(59 * SECOND)
    assert queue.has_room(60 * SECOND)


def test_a_syn_with_data_that_does_not_fit_goes_again_without_and_once():
    client = Client()
    client.learn()
    _, syn = client.connect(bytes(1200))
    again = client.unreachable(client.node_port, syn.seq, ERROR_TOO_BIG, 1000)
    assert [(str(segment.flags), segment.seq, len(segment.payload)) for segment in again] == [("S", syn.seq, 0)]
    assert option_of(again[0]) is None
    assert client.unreachable(client.node_port, syn.seq, ERROR_TOO_BIG, 800) == []
    sent = client.send("SA", ack=syn.seq + 1, options=client.syn_options())
    assert [len(segment.payload) for segment in sent] == [760, 440]


def test_the_next_syn_to_that_host_has_no_more_than_fits_and_the_option_is_not_to_blame():
    client = Client()
    client.learn()
    handler, syn = client.connect(bytes(1200))
    client.unreachable(client.node_port, syn.seq, ERROR_TOO_BIG, 1000)
    handler.connection.abort()
    client.take()
    _, syn = client.connect(bytes(1200))
    assert raw(syn) == b"cookie!!"
    assert len(syn.payload) == 1000 - 40 - 40


@pytest.mark.parametrize("length", [1200, 0])
def test_a_syn_that_does_not_fit_for_another_reason_waits_for_its_timer(length):
    """It has no data, or has been sent again without: there is nothing to leave out."""
    client = Client()
    if length:
        client.learn()
    _, syn = client.connect(bytes(1200))
    if length:
        client.wait(1.1)
    assert client.unreachable(client.node_port, syn.seq, ERROR_TOO_BIG, 1000) == []
    assert str(client.wait(10)[0].flags) == "S"


def test_an_early_answer_that_does_not_fit_is_sent_again_in_smaller_segments():
    server = Server()
    cookie = server.cookie()
    sent = server.syn(cookie, bytes(1300))
    assert [len(segment.payload) for segment in sent] == [0, 1300]
    again = server.unreachable(PORT, sent[1].seq, ERROR_TOO_BIG, 1000)
    assert [(segment.seq, len(segment.payload)) for segment in again] == [(sent[1].seq, 960), (sent[1].seq + 960, 340)]
    assert server.state() == "syn_received"


def test_a_crossed_syn_gets_no_cookie_back():
    client = Client()
    client.learn()
    _, syn = client.connect()
    answer = client.send("S", options=client.syn_options())
    assert [str(segment.flags) for segment in answer] == ["SA"]
    assert option_of(answer[0]) is None
    sent = client.send("A", ack=syn.seq + 1)
    assert [bytes(segment.payload) for segment in sent] == [b"hello"]


def test_a_syn_with_fin_gives_nothing_to_the_application():
    server = Server()
    cookie = server.cookie()
    assert server.send("SF", b"hello", options=[("MSS", 1460), (34, cookie)]) == []
    assert server.handlers == []
    assert server.drops() == {"unacceptable_handshake": 1}
