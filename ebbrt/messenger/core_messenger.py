"""The Messenger on the other cores of a node: core 0 has the connections, the rest ask it over the core links.

``CoreMessenger`` is the representative on cores above 0. Its messages go to core 0 as views of the same node memory,
in order; ``CoreMessengerServer`` there gives them to the ``TcpMessenger`` and says how it went. What comes from other
nodes is delivered on core 0.

A send that finds core 0's queue for the node full waits on core 0. Until core 0 has passed it on, it counts against a
bound of the asking core, which raises BackPressureError as the Messenger itself does. A call that finds the queue
full fails.
"""

import logging
from collections import deque
from collections.abc import Callable

import msgpack

from ebbrt.cores import CoreLinks, CoreMessageHandler
from ebbrt.future import Future, Promise, TimedOutError, failed
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import (
    LARGEST_MESSAGE,
    BackPressureError,
    MessageTooLargeError,
    Messenger,
    MessengerError,
    NodeId,
    NodeLostError,
    RemoteCallError,
    to_message,
)
from ebbrt.messenger.protocol import PIECE_COST, QUEUE_LIMIT

logger = logging.getLogger(__name__)

KIND = 2  # of our messages on the core links

# What a core asks core 0
SEND, CALL, NODE_LOST = range(1, 4)
# What core 0 answers
PASSED_ON, LOST, ANSWERED, FAILED = range(11, 15)

_ERRORS: dict[str, Callable[[str], Exception]] = {
    error.__name__: error for error in (TimedOutError, BackPressureError, NodeLostError, RemoteCallError)
}
LONGEST_TEXT = 512


