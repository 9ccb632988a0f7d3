"""The links between the cores of a node: rings in node memory, and an eventfd for each core as its interrupt.

``CoreLinksPlan`` lays the rings out and opens the eventfds *before* the cores are forked; each core then makes its own
``CoreLinks`` from it. All cores of a simulation may live in one process just as well. The interface, and what may
cross, is in ``cores``; one pair of rings is a ``CoreChannel``; docs/adr/0006-runtime.md says why it is built this way.

Whatever arrives becomes an event of its own, queued in the order of arrival. Function calls, and the handlers of
messages, may therefore block.

An interrupt is looked at when the core is about to halt, or now and then while it polls a device. So that a busy core
answers others sooner, the links poll the rings too, as an idle handler, from an interrupt on until they have found
nothing for POLLS polls in a row.

A borrowed buffer that is dropped here goes back to its lender with the next message there, or when the event that
drops the RETURN_BATCH-th ends, or within POLLS idle turns: whichever comes first.
"""

import functools
import logging
import os
import pickle
import struct
import types
from collections.abc import Callable, Coroutine
from typing import Any

from ebbrt.borrowed import Returns
from ebbrt.core_channel import CALL, FAILURE, MESSAGE, RESULT, SPAWN, CoreChannel
from ebbrt.core_ring import HEADER, CoreRing
from ebbrt.cores import CoreError, CoreLinks, CoreMessageHandler
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import IdleHandler, InterruptHandler
from ebbrt.future import Future, Promise
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator, NodeMemory

logger = logging.getLogger(__name__)

RING = 64 << 10  # bytes of each ring
RETURN_BATCH = 32
POLLS = 64
LARGEST_DATA = 4096  # of a message to a handler

_number = struct.Struct("=Q")


class CoreLinksPlan:
    """The rings of ``count`` cores in node memory from ``start`` (a multiple of 64) to ``end``, and their eventfds."""

    def __init__(self, memory: NodeMemory, start: int, count: int, ring_size: int = RING) -> None:
        self.memory = memory
        self.count = count
        self._start = start
        self._ring_size = ring_size
        self.end = start + self.size(count, ring_size)
        if count < 1 or start < 0 or self.end > memory.size:
            raise ValueError(
                f"no room for the rings of {count} cores in bytes {start} to {memory.size} of node memory"
            )
        for sender in range(count):
            for receiver in range(count):
                if sender != receiver:
                    self.ring(sender, receiver).reset()
        self.doorbells = [os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC) for _ in range(count)]

    @staticmethod
    def size(count: int, ring_size: int = RING) -> int:
        """Bytes of node memory that the rings of ``count`` cores take."""
        return count * (count - 1) * (HEADER + ring_size)

    def ring(self, sender: int, receiver: int) -> CoreRing:
        """The ring from one core to another."""
        index = sender * (self.count - 1) + receiver - (receiver > sender)
        return CoreRing(self.memory, self._start + index * (HEADER + self._ring_size), self._ring_size)

    def links(self, number: int, events: EventManager, allocator: MemoryAllocator) -> "RingCoreLinks":
        """The links of core ``number``, made in its own process."""
        return RingCoreLinks(self, number, events, allocator)

    def close(self) -> None:
        """Give the eventfds back, in this process."""
        for doorbell in self.doorbells:
            os.close(doorbell)
        self.doorbells = []


