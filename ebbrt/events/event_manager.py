"""The Event Manager: one loop per core, and events that run to completion.

Nothing preempts an event. It ends by returning, or blocks and goes on later (``save_context``, ``Future.block``; the
stacks for this are in ``context``). Then the loop looks, in this order, for pending interrupts; else for timers that
are due; else for one spawned event; else it runs the idle handlers; else the core halts in ``epoll_wait`` until an
interrupt or the next timer (paper sections 2.2 and 3.1.2; docs/adr/0003-event-loop.md). A driver that polls registers
an idle handler, so that a busy core never waits, and unregisters it when a poll found nothing, so that an idle core
does not burn. Where interrupts come soon after each other and each brings little to do, as when one client waits for
every reply, the core looks for the next one awake before it halts.

The loop is given its clock and reads it once per turn, to know what is due, and how long the last event took.
"""

import logging
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ebbrt import ebb
from ebbrt.clock import Clock
from ebbrt.constants import FOREVER, MOST_AWAKE
from ebbrt.ebb import current_core
from ebbrt.events.context import Context, ContextError, Stack, Stacks, StackUser
from ebbrt.events.coroutine import CoroutineEvent, resolve
from ebbrt.events.counts import EventCounts, other_cores
from ebbrt.events.grace import GracePeriods
from ebbrt.events.handlers import READABLE, IdleHandler, InterruptHandler, TimerSource
from ebbrt.events.interrupts import Interrupts, Vectors
from ebbrt.events.long_events import LongEvents
from ebbrt.events.timers import Timer, Timers
from ebbrt.future import Future, Promise, when_all
from ebbrt.iobuf import IOBuf
from ebbrt.messages import NodeId
from ebbrt.syscalls import yield_processor

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A system call per idle turn would cost more than the poll itself: file descriptors are looked at every so many turns.
TURNS_BETWEEN_LOOKS = 64
SMOOTHING = 3  # each wait counts for an eighth of how long the core is thought to wait
# A peer whose data are not acknowledged for 200 ms sends them again (Linux's smallest retransmission time-out), and
# the acknowledgment may be delayed by 40 ms already.
LONG_EVENT = 100_000_000  # ns
MOST_STACKS = 4096


class Event:
    """What is remembered of the running event, from when somebody asks for it, or it first blocks."""

    def __init__(self, number: int, generation: int) -> None:
        self.number = number
        self.generation = generation
        self.storage: dict[Any, Any] | None = None


