"""The Messenger between whole nodes under virtual time: messages, calls, connections, time-outs."""

from collections.abc import Iterator

import pytest

from ebbrt.future import Promise, TimedOutError, failed
from ebbrt.iobuf import IOBuf
from ebbrt.messages import (
    LARGEST_MESSAGE,
    BackPressureError,
    MessageTooLargeError,
    NodeLostError,
    RemoteCallError,
)
from tests.fakes import read_chain
from tests.messenger_nodes import EBB, Echo, MessengerNode, make_pair
from tests.node_pair import MILLISECOND, SECOND, VirtualNetwork

Pair = tuple[VirtualNetwork, MessengerNode, MessengerNode]


@pytest.fixture
def pair() -> Iterator[Pair]:
    network, a, b = make_pair()
    yield network, a, b
    for node in network.nodes:
        assert node.events.failures == 0
    network.close()


def test_a_message_reaches_the_ebb_with_its_sender(pair: Pair) -> None:
    network, a, b = pair
    a.send(b, b"hello")
    network.run(lambda: b.echo.received == [b"hello"])
    assert b.echo.senders == [a.id]
    assert a.statistics("connections") == b.statistics("connections") == 1


def test_calls_both_ways_over_one_connection(pair: Pair) -> None:
    network, a, b = pair
    first = a.call(b, b"one")
    network.run(first.done)
    second = b.call(a, b"two")
    network.run(second.done)
    assert read_chain(first.result()) == b"one"
    assert read_chain(second.result()) == b"two"
    assert a.statistics("connections") == b.statistics("connections") == 1


def test_messages_wait_for_the_connection_and_keep_their_order(pair: Pair) -> None:
    network, a, b = pair
    messages = [b"%d" % number for number in range(100)]
    for message in messages:
        a.send(b, message)
    network.run(lambda: len(b.echo.received) == 100)
    assert b.echo.received == messages


