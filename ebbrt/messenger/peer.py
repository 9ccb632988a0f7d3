"""What a Messenger keeps for each other node: what waits for it, what was taken from it, and the calls it has not
answered. It outlives the connections to that node; ``messenger.link`` is one of those.
"""

from collections import deque
from typing import Any

from ebbrt.clock import Clock
from ebbrt.constants import FOREVER
from ebbrt.events.event_manager import EventManager
from ebbrt.events.timers import Timer
from ebbrt.future import Future, Promise, TimedOutError, failed
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import BackPressureError, MessageTooLargeError, NodeId, NodeLostError
from ebbrt.messenger.frames import put_acknowledgment, put_header
from ebbrt.messenger.protocol import (
    ACKNOWLEDGE,
    ACKNOWLEDGE_BYTES,
    ACKNOWLEDGE_DELAY,
    CALL,
    CALL_SLACK,
    FRAME_HEADER,
    LARGEST_DATA,
    PIECE_COST,
    PING,
    PING_IDLE,
    PING_TIME,
    PING_WAITING,
    QUEUE_LIMIT,
    START,
    TAKEN_LIMIT,
)
from ebbrt.network import TcpConnection


class Counters:
    """What has happened in one Messenger; ``problems`` counts what was refused or dropped, by reason."""

    def __init__(self) -> None:
        self.messages_sent = 0
        self.messages_received = 0
        self.resent = 0
        self.duplicates = 0
        self.acknowledgments_sent = 0  # with nothing to ride on
        self.given_up = 0  # messages that may not have been delivered
        self.problems: dict[str, int] = {}

    def count(self, reason: str) -> None:
        """Count one problem."""
        self.problems[reason] = self.problems.get(reason, 0) + 1


class Owner:
    """What a peer needs of its Messenger."""

    def arm(self, deadline: int) -> None:
        """Let ``sweep`` of every peer be called at ``deadline``, or before."""
        raise NotImplementedError

    def want_connection(self, peer: "Peer") -> None:
        """Something waits, and there is no connection."""
        raise NotImplementedError


class Queued:
    """A message that was not acknowledged yet."""

    def __init__(self, sequence: int, cost: int, frame: IOBuf) -> None:
        self.sequence = sequence
        self.cost = cost
        self.frame = frame
        self.was_sent = False


class Call:
    """A call that was not answered yet."""

    def __init__(self, promise: Promise[IOBuf], deadline: int) -> None:
        self.promise = promise
        self.deadline = deadline