class RingCoreLinks(CoreLinks):
    """One core's ``CoreLinks``; made by ``CoreLinksPlan.links``."""

    def __init__(self, plan: CoreLinksPlan, number: int, events: EventManager, allocator: MemoryAllocator) -> None:
        self.number = number
        self.count = plan.count
        self._events = events
        self._doorbell = plan.doorbells[number]
        self._handlers: dict[int, CoreMessageHandler] = {}
        self._calls: dict[int, Promise[Any]] = {}
        self._next_call = 0
        self._flush_deferred = False
        self._dirty: set[CoreChannel] = set()  # have something to send when the event ends
        self._poller = _Poller(self)
        self._polling = False
        self._polls = 0
        self._found = False  # something, in the last POLLS polls
        self._unhandled = 0
        self._channels: dict[int, CoreChannel] = {}
        for other in range(plan.count):
            if other != number:
                returns = Returns(RETURN_BATCH, self._start_polling, functools.partial(self._send_later, other))
                self._channels[other] = CoreChannel(
                    other,
                    plan.ring(number, other),
                    plan.ring(other, number),
                    plan.doorbells[other],
                    allocator,
                    returns,
                )
        events.watch(self._doorbell, _Doorbell(self))

    # What the other cores are asked for

    def spawn(self, core: int, function: Callable[..., object], *arguments: Any) -> None:
        """See ``CoreLinks.spawn``."""
        if core == self.number:
            self._events.spawn(functools.partial(function, *arguments), force_async=True)
            return
        channel = self._channel(core)
        channel.queue(SPAWN, 0, _pickle_call(function, arguments))
        self._send_later(core)

    def call(self, core: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """See ``CoreLinks.call``."""
        promise: Promise[Any] = Promise()
        if core == self.number:
            answer = functools.partial(_answer_here, promise)
            self._events.spawn(functools.partial(_carry_out, function, arguments, answer), force_async=True)
            return promise.future
        channel = self._channel(core)
        number = self._next_call
        channel.queue(CALL, 0, _number.pack(number) + _pickle_call(function, arguments))
        self._next_call += 1
        self._calls[number] = promise
        self._send_later(core)
        return promise.future

    def register(self, kind: int, handler: CoreMessageHandler) -> None:
        """See ``CoreLinks.register``."""
        if not 1 <= kind <= 255 or kind in self._handlers:
            raise CoreError(f"{kind} is not a free kind of message: choose another from 1 to 255")
        self._handlers[kind] = handler

    def send(self, core: int, kind: int, data: bytes, chain: IOBuf | None = None) -> None:
        """See ``CoreLinks.send``."""
        if len(data) > LARGEST_DATA:
            raise CoreError(f"{len(data)} bytes are more than a message may have ({LARGEST_DATA}): send a buffer")
        channel = self._channel(core)
        channel.queue(MESSAGE, kind, data, chain)
        self._send_later(core)

    def statistics(self) -> dict[str, int]:
        """The channels' counters added up, calls that wait for an answer, and messages of kinds nobody takes here."""
        total = {"calls_waiting": len(self._calls), "unhandled": self._unhandled}
        for channel in self._channels.values():
            for name, value in channel.statistics().items():
                total[name] = total.get(name, 0) + value
        return total

    def close(self) -> None:
        """Take part no more, when the node ends: calls that wait for an answer fail, and what was lent is let go."""
        self._events.unwatch(self._doorbell)
        if self._polling:
            self._stop_polling()
        calls = self._calls
        self._calls = {}
        for promise in calls.values():
            promise.set_error(CoreError("the links of this core were closed before the answer came"))
        self._channels = {}
        self._dirty.clear()
        del self._poller  # it and this hold each other

    # When an event ends, when an interrupt comes, when nothing is to do

    def _channel(self, core: int) -> CoreChannel:
        channel = self._channels.get(core)
        if channel is None:
            raise CoreError(
                f"there is no link from core {self.number} to core {core}: the node has {self.count} cores"
            )
        return channel

    def _send_later(self, core: int) -> None:
        """Flush that channel when the current event has ended."""
        channel = self._channels.get(core)
        if channel is not None:
            self._dirty.add(channel)
            if not self._flush_deferred:
                self._flush_deferred = True
                self._events.defer(self._flush)

    def _flush(self) -> None:
        self._flush_deferred = False
        dirty = self._dirty
        self._dirty = set()
        for channel in dirty:
            channel.flush()

    def interrupted(self) -> None:
        """Another core has sent something, or has made room."""
        os.eventfd_read(self._doorbell)
        for channel in self._channels.values():
            channel.drain(self._arrived, interrupted=True)
            if channel.is_waiting():
                channel.flush()
        self._start_polling()

    def poll(self) -> None:
        """Look at the rings; now and then give back what was dropped, and go on only when something has come."""
        for channel in self._channels.values():
            if channel.drain(self._arrived, interrupted=False):
                self._found = True
            if channel.is_waiting() and channel.has_much_room():
                channel.flush()
        self._polls += 1
        if self._polls == POLLS:
            self._polls = 0
            for channel in self._channels.values():
                channel.flush()
            if not self._found:
                self._stop_polling()
            self._found = False

    def _start_polling(self) -> None:
        """Something has come, or is to be given back when there is time."""
        if not self._polling and self._channels:
            self._polling = True
            self._events.add_idle_handler(self._poller)

    def _stop_polling(self) -> None:
        self._polling = False
        self._polls = 0
        self._events.remove_idle_handler(self._poller)

    # What arrives

    def _arrived(self, channel: CoreChannel, op: int, kind: int, data: memoryview, chain: IOBuf | None) -> None:
        """Make an event of a message."""
        if op == MESSAGE:
            handler = self._handlers.get(kind)
            if handler is None:
                self._unhandled += 1
                logger.error(
                    "core %d: nobody takes messages of kind %d (from core %d)", self.number, kind, channel.number
                )
                return
            event: Callable[[], object] = functools.partial(handler.receive, channel.number, bytes(data), chain)
        elif op == SPAWN:
            event = functools.partial(_run_pickled, bytes(data))
        elif op == CALL:
            answer = functools.partial(self._answer, channel.number, _number.unpack_from(data)[0])
            event = functools.partial(_carry_out_pickled, bytes(data[_number.size :]), answer)
        else:
            event = functools.partial(self._finish_call, op, bytes(data))
        self._events.spawn(event, force_async=True)

    def _answer(self, core: int, number: int, value: Any, error: BaseException | None) -> None:
        """Send what a call from another core has come to."""
        channel = self._channels.get(core)
        if channel is None:
            return  # closed meanwhile
        head = _number.pack(number)
        if error is None:
            try:
                channel.queue(RESULT, 0, head + pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
            except Exception as raised:
                error = CoreError(f"the result cannot cross: {raised}")
        if error is not None:
            channel.queue(FAILURE, 0, head + _describe(error).encode())
        self._send_later(core)

    def _finish_call(self, op: int, data: bytes) -> None:
        """The answer to a call of ours."""
        promise = self._calls.pop(_number.unpack_from(data)[0], None)
        if promise is None:
            return  # closed meanwhile
        rest = data[_number.size :]
        if op == FAILURE:
            promise.set_error(CoreError(rest.decode()))
            return
        try:
            value = pickle.loads(rest)
        except Exception as raised:
            promise.set_error(CoreError(f"the result cannot be read: {raised}"))
            return
        promise.set_value(value)


class _Doorbell(InterruptHandler):
    def __init__(self, links: RingCoreLinks) -> None:
        self.links = links

    def interrupt(self) -> None:
        self.links.interrupted()


class _Poller(IdleHandler):
    def __init__(self, links: RingCoreLinks) -> None:
        self.links = links

    def poll(self) -> None:
        self.links.poll()


def _pickle_call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> bytes:
    """A function by name, and its arguments. Raises CoreError when they cannot cross."""
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, (types.ModuleType, type)):
        raise CoreError(f"{function!r} belongs to an object of this core: use a function that a module defines")
    try:
        return pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL)
    except Exception as raised:
        raise CoreError(
            f"{function!r} or its arguments cannot cross to another core ({raised}): use a function that a module "
            "defines, not a lambda or a local one, and arguments that can be pickled"
        ) from raised