class EventManager(StackUser):
    """The event loop of one core.

    An event that runs for more than ``long_event_limit`` ns without blocking is warned of and counted.
    interrupts: without, those of a core that halts in ``epoll_wait``.
    """

    def __init__(self, clock: Clock, interrupts: Vectors | None = None) -> None:
        self.clock = clock
        self.now = clock.now()
        self.long_event_limit = LONG_EVENT
        self._interrupts = Interrupts() if interrupts is None else interrupts
        self._tasks: deque[Any] = deque()  # functions, stacks of activated contexts, coroutines
        self._idle_handlers: list[IdleHandler] = []
        self._sources: list[TimerSource] = []
        self._timers = Timers()
        self._deferred: deque[Callable[[], object]] = deque()
        self._turns_left = 0
        self._busy_turns = 0  # since the file descriptors were looked at
        self._woken = self.now  # when the last wait was over
        self._slack = 0  # ns, smoothed: how much longer the core waits than it works; long waits count against
        self._stacks = Stacks(self, MOST_STACKS)
        self._parked: dict[int, Stack] = {}  # by the number of the context
        self._event: Event | None = None  # of the running event, once there is one
        self._event_numbers = 0
        self._origin: object = None  # what the running event runs
        self._grace = GracePeriods(self.defer)
        self._long_events = LongEvents()
        self._counts = EventCounts(self)
        self.events = 0
        self.interrupts = 0
        self.failures = 0
        self.halts = 0
        self.waits_awake = 0
        self.polls = 0

    # Events

    def spawn(self, function: Callable[[], object], force_async: bool = False) -> None:
        """Run ``function``, maybe a coroutine function, as an event of its own.

        It runs at once, and the caller goes on when it ends or blocks; or from the loop when ``force_async``, or when
        too many events have blocked for one more stack. An exception in it is reported with its origin and does not
        reach the caller (paper section 3.3). KeyboardInterrupt, SystemExit and the like are no failures of an event:
        they reach the caller if it still waits, and end ``run``.
        """
        if force_async:
            self._tasks.append(function)
            return
        event = self._event
        origin = self._origin
        if not self._stacks.hand_over(function):
            self._tasks.append(function)
        self._event = event
        self._origin = origin

    def run_coroutine(self, coroutine: Coroutine[Any, None, T]) -> Future[T]:
        """Run ``coroutine`` as an event, at once until it first awaits; a future of what it returns or raises."""
        promise: Promise[T] = Promise()
        self.spawn(resolve(promise, coroutine))
        return promise.future

    def spawn_from_thread(self, function: Callable[[], object]) -> None:
        """As ``spawn`` with ``force_async``, from any thread of the process; a halted core wakes up."""
        self._tasks.append(function)  # one step under the interpreter lock, as the loop's popleft is
        self._interrupts.wake()

    def defer(self, function: Callable[[], object]) -> None:
        """Call ``function`` once, as an event, when the current event ends; at the next turn when none runs."""
        self._deferred.append(function)

    def event_id(self) -> tuple[int, int]:
        """The running event's id: the number of its core, and its own there. Raises ContextError outside of one."""
        return current_core().number, self._running_event().number

    def local_storage(self) -> dict[Any, Any]:
        """A dictionary of the running event's own, gone with it. Raises ContextError outside of an event."""
        event = self._running_event()
        if event.storage is None:
            event.storage = {}
        return event.storage

    def after_grace_period(self, function: Callable[[], object]) -> None:
        """Run ``function`` as an event once all events have ended that run or are blocked now, on all cores here.

        So what was unlinked before can be freed by it: nobody holds on to it any more (read-copy-update). Should a
        core fail to answer, that is reported, and ``function`` is never run.
        """
        waits = [ebb.core_links.call(core, wait_grace_period) for core in other_cores()]
        waits.append(self.wait_grace_period())

        def over(done: Future[list[None]]) -> None:
            error = done.error()
            if error is None:
                self.spawn(function, force_async=True)
            else:
                self.failures += 1
                logger.error("no grace period for %r: %s", function, error)

        when_all(waits).when_done(over)

    def wait_grace_period(self) -> Future[None]:
        """Ready once all events of this core have ended that run or are blocked now."""
        return self._grace.wait()

    # Contexts

    def save_context(self, context: Context) -> None:
        """Block the running event until ``context`` is activated. Other events run meanwhile.

        Upcalls of drivers and network stack must run to completion: one that has to wait spawns an event that does.
        Raises ContextError outside of an event, with a context that is saved already, or made on another core, and
        when too many events have blocked.
        """
        self.check_can_block()
        if context.core != current_core().number:
            raise ContextError(f"{context} can only be saved on its own core")
        if context.number in self._parked:
            raise ContextError(f"{context} is saved already, by another event: each needs one of its own")
        event = self._running_event()
        origin = self._origin
        stack = self._stacks.running
        assert stack is not None
        self._parked[context.number] = stack
        self._grace.parked(event.generation)
        self._stacks.block()
        self._grace.resumed(event.generation)
        self._event = event
        self._origin = origin

    def activate_context(self, context: Context) -> None:
        """Let the event saved in ``context`` go on, on its own core, from the loop. May be called on any core.

        Raises ContextError when it is not saved there, or has been activated already; from another core this is
        reported over there.
        """
        if context.core == current_core().number:
            self._tasks.append(self._take_parked(context))
        else:
            ebb.core_links.spawn(context.core, activate_here, context)

    def activate_context_sync(self, context: Context) -> None:
        """Let the event go on at once; the caller goes on when it ends or blocks again. On its own core only.

        Raises ContextError as ``activate_context``.
        """
        if context.core != current_core().number:
            raise ContextError(f"{context} is of another core: activate it asynchronously")
        event = self._event
        origin = self._origin
        self._stacks.call(self._take_parked(context))
        self._event = event
        self._origin = origin

    def check_can_block(self) -> None:
        """Raise ContextError when the code that runs is no event, or no stack is left to go on with."""
        if self._stacks.running is None:
            raise ContextError("only an event can block: run this from one, with event_manager.spawn")
        if not self._stacks.can_block():
            raise ContextError(f"all {self._stacks.most} stacks are in use by events that have blocked")

    def _take_parked(self, context: Context) -> Stack:
        stack = self._parked.pop(context.number, None)
        if stack is None:
            raise ContextError(f"{context} is not saved: it never was, or it has been activated already")
        return stack

    def _running_event(self) -> Event:
        if self._event is None:
            if self._stacks.running is None:
                raise ContextError("no event is running")
            self._event_numbers += 1
            self._event = Event(self._event_numbers, self._grace.generation)
        return self._event

    # Timers, interrupts, idle handlers

    def set_timer(self, delay: int, function: Callable[[], object]) -> Timer:
        """Call ``function`` as an event once ``delay`` nanoseconds have passed."""
        return self._timers.set(self.clock.now() + delay, function)

    def add_timer_source(self, source: TimerSource) -> None:
        """Ask ``source`` for its next deadline whenever the loop turns."""
        self._sources.append(source)

    def add_idle_handler(self, handler: IdleHandler) -> None:
        """Call ``handler.poll`` whenever there is nothing else to do."""
        self._idle_handlers.append(handler)

    def remove_idle_handler(self, handler: IdleHandler) -> None:
        """Call it no more. Raises ValueError when it is not registered."""
        self._idle_handlers.remove(handler)

    def allocate_vector(self, handler: InterruptHandler) -> int:
        """An interrupt vector for a device; ``raise_interrupt`` with it runs ``handler.interrupt``."""
        return self._interrupts.allocate_vector(handler)

    def raise_interrupt(self, vector: int) -> None:
        """What a device does: mark the vector pending. The handler runs when the current event has ended."""
        self._interrupts.raise_vector(vector)

    def free_vector(self, vector: int) -> None:
        """Give the vector back; interrupts of it that are pending are forgotten."""
        self._interrupts.free_vector(vector)

    def watch(self, fd: int, handler: InterruptHandler, events: int = READABLE) -> None:
        """Treat a file descriptor's readiness as an interrupt, level-triggered.

        A handler that blocks must first have taken what made the descriptor ready.
        """
        self._interrupts.watch(fd, handler, events)

    def rewatch(self, fd: int, events: int) -> None:
        """Watch a descriptor that is watched for ``events`` instead: a new set of EPOLL flags."""
        self._interrupts.rewatch(fd, events)

    def unwatch(self, fd: int) -> None:
        """Watch the descriptor no longer."""
        self._interrupts.unwatch(fd)

    # The loop

    def stop(self) -> None:
        """End ``run`` after the current event. Events that have blocked stay so; a later ``run`` goes on with them."""
        self._turns_left = 0

    def run(self) -> None:
        """Turn until ``stop`` is called. Raises RuntimeError from within an event."""
        self._start(FOREVER)

    def turn(self) -> None:
        """One step of the loop."""
        self._start(1)

    def _start(self, turns: int) -> None:
        self._stacks.check_outside()
        self._turns_left = turns
        self.now = self.clock.now()
        self._origin = None
        self._stacks.run()

    def run_loop(self) -> None:
        """See StackUser. A stack may be anywhere in here when it takes the loop over, or goes on with its event."""
        while self._turns_left > 0:
            self._turns_left -= 1
            if self._deferred:
                self._run_deferred()
                if self._turns_left == 0:
                    break
            self._step()
            while self._stacks.callers:  # the event was activated synchronously: its activator goes on
                self._stacks.give_back()
        if self._deferred:
            self._run_deferred()
        self._measure(self.clock.now())

    def run_handed(self, function: object) -> None:
        """See StackUser."""
        self._run(function)

    def _step(self) -> None:
        self._measure(self.clock.now())
        if self._interrupts.pending:
            self._interrupt(self._interrupts.pending.popleft())
        elif self._next_deadline() <= self.now:
            self._expire()
        elif self._tasks:
            self._run_task(self._tasks.popleft())
        elif self._idle_handlers:
            self._idle()
        elif not self._deferred:
            self._halt()
            return
        self._busy_turns += 1
        if self._busy_turns >= TURNS_BETWEEN_LOOKS:
            self._look()

    def _measure(self, now: int) -> None:
        """What ran since the clock was last read took until ``now``."""
        if now - self.now > self.long_event_limit and self._origin is not None:
            self._long_events.note(self._origin, now - self.now, now)
        self.now = now

    def _run_deferred(self) -> None:
        """Call what was deferred; what that defers in turn is called when the next event ends."""
        self._measure(self.clock.now())
        for _ in range(len(self._deferred)):
            if self._deferred:  # one that blocked left the rest to another stack
                self._run(self._deferred.popleft())

    def _idle(self) -> None:
        """Run the idle handlers."""
        self.polls += 1
        self._event = None
        several = len(self._idle_handlers) > 1
        self._origin = self._idle_handlers if several else self._idle_handlers[0]
        for handler in list(self._idle_handlers) if several else self._idle_handlers:
            try:
                handler.poll()
            except Exception:
                self._report(handler)

    def _halt(self) -> None:
        """Wait for an interrupt, until the next deadline."""
        self._busy_turns = 0
        self._origin = None
        began = self.now
        deadline = self._next_deadline()
        handler = self._wait_awake(min(deadline, began + MOST_AWAKE)) if self._slack > 0 else None
        if handler is not None:
            self.waits_awake += 1
        elif self.now < deadline:
            self.halts += 1
            if deadline == FOREVER:
                timeout = -1
            else:
                timeout = min((deadline - self.now + 999_999) // 1_000_000, 3_600_000)
            handler = self._interrupts.look(timeout)
            self._measure(self.clock.now())
        waited = self.now - began
        slack = waited - min(began - self._woken, MOST_AWAKE) if waited < MOST_AWAKE else -MOST_AWAKE
        self._slack += (slack - self._slack) >> SMOOTHING
        self._woken = self.now
        if handler is not None:
            self._interrupt(handler)

    def _wait_awake(self, end: int) -> InterruptHandler | None:
        """Look for file descriptors until ``end``; other programs may have the processor meanwhile."""
        while True:
            handler = self._interrupts.look(0)
            self._measure(self.clock.now())
            if handler is not None or self.now >= end:
                return handler
            yield_processor()

    def _look(self) -> None:
        """Look for file descriptors, and run the handler of one that is ready; the others are pending."""
        self._busy_turns = 0
        handler = self._interrupts.look(0)
        self._measure(self.clock.now())
        if handler is not None:
            self._interrupt(handler)

    def _interrupt(self, handler: InterruptHandler) -> None:
        self.interrupts += 1
        self._event = None
        self._origin = handler
        try:
            handler.interrupt()
        except Exception:
            self._report(handler)

    def _next_deadline(self) -> int:
        deadline = self._timers.next_deadline()
        for source in self._sources:
            deadline = min(deadline, source.next_deadline())
        return deadline

    def _expire(self) -> None:
        """Run the timers that are due, and let the sources do theirs."""
        last = self._timers.serial  # a timer that sets another for now must not keep the loop here
        function = self._timers.take_due(self.now, last)
        while function is not None:
            self._run(function)
            self._measure(self.clock.now())
            function = self._timers.take_due(self.now, last)
        for source in self._sources:
            if source.next_deadline() <= self.now:
                self._event = None
                self._origin = source
                try:
                    source.expire(self.now)
                except Exception:
                    self._report(source)

    def _run_task(self, task: Any) -> None:
        kind = type(task)
        if kind is Stack:
            self._stacks.stand_by(task)
        elif kind is CoroutineEvent:
            self._event = task.event
            self._origin = task.origin
            self._grace.resumed(task.event.generation)
            try:
                self._advance(task)
            except Exception:
                self._report(task.origin)
        else:
            self._run(task)

    def _run(self, function: Any) -> None:
        self.events += 1
        self._event = None
        self._origin = function
        try:
            result = function()
            if result is not None and isinstance(result, Coroutine):
                self._advance(CoroutineEvent(result, function, self._tasks))
        except Exception:
            self._report(function)

    def _advance(self, coroutine: CoroutineEvent) -> None:
        awaited = coroutine.advance()
        if awaited is not None:
            coroutine.event = self._running_event()
            self._grace.parked(coroutine.event.generation)
            awaited.when_done(coroutine.wake)

    def _report(self, origin: object) -> None:
        """An event failed: say where it came from and go on."""
        self.failures += 1
        logger.exception("an event failed, of %r; the core goes on", origin)

    # Counts (paper section 3.3, Figure 2)

    def get_num_core(self) -> int:
        """How many functions this core has run as events."""
        return int(self.events)

    def get_num_node(self) -> int:
        """How many all cores of this node have. Blocks the calling event when there are several."""
        return self._counts.node().block()

    def get_num(self) -> int:
        """How many all nodes of the application have that are there now. Blocks the calling event."""
        return self._counts.application().block()

    def joined(self, node: NodeId) -> None:
        """To be called by the runtime: in the front-end of each back-end that is ready, there of the front-end."""
        self._counts.joined(node)

    def left(self, number: int) -> None:
        """To be called by the runtime: the node has died or was freed."""
        self._counts.left(number)

    def receive_call(self, sender: NodeId, data: IOBuf) -> Future[IOBuf]:
        """Answer another node's Event Manager; see ``messages.MessageHandler``."""
        return self._counts.answer(data)

    def statistics(self) -> dict[str, Any]:
        """Events run, interrupts, idle polls, halts, waits that ended without one, events that raised; long events."""
        return {
            "events": self.events,
            "interrupts": self.interrupts,
            "polls": self.polls,
            "halts": self.halts,
            "waits_awake": self.waits_awake,
            "failures": self.failures,
            "blocked": len(self._parked),
            "stacks": self._stacks.count,
            "long_events": self._long_events.count,
            "longest_event": self._long_events.worst,
            "longest_event_ns": self._long_events.worst_time,
        }

    def close(self) -> None:
        """Give the loop's descriptors back, and end all stacks: in events that have blocked, GreenletExit is raised.

        Raises RuntimeError from within an event.
        """
        self._stacks.check_outside()
        blocked = list(self._parked.values()) + [task for task in self._tasks if type(task) is Stack]
        self._parked.clear()
        self._tasks.clear()
        self._stacks.close(blocked)
        self._interrupts.close()


def activate_here(context: Context) -> None:
    """What a core runs for another one that activates one of its contexts."""
    ebb.event_manager.activate_context(context)


def wait_grace_period() -> Future[None]:
    """What a core runs for another one that waits for a grace period."""
    waits: Future[None] = ebb.event_manager.wait_grace_period()
    return waits