class Peer:
    """One other node, in its current incarnation."""

    def __init__(
        self, node: NodeId, allocator: MemoryAllocator, clock: Clock, counters: Counters, owner: Owner
    ) -> None:
        self.node = node
        self.allocator = allocator
        self.clock = clock
        self.counters = counters
        self.owner = owner
        self.incarnation = 0  # of the peer; 0 as long as nobody has proved to be it
        self.connection: TcpConnection | None = None  # one that carries frames
        self.queued = 0  # charged bytes in the two queues
        self.pending: dict[int, Call] = {}
        self.taken = 0  # charged bytes of messages whose handlers have not returned
        self.pinged = 0  # when, if nothing was heard since; else 0
        self.heard = 0  # when something came last
        self._expecting = 0  # since when something is expected
        self._sent: deque[Queued] = deque()  # not acknowledged
        self._waiting: deque[Queued] = deque()  # not given to this connection
        self._next_sequence = 1
        self._received = 0  # the highest sequence number that has come
        self._acknowledged = 0  # what the peer was told last
        self._unacknowledged = 0  # charged bytes received since then
        self._acknowledge_at = FOREVER
        self._next_call = 1
        self._call_deadline = FOREVER  # no call times out before it
        self._room: list[Promise[None]] = []

    # Sending

    def send(self, kind: int, ebb_id: int, call_id: int, data: IOBuf) -> None:
        """Send a message now or later. Raises MessageTooLargeError, BackPressureError, MemoryError."""
        length = 0
        cost = FRAME_HEADER
        piece: IOBuf | None = data
        while piece is not None:
            length += piece.length
            cost += piece.length + PIECE_COST
            piece = piece.next
        if length > LARGEST_DATA:
            raise MessageTooLargeError(f"{length} bytes are more than a message may have ({LARGEST_DATA})")
        cost = min(cost, QUEUE_LIMIT // 2)  # so that every message fits once when_sendable has said so
        # Replies may use as much again: their senders have nobody to tell, and calls bound them.
        if self.queued + cost > (QUEUE_LIMIT if kind <= CALL else 2 * QUEUE_LIMIT):
            raise BackPressureError(f"{self.queued} bytes wait for node {self.node}: wait for when_sendable()")
        self.enqueue(kind, ebb_id, call_id, data, length, cost)

    def enqueue(self, kind: int, ebb_id: int, call_id: int, data: IOBuf, length: int, cost: int) -> None:
        """Queue a message that is within the limits; give it to the connection if that takes it."""
        frame = put_header(self.allocator, kind, ebb_id, self._next_sequence, call_id, data, length)
        if frame is None:
            raise MemoryError(f"no node memory for a message to node {self.node}")
        queued = Queued(self._next_sequence, cost, frame)
        self._next_sequence += 1
        self.queued += cost
        if self.connection is None:
            self._waiting.append(queued)
            self.owner.want_connection(self)
            return
        if not self._sent and not self.pending:
            self._expect()
        if self._waiting or self.connection.send_window() == 0:
            self._waiting.append(queued)
        else:
            self._transmit(queued)

    def call(self, ebb_id: int, data: IOBuf, timeout: int) -> Future[IOBuf]:
        """Send a call; a future of the answer. Fails as ``send`` raises, and with TimedOutError."""
        call_id = self._next_call
        self._next_call += 1
        deadline = self.clock.now() + timeout
        try:
            self.send(CALL, ebb_id, call_id, data)
        except (OSError, MemoryError) as error:
            return failed(error)
        promise: Promise[IOBuf] = Promise()
        self.pending[call_id] = Call(promise, deadline)
        if deadline < self._call_deadline:
            self._call_deadline = deadline
            self.owner.arm(deadline)
        return promise.future

    def when_sendable(self) -> Future[None]:
        """Ready once half of what may wait is free."""
        promise: Promise[None] = Promise()
        if self.queued <= QUEUE_LIMIT // 2:
            promise.set_value(None)
        else:
            self._room.append(promise)
        return promise.future

    def flush(self) -> None:
        """Give the connection what waits, as far as its window goes."""
        connection = self.connection
        while self._waiting and connection is not None and connection.send_window() > 0:
            self._transmit(self._waiting.popleft())
            connection = self.connection  # sending may have ended it

    def _transmit(self, queued: Queued) -> None:
        frame = queued.frame
        if queued.was_sent:
            # As it was, its old acknowledgment included: the earlier connection may still be reading it.
            self.counters.resent += 1
            frame = frame.clone_chain()
        else:
            queued.was_sent = True
            put_acknowledgment(frame, self._acknowledgment())
            queued.frame = frame.clone_chain()
            self.counters.messages_sent += 1
        self._sent.append(queued)
        connection = self.connection
        assert connection is not None
        connection.send(frame)  # if it cannot, ``closed`` follows, and everything is sent again

    def send_control(self, kind: int) -> None:
        """Send a frame that is not a message. Without memory for it, it is left out, but for START."""
        sequence = 0
        if kind == START:
            sequence = self._next_sequence
            unacknowledged = self._sent or self._waiting
            if unacknowledged:
                first: Queued = unacknowledged[0]
                sequence = first.sequence
        frame = put_header(self.allocator, kind, 0, sequence, 0, None, 0)
        connection = self.connection
        assert connection is not None
        if frame is None:
            self.counters.count("no memory")
            connection.abort()
            return
        put_acknowledgment(frame, self._acknowledgment())
        connection.send(frame)

    def _acknowledgment(self) -> int:
        """What a frame that is now sent acknowledges."""
        if self.taken <= TAKEN_LIMIT:
            self._acknowledged = self._received
            self._unacknowledged = 0
            self._acknowledge_at = FOREVER
        return self._acknowledged

    def _expect(self) -> None:
        """Something is expected from the peer from now on."""
        self._expecting = self.clock.now()
        self.owner.arm(self._expecting + PING_WAITING)

    # Receiving

    def start(self, sequence: int) -> None:
        """The peer's START: it has given up what came before ``sequence`` and has not been received."""
        if sequence > self._received + 1:
            self._received = sequence - 1

    def take(self, sequence: int, cost: int) -> str:
        """A message came: "new" when it is to be delivered, "duplicate", or "sequence gap"."""
        if sequence <= self._received:
            self.counters.duplicates += 1
            self._due(cost)
            return "duplicate"
        if sequence != self._received + 1:
            return "sequence gap"
        self._received = sequence
        self.counters.messages_received += 1
        self.taken += cost
        self._due(cost)
        return "new"

    def _due(self, cost: int) -> None:
        """An acknowledgment is due."""
        self._unacknowledged += cost
        if self._acknowledge_at == FOREVER:
            self._acknowledge_at = self.heard + ACKNOWLEDGE_DELAY
            self.owner.arm(self._acknowledge_at)

    def finished(self, cost: int) -> None:
        """The handler of a message has returned."""
        was_held_back = self.taken > TAKEN_LIMIT
        self.taken -= cost
        if was_held_back and self.taken <= TAKEN_LIMIT and self.connection is not None:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Send an acknowledgment with nothing to ride on."""
        self.counters.acknowledgments_sent += 1
        self._acknowledge_at = FOREVER
        self.send_control(ACKNOWLEDGE)

    def has_acknowledged(self, sequence: int) -> bool:
        """The peer has taken everything up to ``sequence``; False when that was never sent."""
        if sequence >= self._next_sequence:
            return False
        for queue in (self._sent, self._waiting):
            while queue:
                first = queue[0]
                if first.sequence > sequence:
                    return True
                queue.popleft()
                self.leave(first.cost)
        return True

    def leave(self, cost: int) -> None:
        """So many charged bytes wait no more."""
        self.queued -= cost
        if self._room and self.queued <= QUEUE_LIMIT // 2:
            self._tell_room(None)

    def answered(self, call_id: int) -> Call | None:
        """The call that is answered, no longer pending; None when it has timed out."""
        return self.pending.pop(call_id, None)

    def settle(self) -> None:
        """Everything that came at once has been looked at."""
        if self._unacknowledged > ACKNOWLEDGE_BYTES and self.taken <= TAKEN_LIMIT and self.connection is not None:
            self.acknowledge()

    # Connections

    def connected(self, connection: TcpConnection) -> None:
        """Use ``connection`` from now on: first say where we are, then send what waits."""
        self.disconnected()
        self.connection = connection
        self.heard = self.clock.now()
        self.send_control(START)
        if self._waiting or self.pending:
            self._expect()
        self.flush()
        self.owner.arm(self.deadline())

    def disconnected(self) -> None:
        """The connection is gone: what it has not delivered for certain waits for the next one."""
        self.connection = None
        self.pinged = 0
        self._acknowledge_at = FOREVER
        self._sent.extend(self._waiting)
        self._waiting = self._sent
        self._sent = deque()

    def needs_connection(self) -> bool:
        """Whether something waits for the peer, or is expected from it."""
        return bool(self._waiting or self._sent or self.pending)

    def give_up(self, error: NodeLostError) -> None:
        """Fail everything that waits."""
        given_up = len(self._sent) + len(self._waiting)
        self.counters.given_up += given_up
        self._sent.clear()
        self._waiting.clear()
        self.queued = 0
        pending = self.pending
        self.pending = {}
        self._call_deadline = FOREVER
        self._tell_room(error)
        for call in pending.values():
            call.promise.set_error(error)

    def begin_life(self, incarnation: int) -> None:
        """The peer is in another incarnation than before: it knows nothing of what was sent to the last one."""
        self.incarnation = incarnation
        self._received = self._acknowledged = 0

    # Time

    def deadline(self) -> int:
        """When ``sweep`` has something to do."""
        deadline = self._call_deadline
        if self.connection is not None:
            deadline = min(deadline, self._acknowledge_at, self._silence_ends())
        return deadline

    def _silence_ends(self) -> int:
        """When a ping is due; after one, when the connection counts as dead."""
        if self.pinged:
            return self.pinged + PING_TIME
        if self._sent or self.pending:
            return max(self.heard, self._expecting) + PING_WAITING
        return self.heard + PING_IDLE

    def sweep(self, now: int) -> bool:
        """Do what is due; False when the peer has not answered a ping."""
        if self._call_deadline <= now:
            self._expire_calls(now)
        if self.connection is None:
            return True
        if self._acknowledge_at <= now:
            self.acknowledge()
        if self.connection is not None and self._silence_ends() <= now:
            if self.pinged:
                return False
            self.ping(now)
        return True

    def ping(self, now: int) -> None:
        """Ask the peer to say something."""
        if self.pinged == 0:
            self.pinged = now
            self.send_control(PING)

    def _expire_calls(self, now: int) -> None:
        expired = [call_id for call_id, call in self.pending.items() if call.deadline <= now]
        calls: list[Any] = [self.pending.pop(call_id) for call_id in expired]
        self._call_deadline = FOREVER
        if self.pending:
            earliest = min(call.deadline for call in self.pending.values())
            self._call_deadline = max(earliest, now + CALL_SLACK)
        for call in calls:
            call.promise.set_error(TimedOutError(f"node {self.node} did not answer a call in time"))

    def _tell_room(self, error: NodeLostError | None) -> None:
        room = self._room
        self._room = []
        for promise in room:
            if error is None:
                promise.set_value(None)
            else:
                promise.set_error(error)


class Alarm:
    """One timer for everything a Messenger waits for: the earliest deadline asked for."""

    def __init__(self, events: EventManager, clock: Clock, function: Any) -> None:
        self._events = events
        self._clock = clock
        self._function = function
        self._timer: Timer | None = None
        self._armed = FOREVER

    def arm(self, deadline: int) -> None:
        """Call the function at ``deadline`` or before."""
        if deadline >= self._armed:
            return
        self.stop()
        self._armed = deadline
        self._timer = self._events.set_timer(max(0, deadline - self._clock.now()), self._expired)

    def stop(self) -> None:
        """Call it no more."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._armed = FOREVER

    def _expired(self) -> None:
        self._timer = None
        self._armed = FOREVER
        self._function()
