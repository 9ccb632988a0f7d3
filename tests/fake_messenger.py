"""Several nodes in one process, and the Messenger between them, whose links can be cut, delayed and lost.

All nodes share one real event loop. With a ``ManualClock`` time is virtual: it passes, a millisecond at a time, only
when there is nothing else to do. A message that meets a cut link waits for its return, as with the real Messenger.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from ebbrt.clock import Clock, ManualClock
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import IdleHandler
from ebbrt.future import Future, Promise, TimedOutError, failed, ready
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.messages import (
    LARGEST_MESSAGE,
    MESSAGE_HEADROOM,
    BackPressureError,
    MessageHandler,
    MessageTooLargeError,
    Messenger,
    NodeId,
    NodeLostError,
    RemoteCallError,
    to_message,
)
from tests.fakes import read_chain

MILLISECOND = 1_000_000


class TimePasses(IdleHandler):
    """Moves a clock that stands still."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def poll(self) -> None:
        self.clock.advance(MILLISECOND)


class FakeNetwork:
    """The nodes, their event loop and the state of the links. Without a clock of its own, time is virtual."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.events = EventManager(self.clock)
        if isinstance(self.clock, ManualClock):
            self.events.add_idle_handler(TimePasses(self.clock))
        self.allocator = MemoryAllocator(NodeMemory(64 << 20))
        self.nodes: dict[int, FakeMessenger] = {}
        self.virtual = isinstance(self.clock, ManualClock)
        self.delay = 0
        self._cut: set[int] = set()
        self._lost: set[int] = set()
        self._waiting: deque[tuple[int, int, Callable[[], object]]] = deque()

    def add(self, number: int) -> "FakeMessenger":
        node = FakeMessenger(self, number)
        self.nodes[number] = node
        return node

    def cut(self, number: int) -> None:
        """Nothing reaches or leaves the node until ``mend``."""
        self._cut.add(number)

    def mend(self, number: int) -> None:
        """What waited arrives now, in order, before what was sent later."""
        self._cut.discard(number)
        waiting, self._waiting = self._waiting, deque()
        for sender, receiver, function in waiting:
            self._arrive(sender, receiver, function)

    def lose(self, number: int) -> None:
        """The node is dead: all others are told."""
        self._lost.add(number)
        for node in self.nodes.values():
            node.node_lost(number, "it died")

    def carry(self, sender: int, receiver: int, function: Callable[[], object]) -> None:
        """Call ``function`` when the message arrives."""
        arrive = partial(self._arrive, sender, receiver, function)
        if self.delay:
            self.events.set_timer(self.delay, arrive)
        else:
            self.events.spawn(arrive, True)

    def _arrive(self, sender: int, receiver: int, function: Callable[[], object]) -> None:
        if {sender, receiver} & self._cut:
            self._waiting.append((sender, receiver, function))
        elif not {sender, receiver} & self._lost:
            function()

    def wait(self, future: Future[Any], seconds: float = 30) -> Any:
        """The future's result, with the loop turning until it is there."""
        self.until(future.done, seconds)
        return future.result()

    def until(self, condition: Callable[[], object], seconds: float = 30) -> None:
        """Turn the loop until the condition holds; fails when it does not come true in time."""
        late: list[bool] = []
        timer = self.events.set_timer(int(seconds * 1e9), partial(late.append, True))
        while not condition():
            assert not late, f"not within {seconds} s: {condition}"
            self.events.turn()
        timer.stop()

    def pass_time(self, seconds: float) -> None:
        """Turn the loop for that long."""
        over: list[bool] = []
        self.events.set_timer(int(seconds * 1e9), partial(over.append, True))
        while not over:
            self.events.turn()

    def close(self) -> None:
        self.events.close()


class FakeMessenger(Messenger):
    """One node's."""

    def __init__(self, network: FakeNetwork, number: int) -> None:
        self.network = network
        self.messenger = self
        self.events = network.events
        self.allocator = network.allocator
        self.number = number
        self.handlers: dict[int, MessageHandler] = {}
        self.full = False
        self.calls: dict[int, tuple[int, Promise[IOBuf]]] = {}
        self.lost: set[int] = set()
        self._serial = 0

    def install(self, ebb_id: int, handler: MessageHandler) -> None:
        """Let it take the messages to that Ebb."""
        self.handlers[ebb_id] = handler

    def local(self) -> NodeId:
        return NodeId(self.number, f"198.18.0.{self.number + 1}", 9100)

    def send(self, node: NodeId, ebb_id: int, data: IOBuf) -> None:
        sent = self._check(node, data)
        self.network.carry(self.number, node.number, partial(self._deliver, node.number, ebb_id, sent))

    def call(self, node: NodeId, ebb_id: int, data: IOBuf, timeout: int) -> Future[IOBuf]:
        try:
            sent = self._check(node, data)
        except OSError as error:
            return failed(error)
        self._serial += 1
        promise: Promise[IOBuf] = Promise()
        self.calls[self._serial] = (node.number, promise)
        self.network.events.set_timer(timeout, partial(self._end, self._serial, TimedOutError("no answer in time")))
        self.network.carry(
            self.number, node.number, partial(self._deliver_call, node.number, ebb_id, sent, self._serial)
        )
        return promise.future

    def when_sendable(self, node: NodeId) -> Future[None]:
        return ready(None)

    def node_lost(self, number: int, reason: str) -> None:
        self.lost.add(number)
        for serial, (receiver, _) in list(self.calls.items()):
            if receiver == number:
                self._end(serial, NodeLostError(f"node {number} was lost: {reason}"))

    def _check(self, node: NodeId, data: IOBuf) -> bytes:
        assert data.headroom() >= MESSAGE_HEADROOM
        if node.number in self.lost:
            raise NodeLostError(f"node {node.number} was lost")
        if self.full:
            raise BackPressureError(f"too much is queued for node {node.number}")
        sent = read_chain(data)
        if len(sent) > LARGEST_MESSAGE:
            raise MessageTooLargeError(f"{len(sent)} bytes")
        return sent

    def _deliver(self, number: int, ebb_id: int, sent: bytes) -> None:
        network = self.network
        network.nodes[number].handlers[ebb_id].receive_message(self.local(), to_message(network.allocator, sent))

    def _deliver_call(self, number: int, ebb_id: int, sent: bytes, serial: int) -> None:
        network = self.network
        try:
            handler = network.nodes[number].handlers[ebb_id]
            answer = handler.receive_call(self.local(), to_message(network.allocator, sent))
        except Exception as error:
            answer = failed(error)
        future = answer if isinstance(answer, Future) else ready(answer)
        future.when_done(partial(self._reply, number, serial))

    def _reply(self, number: int, serial: int, done: Future[IOBuf]) -> None:
        error = done.error()
        if error is not None:
            end = partial(self._end, serial, RemoteCallError(repr(error)))
        else:
            end = partial(self._end, serial, None, read_chain(done.result()))
        self.network.carry(number, self.number, end)

    def _end(self, serial: int, error: BaseException | None, data: bytes = b"") -> None:
        _, promise = self.calls.pop(serial, (0, None))
        if promise is None:
            return
        if error is not None:
            promise.set_error(error)
        else:
            promise.set_value(to_message(self.network.allocator, data))