class CoreMessenger(Messenger, CoreMessageHandler):
    """The Messenger of a core above 0; ``local`` is the node's id."""

    def __init__(self, links: CoreLinks, local: NodeId, allocator: MemoryAllocator) -> None:
        self._links = links
        self._own = local
        self._allocator = allocator
        self._outstanding: dict[int, int] = {}  # charged bytes that core 0 has not passed on, by node number
        self._room: dict[int, list[Promise[None]]] = {}
        self._lost: dict[int, str] = {}
        self._calls: dict[int, Promise[IOBuf]] = {}
        self._next_call = 1
        links.register(KIND, self)

    def local(self) -> NodeId:
        """This node."""
        return self._own

    def send(self, node: NodeId, ebb_id: int, data: IOBuf) -> None:
        """See Messenger."""
        cost = self._check(node, data)
        self._outstanding[node.number] = self._outstanding.get(node.number, 0) + cost
        self._links.send(0, KIND, msgpack.packb([SEND, *node, ebb_id, cost]), data)

    def call(self, node: NodeId, ebb_id: int, data: IOBuf, timeout: int) -> Future[IOBuf]:
        """See Messenger. Core 0 keeps the time."""
        try:
            self._check(node, data)
        except MessengerError as error:
            return failed(error)
        promise: Promise[IOBuf] = Promise()
        self._calls[self._next_call] = promise
        self._links.send(0, KIND, msgpack.packb([CALL, *node, ebb_id, self._next_call, timeout]), data)
        self._next_call += 1
        return promise.future

    def when_sendable(self, node: NodeId) -> Future[None]:
        """See Messenger."""
        if node.number in self._lost:
            return failed(NodeLostError(self._lost[node.number]))
        promise: Promise[None] = Promise()
        if self._outstanding.get(node.number, 0) <= QUEUE_LIMIT // 2:
            promise.set_value(None)
        else:
            self._room.setdefault(node.number, []).append(promise)
        return promise.future

    def node_lost(self, number: int, reason: str) -> None:
        """See Messenger."""
        self._links.send(0, KIND, msgpack.packb([NODE_LOST, number, reason[:LONGEST_TEXT]]))
        self._is_lost(number, f"node {number} is lost: {reason}")

    def receive(self, core: int, data: bytes, chain: IOBuf | None) -> None:
        """What core 0 answers."""
        what, number, *rest = msgpack.unpackb(data)
        if what == PASSED_ON:
            self._passed_on(number, rest[0])
        elif what == LOST:
            self._is_lost(number, rest[1])
            self._passed_on(number, rest[0])
        elif what == ANSWERED:
            self._calls.pop(number).set_value(chain if chain is not None else to_message(self._allocator, b""))
        else:
            self._calls.pop(number).set_error(_ERRORS.get(rest[0], RemoteCallError)(rest[1]))

    def _check(self, node: NodeId, data: IOBuf) -> int:
        """What a message is charged. Raises what ``send`` does."""
        length = cost = 0
        piece: IOBuf | None = data
        while piece is not None:
            length += piece.length
            cost += piece.length + PIECE_COST
            piece = piece.next
        if node.number in self._lost:
            raise NodeLostError(self._lost[node.number])
        if length > LARGEST_MESSAGE:
            raise MessageTooLargeError(f"{length} bytes are more than a message may have ({LARGEST_MESSAGE})")
        cost = min(cost, QUEUE_LIMIT // 2)
        outstanding = self._outstanding.get(node.number, 0)
        if outstanding + cost > QUEUE_LIMIT:
            raise BackPressureError(f"{outstanding} bytes wait for node {node}: wait for when_sendable()")
        return cost

    def _is_lost(self, number: int, problem: str) -> None:
        self._lost[number] = problem
        for promise in self._room.pop(number, []):
            promise.set_error(NodeLostError(problem))

    def _passed_on(self, number: int, cost: int) -> None:
        self._outstanding[number] = left = self._outstanding[number] - cost
        if left == 0:
            del self._outstanding[number]
        if left <= QUEUE_LIMIT // 2:
            for promise in self._room.pop(number, []):
                promise.set_value(None)


class CoreMessengerServer(CoreMessageHandler):
    """On core 0: does with ``messenger`` what the other cores ask."""

    def __init__(self, links: CoreLinks, messenger: Messenger, allocator: MemoryAllocator) -> None:
        self._links = links
        self._messenger = messenger
        self._allocator = allocator
        self._waiting: dict[int, deque[tuple[int, NodeId, int, int, IOBuf]]] = {}  # by node number
        links.register(KIND, self)

    def receive(self, core: int, data: bytes, chain: IOBuf | None) -> None:
        """What another core asks."""
        what, *rest = msgpack.unpackb(data)
        if what == NODE_LOST:
            self._messenger.node_lost(*rest)
            return
        number, address, port, ebb_id, *rest = rest
        node = NodeId(number, address, port)
        message = chain if chain is not None else to_message(self._allocator, b"")
        if what == CALL:
            self._call(core, node, ebb_id, message, *rest)
            return
        waiting = self._waiting.get(number)
        if waiting is not None:
            waiting.append((core, node, ebb_id, rest[0], message))
        elif not self._send(core, node, ebb_id, rest[0], message):
            self._waiting[number] = deque([(core, node, ebb_id, rest[0], message)])
            self._messenger.when_sendable(node).when_done(lambda done: self._go_on(node, done))

    def _send(self, core: int, node: NodeId, ebb_id: int, cost: int, message: IOBuf) -> bool:
        """Pass a message on and say so; False when there is no room."""
        try:
            self._messenger.send(node, ebb_id, message)
        except BackPressureError:
            return False
        except NodeLostError as error:
            self._answer(core, [LOST, node.number, cost, str(error)[:LONGEST_TEXT]])
            return True
        except MemoryError:
            logger.exception("a message of core %d to node %s is dropped", core, node)
        self._answer(core, [PASSED_ON, node.number, cost])
        return True

    def _go_on(self, node: NodeId, done: Future[None]) -> None:
        """There is room again, or the node is lost and every send says so."""
        done.error()
        waiting = self._waiting[node.number]
        while waiting:
            if not self._send(*waiting[0]):
                self._messenger.when_sendable(node).when_done(lambda again: self._go_on(node, again))
                return
            waiting.popleft()
        del self._waiting[node.number]

    def _call(self, core: int, node: NodeId, ebb_id: int, message: IOBuf, call_id: int, timeout: int) -> None:
        if node.number in self._waiting:
            answer: Future[IOBuf] = failed(BackPressureError(f"too much waits for node {node}: wait, and call again"))
        else:
            answer = self._messenger.call(node, ebb_id, message, timeout)
        answer.when_done(lambda done: self._answer_call(core, call_id, done))

    def _answer_call(self, core: int, call_id: int, done: Future[IOBuf]) -> None:
        error = done.error()
        if error is None:
            self._answer(core, [ANSWERED, call_id], done.result())
        else:
            self._answer(core, [FAILED, call_id, type(error).__name__, str(error)[:LONGEST_TEXT]])

    def _answer(self, core: int, answer: list[object], chain: IOBuf | None = None) -> None:
        self._links.send(core, KIND, msgpack.packb(answer), chain)