def test_large_and_empty_messages_are_not_copied(pair: Pair) -> None:
    network, a, b = pair
    large = bytes(range(256)) * (LARGEST_MESSAGE // 256)
    a.send(b, large)
    a.send(b, b"")
    network.run(lambda: len(b.echo.received) == 2)
    assert b.echo.received == [large, b""]
    for node in network.nodes:
        assert node.allocator.memory.payload_bytes_copied == 0


def test_data_without_headroom_leave_behind_a_header_of_their_own(pair: Pair) -> None:
    network, a, b = pair
    a.messenger.send(b.id, EBB, a.message(b"view").clone_view())
    network.run(lambda: b.echo.received == [b"view"])
    assert a.machine.allocator.memory.payload_bytes_copied == 0


def test_a_message_too_large_is_refused(pair: Pair) -> None:
    _, a, b = pair
    with pytest.raises(MessageTooLargeError, match=str(LARGEST_MESSAGE)):
        a.send(b, bytes(LARGEST_MESSAGE + 1))


def test_simultaneous_connects_end_in_one_connection(pair: Pair) -> None:
    network, a, b = pair
    for number in range(10):
        a.send(b, b"a%d" % number)
        b.send(a, b"b%d" % number)
    network.run(lambda: len(a.echo.received) == len(b.echo.received) == 10)
    network.advance(5)
    assert a.echo.received == [b"b%d" % number for number in range(10)]
    assert b.echo.received == [b"a%d" % number for number in range(10)]
    for node in (a, b):
        assert node.statistics("connections") == 1
        assert node.statistics("handshakes") == 0
    assert a.messenger._routes[2].link.handshake.target == 2  # the one the lower number made


def test_a_call_times_out_and_its_late_answer_is_dropped(pair: Pair) -> None:
    network, a, b = pair
    answer: Promise[IOBuf] = Promise()
    b.echo.answer = lambda data: answer.future
    begun = network.clock.now()
    call = a.call(b, b"slow", SECOND)
    network.run(call.done)
    assert isinstance(call.error(), TimedOutError)
    assert SECOND <= network.clock.now() - begun <= SECOND + 11 * MILLISECOND
    answer.set_value(b.message(b"late"))
    network.run(lambda: a.problems() == {"answer to no call": 1})
    assert a.statistics("pending_calls") == 0


def test_an_exception_crosses_as_text_and_no_more(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    network, a, b = pair

    def fail(data: bytes) -> IOBuf:
        raise ValueError("x" * 5000)

    b.echo.answer = fail
    call = a.call(b, b"?")
    network.run(call.done)
    error = call.error()
    assert isinstance(error, RemoteCallError)
    assert "ValueError: xxx" in str(error)
    assert "Traceback" not in str(error)
    assert len(str(error)) < 600
    assert "Ebb 70000" in caplog.text
    assert b.problems() == {"exception in a handler": 1}


def test_a_failed_future_fails_the_call(pair: Pair) -> None:
    network, a, b = pair
    b.echo.answer = lambda data: failed(KeyError("nothing there"))
    call = a.call(b, b"?")
    network.run(call.done)
    assert "KeyError: 'nothing there'" in str(call.error())


def test_no_such_ebb_is_counted_and_told_to_a_caller(pair: Pair) -> None:
    network, a, b = pair
    a.send(b, b"nobody", 99999)
    call = a.call(b, b"nobody", ebb_id=99999)
    network.run(call.done)
    assert isinstance(call.error(), RemoteCallError)
    assert b.problems() == {"no such Ebb": 2}


def test_arrival_makes_the_representative(pair: Pair) -> None:
    network, a, b = pair
    made = Echo()
    b.machine.core.register(80000, lambda core, ebb_id: made)
    a.send(b, b"first", 80000)
    network.run(lambda: made.received == [b"first"])
    assert b.machine.core.representative(80000) is made


def test_the_own_node_is_reached_by_an_event_of_its_own(pair: Pair) -> None:
    network, a, _ = pair
    a.send(a, b"self")
    call = a.call(a, b"me?")
    assert a.echo.received == []
    network.run(call.done)
    assert a.echo.received == [b"self", b"me?"]
    assert read_chain(call.result()) == b"me?"
    assert a.statistics("connections") == 0


def test_a_node_that_is_lost_fails_everything_now_and_later(pair: Pair) -> None:
    _, a, b = pair
    b.machine.connected = False
    call = a.call(b, b"?")
    a.messenger.node_lost(2, "its process died")
    assert isinstance(call.error(), NodeLostError)
    with pytest.raises(NodeLostError, match="its process died"):
        a.send(b, b"more")
    assert isinstance(a.call(b, b"more").error(), NodeLostError)
    assert isinstance(a.messenger.when_sendable(b.id).error(), NodeLostError)


def test_what_waits_is_given_up_after_a_time_without_a_connection(pair: Pair) -> None:
    network, a, b = pair
    b.machine.connected = False
    begun = network.clock.now()
    a.send(b, b"lost")
    call = a.call(b, b"?", 1000 * SECOND)
    network.run(call.done)
    assert isinstance(call.error(), NodeLostError)
    assert 29 * SECOND < network.clock.now() - begun < 32 * SECOND
    assert a.statistics("given_up") == 2
    b.machine.connected = True
    a.send(b, b"found again")
    network.run(lambda: b.echo.received == [b"found again"])


def test_messages_survive_a_time_without_a_network(pair: Pair) -> None:
    network, a, b = pair
    a.send(b, b"before")
    network.run(lambda: b.echo.received == [b"before"])
    b.machine.connected = False
    a.send(b, b"meanwhile")
    network.advance(10)
    b.machine.connected = True
    network.run(lambda: b.echo.received == [b"before", b"meanwhile"])


def test_an_attempt_that_the_peer_forestalls_is_not_due_for_ever(pair: Pair) -> None:
    network, a, b = pair
    answer: Promise[IOBuf] = Promise()
    b.echo.answer = lambda data: answer.future
    call = a.call(b, b"waits", 60 * SECOND)
    network.run(lambda: b.echo.received == [b"waits"])
    a.messenger._routes[2].link.fail("cut")  # and a will try again, since its call waits
    network.run(lambda: b.statistics("connections") == 0, 1)
    b.send(a, b"first")
    network.run(lambda: a.echo.received == [b"first"], 1)
    assert a.messenger._routes[2].retry_at == 0  # what is due and is not done would keep the loop busy
    network.advance(0.5)
    answer.set_value(b.message(b"answered"))
    network.run(call.done)
    assert read_chain(call.result()) == b"answered"


def test_a_dead_peer_is_noticed_when_nothing_is_sent(pair: Pair) -> None:
    network, a, b = pair
    a.send(b, b"before")
    network.run(lambda: b.echo.received == [b"before"])
    b.machine.connected = False
    network.run(lambda: a.statistics("connections") == 0, 14)
    assert a.problems() == {"silent peer": 1}


def test_an_idle_connection_stays(pair: Pair) -> None:
    network, a, b = pair
    a.send(b, b"before")
    network.advance(100)
    assert a.statistics("connections") == b.statistics("connections") == 1
    assert a.problems() == b.problems() == {}


def test_what_waits_is_bounded_and_room_is_told(pair: Pair) -> None:
    network, a, b = pair
    b.machine.connected = False
    for _ in range(41):
        a.send(b, bytes(100_000))
    with pytest.raises(BackPressureError, match="when_sendable"):
        a.send(b, bytes(100_000))
    assert 3 << 20 < a.statistics("queued_bytes") <= 4 << 20
    room = a.messenger.when_sendable(b.id)
    assert not room.done()
    b.machine.connected = True
    network.run(room.done)
    assert a.statistics("queued_bytes") <= 2 << 20
    network.run(lambda: a.statistics("queued_bytes") == 0)


def test_another_incarnation_fails_what_was_pending(pair: Pair) -> None:
    network, a, b = pair
    kept: Promise[IOBuf] = Promise()
    b.echo.answer = lambda data: kept.future
    call = a.call(b, b"?", 100 * SECOND)
    network.run(lambda: b.echo.received == [b"?"])
    b.messenger.close()
    again = MessengerNode(b.machine, number=2, port=9101)
    again.send(a, b"I am new")
    network.run(call.done)
    assert isinstance(call.error(), NodeLostError)
    network.run(lambda: a.echo.received == [b"I am new"])
    a.send(again, b"welcome")
    network.run(lambda: again.echo.received == [b"welcome"])


def test_a_second_node_of_the_same_number_is_refused() -> None:
    network = VirtualNetwork(3)
    a, b, c = (MessengerNode(machine, number) for machine, number in zip(network.nodes, (1, 2, 2), strict=True))
    b.send(a, b"the real one")
    network.run(lambda: a.echo.received == [b"the real one"])
    c.send(a, b"not me")
    network.run(lambda: a.problems().get("duplicate node number", 0) > 0)
    network.advance(5)
    assert a.echo.received == [b"the real one"]
    b.send(a, b"still here")
    network.run(lambda: a.echo.received[-1] == b"still here")
    c.messenger.close()
    network.close()


def test_a_wrong_secret_is_refused() -> None:
    network = VirtualNetwork(2)
    a = MessengerNode(network.nodes[0])
    b = MessengerNode(network.nodes[1], secret=b"another secret altogether")
    call = a.call(b, b"?", 2 * SECOND)
    network.run(call.done)
    assert isinstance(call.error(), TimedOutError)
    assert a.problems()["wrong secret"] > 1
    assert b.echo.received == []
    network.close()


def test_a_closed_messenger_leaves_nothing(pair: Pair) -> None:
    network, a, b = pair
    a.send(b, b"before")
    network.run(lambda: b.echo.received == [b"before"])
    call = a.call(b, b"?", SECOND)
    a.messenger.close()
    assert isinstance(call.error(), NodeLostError)
    with pytest.raises(NodeLostError, match="closed"):
        a.send(b, b"more")
    network.advance(5)
    assert b.statistics("connections") == 0
    assert a.messenger._alarm._timer is None