def _run_pickled(data: bytes) -> object:
    """An event; if this returns a coroutine, the Event Manager goes on with it, as the same event."""
    function, arguments = pickle.loads(data)
    return function(*arguments)


def _carry_out_pickled(data: bytes, answer: Callable[[Any, BaseException | None], None]) -> object:
    try:
        function, arguments = pickle.loads(data)
    except Exception as raised:
        answer(None, raised)
        return None
    return _carry_out(function, arguments, answer)


def _carry_out(
    function: Callable[..., Any], arguments: tuple[Any, ...], answer: Callable[[Any, BaseException | None], None]
) -> Coroutine[Any, None, None] | None:
    """Call it, and give ``answer(value, error)`` what comes of it, now or when its future is done.

    A coroutine is returned to the Event Manager, which goes on with it as the event that runs this.
    """
    try:
        result = function(*arguments)
    except Exception as raised:
        answer(None, raised)
        return None
    if isinstance(result, Coroutine):
        return _await(result, answer)
    if isinstance(result, Future):
        result.when_done(lambda done: _pass_on(done, answer))
    else:
        answer(result, None)
    return None


def _pass_on(done: Future[Any], answer: Callable[[Any, BaseException | None], None]) -> None:
    error = done.error()
    answer(None if error is not None else done.result(), error)


async def _await(coroutine: Coroutine[Any, None, object], answer: Callable[[Any, BaseException | None], None]) -> None:
    try:
        value = await coroutine
    except Exception as raised:
        answer(None, raised)
        return
    answer(value, None)


def _answer_here(promise: Promise[Any], value: Any, error: BaseException | None) -> None:
    """A call on the core's own self fails as one on another core would."""
    if error is None:
        promise.set_value(value)
    else:
        promise.set_error(CoreError(_describe(error)))


def _describe(error: BaseException) -> str:
    return str(error) if isinstance(error, CoreError) else f"{type(error).__name__}: {error}"
