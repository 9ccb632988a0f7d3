"""What a Messenger promises (``ebbrt.messages``), as tests that every form of it passes.

A test class inherits ``MessengerSuite`` and has a fixture ``absent``: two nodes, of which ``far`` does not listen yet.
"""

from collections.abc import Callable

import pytest

from ebbrt.ebb import Core
from ebbrt.future import Future, Promise, TimedOutError, failed
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import (
    LARGEST_MESSAGE,
    BackPressureError,
    MessageTooLargeError,
    Messenger,
    NodeId,
    NodeLostError,
    RemoteCallError,
    to_message,
)
from tests.fakes import read_chain
from tests.messenger_nodes import EBB, Echo

MILLISECOND = 1_000_000
LONG = 20_000 * MILLISECOND  # ns: no call of these waits for so long
MOST_MEMORY = 32 << 20  # bytes that each of the two has
MOST_QUEUED = 24 << 20  # bytes: no Messenger lets more than this wait for a node


class End:
    """One node: a Messenger, the core that its messages are delivered on, and an Ebb there that keeps what it gets."""

    def __init__(self, messenger: Messenger, core: Core, allocator: MemoryAllocator) -> None:
        self.messenger = messenger
        self.core = core
        self.allocator = allocator
        self.echo = Echo()
        core.install(EBB, self.echo)

    def message(self, data: bytes) -> IOBuf:
        return to_message(self.allocator, data)

    def send(self, to: NodeId, data: bytes, ebb_id: int = EBB) -> None:
        self.messenger.send(to, ebb_id, self.message(data))

    def call(self, to: NodeId, data: bytes, timeout: int = LONG, ebb_id: int = EBB) -> Future[IOBuf]:
        return self.messenger.call(to, ebb_id, self.message(data), timeout)


class MessengerForms:
    """``near`` is of the form that is tested; ``far`` is another node. Their time is virtual or real."""

    near: End
    near_id: NodeId
    far: End
    far_id: NodeId

    def begin(self) -> None:
        """Have ``far`` listen."""
        raise NotImplementedError

    def now(self) -> int:
        """The time, in ns."""
        raise NotImplementedError

    def run(self, until: Callable[[], bool]) -> None:
        """Carry on until it holds; AssertionError when it does not come about."""
        raise NotImplementedError

    def settle(self) -> None:
        """Let happen what happens soon."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back; AssertionError when an event has failed."""
        raise NotImplementedError


def fill(forms: MessengerForms) -> list[bytes]:
    """Send to ``far`` until the Messenger takes no more; what it has taken."""
    sent: list[bytes] = []
    while len(sent) * 100_000 < MOST_QUEUED:
        data = len(sent).to_bytes(4, "big") * 25_000
        try:
            forms.near.send(forms.far_id, data)
        except BackPressureError:
            return sent
        sent.append(data)
        forms.settle()
    raise AssertionError(f"{MOST_QUEUED} bytes wait for a node that is not there")


