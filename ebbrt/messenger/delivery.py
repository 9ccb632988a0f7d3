"""Delivering messages to the Ebbs they are for, and calls' answers to those who called.

Deliveries run in events of their own, spawned where messages arrive: when a handler blocks, the connection and the
messages behind it go on. An Ebb gets its messages in their order. Where it has no representative yet, the fault
handler builds one; if that blocks, only the messages for this Ebb wait.
"""

import logging
from collections import deque

from ebbrt.ebb import Core
from ebbrt.ebb_ids import EbbError
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import MESSAGE_HEADROOM, MessengerError, RemoteCallError
from ebbrt.messenger.peer import Counters, Peer
from ebbrt.messenger.protocol import CALL, FAILURE, HEADERS_BELOW, LONGEST_FAILURE, MESSAGE, REPLY
from ebbrt.network import TcpConnection

logger = logging.getLogger(__name__)


class Arrival:
    """A message that has come. ``incarnation``: of the peer, then; ``cost``: what it was charged."""

    def __init__(self, peer: Peer, kind: int, ebb_id: int, call_id: int, data: IOBuf, cost: int) -> None:
        self.peer = peer
        self.node = peer.node
        self.incarnation = peer.incarnation
        self.kind = kind
        self.ebb_id = ebb_id
        self.call_id = call_id
        self.data: IOBuf | None = data
        self.cost = cost


class Deliveries:
    """The messages that have come and are not delivered, and who gets them on this core."""

    def __init__(self, events: EventManager, core: Core, allocator: MemoryAllocator, counters: Counters) -> None:
        self._events = events
        self._core = core
        self._allocator = allocator
        self._counters = counters
        self._arrivals: deque[Arrival] = deque()
        self._faulting: dict[int, list[Arrival]] = {}  # by Ebb whose representative is being built

    def add(self, arrival: Arrival) -> None:
        """Let ``drain`` deliver it."""
        self._arrivals.append(arrival)

    def drain(self) -> None:
        """Deliver what has come; with a further event whenever a handler blocks."""
        while self._arrivals:
            self._events.spawn(self._run)

    def say(self, connection: TcpConnection, data: bytes) -> bool:
        """Send bytes of a handshake; False without memory."""
        buffer = allocate(self._allocator, len(data), HEADERS_BELOW)
        if buffer is None:
            return False
        buffer.write(0, data)
        connection.send(buffer)
        return True

    def _run(self) -> None:
        while self._arrivals:
            self.deliver(self._arrivals.popleft())

    def deliver(self, arrival: Arrival) -> None:
        """Deliver one message; in an event, since it may block."""
        kind = arrival.kind
        if kind in (REPLY, FAILURE):
            self._answer(arrival)
            arrival.peer.finished(arrival.cost)
            return
        ebb_id = arrival.ebb_id
        handler = self._core.representative(ebb_id)
        if handler is None:
            self._fault(arrival)
            return
        data = arrival.data
        assert data is not None
        arrival.data = None  # the handler's from now on
        try:
            if kind == MESSAGE:
                handler.receive_message(arrival.node, data)
            else:
                self._reply(arrival, handler.receive_call(arrival.node, data))
        except Exception as error:
            self._counters.count("exception in a handler")
            logger.exception("a message of node %s to Ebb %d failed in %r", arrival.node, ebb_id, handler)
            self._refuse(arrival, describe(error))
        finally:
            arrival.peer.finished(arrival.cost)

    def _fault(self, arrival: Arrival) -> None:
        """Have the Ebb's representative built; then deliver to it what has come meanwhile."""
        ebb_id = arrival.ebb_id
        waiting = self._faulting.get(ebb_id)
        if waiting is not None:
            waiting.append(arrival)
            return
        waiting = self._faulting[ebb_id] = [arrival]
        problem = ""
        try:
            self._core.resolve(ebb_id)
        except EbbError as error:
            self._counters.count("no such Ebb")
            problem = describe(error)
        except Exception as error:
            self._counters.count("exception in a fault handler")
            logger.exception("the representative of Ebb %d, for a message of node %s", ebb_id, arrival.node)
            problem = describe(error)
        del self._faulting[ebb_id]
        if problem:
            for one in waiting:
                self._refuse(one, problem)
                one.peer.finished(one.cost)
            return
        self._arrivals.extendleft(reversed(waiting))
        self.drain()  # in events of their own: this one has perhaps blocked, and nobody drains behind it

    def _answer(self, arrival: Arrival) -> None:
        """Give a call its answer."""
        call = arrival.peer.answered(arrival.call_id)
        if call is None:
            self._counters.count("answer to no call")  # it has timed out
            return
        data = arrival.data
        assert data is not None
        if arrival.kind == REPLY:
            call.promise.set_value(data)
            return
        text = data.copy_out()[:LONGEST_FAILURE].decode("utf-8", "replace")
        call.promise.set_error(RemoteCallError(f"node {arrival.node}: {text}"))

    def _reply(self, arrival: Arrival, answer: "IOBuf | Future[IOBuf]") -> None:
        if isinstance(answer, Future):
            answer.when_done(lambda done: self._reply_later(arrival, done))
        else:
            self._send(arrival, REPLY, answer)

    def _reply_later(self, arrival: Arrival, answer: Future[IOBuf]) -> None:
        error = answer.error()
        if error is None:
            self._send(arrival, REPLY, answer.result())
        else:
            self._refuse(arrival, describe(error))

    def _refuse(self, arrival: Arrival, text: str) -> None:
        """Answer a call with an exception's text."""
        if arrival.kind != CALL:
            return
        data = text.encode("utf-8", "replace")[:LONGEST_FAILURE]
        chain = allocate(self._allocator, len(data), MESSAGE_HEADROOM)
        if chain is None:
            self._counters.count("no memory")
            return
        chain.write(0, data)
        self._send(arrival, FAILURE, chain)

    def _send(self, arrival: Arrival, kind: int, data: IOBuf) -> None:
        """Send an answer, unless who called is gone. What cannot be sent fails there by its time-out."""
        peer = arrival.peer
        if peer.incarnation != arrival.incarnation:
            self._counters.count("answer to a lost node")
            return
        try:
            peer.send(kind, 0, arrival.call_id, data)
        except (MessengerError, MemoryError) as error:
            self._counters.count("answer not sent")
            logger.error("an answer of Ebb %d to node %s: %s", arrival.ebb_id, arrival.node, error)
            if kind == REPLY:
                self._refuse(arrival, describe(error))


class LocalPeer(Peer):
    """This node as a peer of itself: every message to it is an event of its own."""

    def use(self, events: EventManager, deliveries: Deliveries) -> None:
        """Deliver there."""
        self._events = events
        self._deliveries = deliveries

    def enqueue(self, kind: int, ebb_id: int, call_id: int, data: IOBuf, length: int, cost: int) -> None:
        """Have it delivered by the loop."""
        arrival = Arrival(self, kind, ebb_id, call_id, data, cost)
        self.queued += cost
        deliveries = self._deliveries
        self._events.spawn(lambda: deliveries.deliver(arrival), True)

    def finished(self, cost: int) -> None:
        """It has been delivered."""
        self.leave(cost)


def describe(error: BaseException) -> str:
    """What is said of an exception to another node: its type and text, nothing of where it happened."""
    return f"{type(error).__name__}: {error}"
