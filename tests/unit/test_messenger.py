"""The Messenger between whole nodes under virtual time: what every form promises, and connections and counters."""

from collections.abc import Callable, Iterator

import pytest

from ebbrt.future import Promise, TimedOutError
from ebbrt.iobuf import IOBuf
from ebbrt.messages import (
    LARGEST_MESSAGE,
    BackPressureError,
    NodeId,
    NodeLostError,
    RemoteCallError,
)
from tests.fakes import read_chain
from tests.messenger_nodes import EBB, PORT, MessengerNode, make_pair
from tests.messenger_suite import MOST_MEMORY, End, MessengerForms, MessengerSuite
from tests.node_pair import MILLISECOND, SECOND, VirtualNetwork

Pair = tuple[VirtualNetwork, MessengerNode, MessengerNode]


class StackForms(MessengerForms):
    """Over whole nodes and a wire in memory."""

    def __init__(self) -> None:
        self.wire = VirtualNetwork(memory=MOST_MEMORY)
        self.near_id, self.far_id = (NodeId(machine.number, machine.address, PORT) for machine in self.wire.nodes)
        self.near = self._make(0)

    def _make(self, index: int) -> End:
        node = MessengerNode(self.wire.nodes[index])
        return End(node.messenger, node.machine.core, node.machine.allocator)

    def begin(self) -> None:
        self.far = self._make(1)

    def now(self) -> int:
        return self.wire.clock.now()

    def run(self, until: Callable[[], bool]) -> None:
        self.wire.run(until)

    def settle(self) -> None:
        self.wire.advance(0.005)

    def close(self) -> None:
        for node in self.wire.nodes:
            assert node.events.failures == 0
        self.wire.close()


class TestOverStacks(MessengerSuite):
    @pytest.fixture
    def absent(self) -> Iterator[MessengerForms]:
        forms = StackForms()
        yield forms
        forms.close()


# What is TcpMessenger's own: its connections, counters and bounds


@pytest.fixture
def pair() -> Iterator[Pair]:
    network, a, b = make_pair()
    yield network, a, b
    for node in network.nodes:
        assert node.events.failures == 0
    network.close()


def test_calls_both_ways_over_one_connection(pair: Pair) -> None:
    network, a, b = pair
    first = a.call(b, b"one")
    network.run(first.done)
    second = b.call(a, b"two")
    network.run(second.done)
    assert read_chain(first.result()) == b"one"
    assert read_chain(second.result()) == b"two"
    assert a.statistics("connections") == b.statistics("connections") == 1


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


def test_a_time_out_is_10_ms_late_at_most_and_the_late_answer_is_counted(pair: Pair) -> None:
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


def test_messages_to_no_such_ebb_are_counted(pair: Pair) -> None:
    network, a, b = pair
    a.send(b, b"nobody", 99999)
    call = a.call(b, b"nobody", ebb_id=99999)
    network.run(call.done)
    assert isinstance(call.error(), RemoteCallError)
    assert b.problems() == {"no such Ebb": 2}


def test_exceptions_in_handlers_are_counted(pair: Pair) -> None:
    network, a, b = pair

    def fail(data: bytes) -> IOBuf:
        raise ValueError("no")

    b.echo.answer = fail
    call = a.call(b, b"?")
    network.run(call.done)
    assert isinstance(call.error(), RemoteCallError)
    assert b.problems() == {"exception in a handler": 1}


def test_the_own_node_is_reached_without_a_connection(pair: Pair) -> None:
    network, a, _ = pair
    call = a.call(a, b"me?")
    network.run(call.done)
    assert read_chain(call.result()) == b"me?"
    assert a.statistics("connections") == 0


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


def test_the_bytes_that_wait_are_counted_up_to_their_bound(pair: Pair) -> None:
    network, a, b = pair
    b.machine.connected = False
    for _ in range(41):
        a.send(b, bytes(100_000))
    with pytest.raises(BackPressureError):
        a.send(b, bytes(100_000))
    assert 3 << 20 < a.statistics("queued_bytes") <= 4 << 20
    room = a.messenger.when_sendable(b.id)
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