class MessengerSuite:
    """The tests."""

    @pytest.fixture
    def forms(self, absent: MessengerForms) -> MessengerForms:
        absent.begin()
        return absent

    # Messages

    def test_a_message_reaches_the_ebb_with_its_sender(self, forms: MessengerForms) -> None:
        forms.near.send(forms.far_id, b"hello")
        forms.run(lambda: forms.far.echo.received == [b"hello"])
        assert forms.far.echo.senders == [forms.near_id] == [forms.near.messenger.local()]

    def test_messages_wait_for_a_connection_and_keep_their_order(self, absent: MessengerForms) -> None:
        messages = [b"%d" % number for number in range(100)]
        for message in messages[:50]:
            absent.near.send(absent.far_id, message)
        absent.settle()
        absent.begin()
        for message in messages[50:]:
            absent.near.send(absent.far_id, message)
        absent.run(lambda: len(absent.far.echo.received) == 100)
        assert absent.far.echo.received == messages

    def test_the_largest_message_and_the_empty_one(self, forms: MessengerForms) -> None:
        largest = bytes(range(256)) * (LARGEST_MESSAGE // 256)
        largest += bytes(LARGEST_MESSAGE - len(largest))
        for data in (largest, b"", b"after it"):
            forms.near.send(forms.far_id, data)
        forms.run(lambda: len(forms.far.echo.received) == 3)
        assert forms.far.echo.received == [largest, b"", b"after it"]

    def test_the_largest_and_the_empty_answer(self, forms: MessengerForms) -> None:
        for data in (bytes(LARGEST_MESSAGE), b""):
            call = forms.near.call(forms.far_id, data)
            forms.run(call.done)
            assert read_chain(call.result()) == data

    def test_a_message_too_large_is_refused(self, forms: MessengerForms) -> None:
        with pytest.raises(MessageTooLargeError, match=str(LARGEST_MESSAGE)):
            forms.near.send(forms.far_id, bytes(LARGEST_MESSAGE + 1))
        call = forms.near.call(forms.far_id, bytes(LARGEST_MESSAGE + 1))
        forms.run(call.done)
        assert isinstance(call.error(), MessageTooLargeError)

    def test_a_chain_and_a_view_without_headroom(self, forms: MessengerForms) -> None:
        chain = forms.near.message(b"one, ")
        chain.append(forms.near.message(b"two"))
        forms.near.messenger.send(forms.far_id, EBB, chain)
        forms.near.messenger.send(forms.far_id, EBB, forms.near.message(b"view").clone_view())
        forms.run(lambda: forms.far.echo.received == [b"one, two", b"view"])

    def test_memory_comes_back(self, forms: MessengerForms) -> None:
        total = 0
        while total <= MOST_MEMORY:
            call = forms.near.call(forms.far_id, bytes(LARGEST_MESSAGE))
            forms.run(call.done)
            assert call.result().chain_length() == LARGEST_MESSAGE
            forms.far.echo.received.clear()
            total += LARGEST_MESSAGE

    # Calls

    def test_calls_in_both_directions_at_once(self, forms: MessengerForms) -> None:
        near = [forms.near.call(forms.far_id, b"near %d" % number) for number in range(10)]
        far = [forms.far.call(forms.near_id, b"far %d" % number) for number in range(10)]
        forms.run(lambda: all(call.done() for call in near + far))
        assert [read_chain(call.result()) for call in near] == [b"near %d" % number for number in range(10)]
        assert [read_chain(call.result()) for call in far] == [b"far %d" % number for number in range(10)]

    def test_answers_go_to_the_calls_they_are_for_in_any_order(self, forms: MessengerForms) -> None:
        answers: list[Promise[IOBuf]] = [Promise(), Promise()]
        forms.far.echo.answer = lambda data: answers[int(data)].future
        calls = [forms.near.call(forms.far_id, data) for data in (b"0", b"1")]
        forms.run(lambda: len(forms.far.echo.received) == 2)
        answers[1].set_value(forms.far.message(b"second"))
        forms.run(calls[1].done)
        assert not calls[0].done()
        answers[0].set_value(forms.far.message(b"first"))
        forms.run(calls[0].done)
        assert [read_chain(call.result()) for call in calls] == [b"first", b"second"]

    def test_a_call_times_out_and_its_late_answer_reaches_nobody(self, forms: MessengerForms) -> None:
        answer: Promise[IOBuf] = Promise()
        forms.far.echo.answer = lambda data: answer.future if data == b"slow" else forms.far.message(b"quick")
        begun = forms.now()
        call = forms.near.call(forms.far_id, b"slow", 100 * MILLISECOND)
        forms.run(lambda: forms.far.echo.received == [b"slow"])
        forms.run(call.done)
        assert isinstance(call.error(), TimedOutError)
        assert forms.now() - begun >= 100 * MILLISECOND
        answer.set_value(forms.far.message(b"late"))
        forms.settle()
        other = forms.near.call(forms.far_id, b"?")
        forms.run(other.done)
        assert read_chain(other.result()) == b"quick"

    def test_a_call_to_a_node_that_does_not_listen_times_out(self, absent: MessengerForms) -> None:
        call = absent.near.call(absent.far_id, b"?", 50 * MILLISECOND)
        absent.run(call.done)
        assert isinstance(call.error(), TimedOutError)

    def test_an_exception_crosses_as_text_and_no_more(
        self, forms: MessengerForms, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(data: bytes) -> IOBuf:
            raise ValueError("x" * 5000)

        forms.far.echo.answer = fail
        call = forms.near.call(forms.far_id, b"?")
        forms.run(call.done)
        error = call.error()
        assert isinstance(error, RemoteCallError)
        assert "ValueError: xxx" in str(error)
        assert "Traceback" not in str(error)
        assert len(str(error)) < 600
        assert f"Ebb {EBB}" in caplog.text

    def test_a_future_that_fails_fails_the_call(self, forms: MessengerForms) -> None:
        forms.far.echo.answer = lambda data: failed(KeyError("nothing there"))
        call = forms.near.call(forms.far_id, b"?")
        forms.run(call.done)
        assert isinstance(call.error(), RemoteCallError)
        assert "KeyError: 'nothing there'" in str(call.error())

    # Ebbs

    def test_no_such_ebb_is_told_to_a_caller_and_harms_nobody(self, forms: MessengerForms) -> None:
        forms.near.send(forms.far_id, b"nobody", 99999)
        call = forms.near.call(forms.far_id, b"nobody", ebb_id=99999)
        forms.run(call.done)
        assert isinstance(call.error(), RemoteCallError)
        assert "99999" in str(call.error())
        forms.near.send(forms.far_id, b"somebody")
        forms.run(lambda: forms.far.echo.received == [b"somebody"])

    def test_arrival_makes_the_representative(self, forms: MessengerForms) -> None:
        made: list[Echo] = []

        def fault(core: Core, ebb_id: int) -> Echo:
            made.append(Echo())
            return made[-1]

        forms.far.core.register(80000, fault)
        for data in (b"first", b"second"):
            forms.near.send(forms.far_id, data, 80000)
        forms.run(lambda: len(made) == 1 and made[0].received == [b"first", b"second"])
        assert forms.far.core.representative(80000) is made[0]

    def test_the_own_node_is_reached_by_an_event_of_its_own(self, forms: MessengerForms) -> None:
        forms.near.send(forms.near_id, b"self")
        call = forms.near.call(forms.near_id, b"me?")
        assert forms.near.echo.received == []
        forms.run(call.done)
        assert forms.near.echo.received == [b"self", b"me?"]
        assert forms.near.echo.senders == [forms.near_id] * 2
        assert read_chain(call.result()) == b"me?"

    # Nodes that are not there, and too much for one that is

    def test_a_node_that_is_lost_fails_what_waits_and_what_comes_later(self, absent: MessengerForms) -> None:
        call = absent.near.call(absent.far_id, b"?")
        absent.settle()
        absent.near.messenger.node_lost(absent.far_id.number, "its process died")
        with pytest.raises(NodeLostError, match="its process died"):
            absent.near.send(absent.far_id, b"more")
        later = absent.near.call(absent.far_id, b"more")
        room = absent.near.messenger.when_sendable(absent.far_id)
        absent.run(lambda: call.done() and later.done() and room.done())
        for future in (call, later, room):
            assert isinstance(future.error(), NodeLostError)
            assert "its process died" in str(future.error())

    def test_a_node_that_is_lost_fails_who_waits_for_room(self, absent: MessengerForms) -> None:
        fill(absent)
        room = absent.near.messenger.when_sendable(absent.far_id)
        absent.settle()
        assert not room.done()
        absent.near.messenger.node_lost(absent.far_id.number, "its process died")
        absent.run(room.done)
        assert isinstance(room.error(), NodeLostError)

    def test_there_is_room_for_a_node_that_nothing_waits_for(self, forms: MessengerForms) -> None:
        room = forms.near.messenger.when_sendable(forms.far_id)
        assert room.done()
        assert room.error() is None

    def test_what_waits_is_bounded_room_is_told_and_nothing_is_lost(self, absent: MessengerForms) -> None:
        sent = fill(absent)
        call = absent.near.call(absent.far_id, bytes(100_000))
        absent.run(call.done)
        assert isinstance(call.error(), BackPressureError)
        room = absent.near.messenger.when_sendable(absent.far_id)
        absent.settle()
        assert not room.done()
        absent.begin()
        absent.run(room.done)
        assert room.error() is None
        absent.near.send(absent.far_id, b"the last")
        absent.run(lambda: len(absent.far.echo.received) == len(sent) + 1)
        assert absent.far.echo.received == [*sent, b"the last"]
