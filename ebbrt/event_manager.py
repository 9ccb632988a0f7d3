"""The Event Manager: one loop per core, and events that run to completion.

Nothing preempts an event. When it returns, the loop looks, in this order, for pending interrupts; else for timers that
are due; else for one spawned event; else it runs the idle handlers; else the core halts in ``epoll_wait`` until an
interrupt or the next timer (paper sections 2.2 and 3.1.2; docs/adr/0003-event-loop.md). A driver that polls registers
an idle handler, so that a busy core never waits, and unregisters it when a poll found nothing, so that an idle core
does not burn.

The loop is given its clock and reads it once per turn, to know what is due.
"""

import heapq
import logging
import os
from collections import deque
from collections.abc import Callable

from ebbrt.clock import Clock
from ebbrt.constants import FOREVER
from ebbrt.syscalls import Epoll

logger = logging.getLogger(__name__)

READABLE = 0x001  # EPOLLIN
# A system call per idle turn would cost more than the poll itself: file descriptors are looked at every so many turns.
TURNS_BETWEEN_LOOKS = 64


class InterruptHandler:
    """What a device interrupt, or a file descriptor that became ready, runs."""

    def interrupt(self) -> None:
        """Handle it; called as an event."""
        raise NotImplementedError


class IdleHandler:
    """What runs when a core has nothing else to do."""

    def poll(self) -> None:
        """Look for work; unregister when there is none, or the core will not halt."""
        raise NotImplementedError


class TimerSource:
    """A component with deadlines of its own, such as a network stack: asked before the core halts."""

    def next_deadline(self) -> int:
        """When to call ``expire``, in the clock's nanoseconds, or FOREVER. It may be early, never late."""
        raise NotImplementedError

    def expire(self, now: int) -> None:
        """Do what is due at ``now``."""
        raise NotImplementedError


class Timer:
    """A function to be called once at a deadline; made by ``EventManager.set_timer``."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function: Callable[[], object] | None = function

    def stop(self) -> None:
        """Never call it. Stopping a timer that has fired does nothing."""
        self.function = None


class _Wakeup(InterruptHandler):
    """Ends a halt when another thread has something for the core: an eventfd the loop watches."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def interrupt(self) -> None:
        """Take the count, so that the descriptor is ready no longer."""
        os.eventfd_read(self.fd)


class EventManager:
    """The event loop of one core."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.now = clock.now()
        self._epoll = Epoll()
        self._watched: dict[int, InterruptHandler] = {}
        self._vectors: list[InterruptHandler] = []
        self._pending: deque[int] = deque()
        self._tasks: deque[Callable[[], object]] = deque()
        self._idle_handlers: list[IdleHandler] = []
        self._sources: list[TimerSource] = []
        self._timers: list[tuple[int, int, Timer]] = []
        self._deferred: list[Callable[[], object]] = []
        self._wakeup = _Wakeup()
        self.watch(self._wakeup.fd, self._wakeup)
        self._serial = 0
        self._stopped = False
        self._idle_turns = 0
        self.events = 0
        self.interrupts = 0
        self.failures = 0
        self.halts = 0
        self.polls = 0

    # What applications and drivers call

    def spawn(self, function: Callable[[], object], force_async: bool = False) -> None:
        """Run ``function`` as an event of its own: at once, or from the loop when ``force_async``.

        An exception in it is reported with its origin and does not reach the caller (paper section 3.3).
        """
        if force_async:
            self._tasks.append(function)
        else:
            self._run(function)

    def spawn_from_thread(self, function: Callable[[], object]) -> None:
        """As ``spawn`` with ``force_async``, from any thread of the process; a halted core wakes up."""
        self._tasks.append(function)  # one step under the interpreter lock, as the loop's popleft is
        os.eventfd_write(self._wakeup.fd, 1)

    def defer(self, function: Callable[[], object]) -> None:
        """Call ``function`` once, as an event, when the current event ends; at the next turn when none runs."""
        self._deferred.append(function)

    def set_timer(self, delay: int, function: Callable[[], object]) -> Timer:
        """Call ``function`` as an event once ``delay`` nanoseconds have passed."""
        timer = Timer(function)
        self._serial += 1
        heapq.heappush(self._timers, (self.clock.now() + delay, self._serial, timer))
        return timer

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
        self._vectors.append(handler)
        return len(self._vectors) - 1

    def raise_interrupt(self, vector: int) -> None:
        """What a device does: mark the vector pending. The handler runs when the current event has ended."""
        self._pending.append(vector)

    def watch(self, fd: int, handler: InterruptHandler, events: int = READABLE) -> None:
        """Treat a file descriptor's readiness as an interrupt, level-triggered."""
        self._watched[fd] = handler
        self._epoll.register(fd, events)

    def rewatch(self, fd: int, events: int) -> None:
        """Watch a descriptor that is watched for ``events`` instead: a new set of EPOLL flags."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Watch the descriptor no longer."""
        del self._watched[fd]
        self._epoll.unregister(fd)

    def stop(self) -> None:
        """End ``run`` after the current event."""
        self._stopped = True

    # The loop

    def run(self) -> None:
        """Turn until ``stop`` is called."""
        self._stopped = False
        while not self._stopped:
            self.turn()

    def turn(self) -> None:
        """One step of the loop."""
        self.now = self.clock.now()
        if self._pending:
            vector = self._pending.popleft()
            self._interrupt(self._vectors[vector])
        elif self._next_deadline() <= self.now:
            self._expire()
        elif self._tasks:
            self._run(self._tasks.popleft())
        elif self._idle_handlers:
            self._idle()
        elif not self._deferred:
            self._halt()
        if self._deferred:
            self._run_deferred()

    def _run_deferred(self) -> None:
        """Call what was deferred; what that defers in turn is called when the next event ends."""
        deferred = self._deferred
        self._deferred = []
        for function in deferred:
            self._run(function)

    def _idle(self) -> None:
        """Run the idle handlers, and now and then look at the file descriptors."""
        self.polls += 1
        for handler in list(self._idle_handlers) if len(self._idle_handlers) > 1 else self._idle_handlers:
            try:
                handler.poll()
            except Exception:
                self._report(handler)
        self._idle_turns += 1
        if self._idle_turns >= TURNS_BETWEEN_LOOKS:
            self._idle_turns = 0
            self._look(0)

    def _halt(self) -> None:
        """Wait for an interrupt, until the next deadline."""
        self.halts += 1
        deadline = self._next_deadline()
        if deadline == FOREVER:
            timeout = -1
        else:
            timeout = min((deadline - self.now + 999_999) // 1_000_000, 3_600_000)
        self._look(timeout)

    def _look(self, timeout: int) -> None:
        """Wait at most ``timeout`` ms for file descriptors, and run the handlers of those that are ready."""
        count = self._epoll.wait(timeout)
        self.now = self.clock.now()
        for index in range(count):
            handler = self._watched.get(self._epoll.ready_fd(index))
            if handler is not None:
                self._interrupt(handler)

    def _interrupt(self, handler: InterruptHandler) -> None:
        self.interrupts += 1
        try:
            handler.interrupt()
        except Exception:
            self._report(handler)

    def _next_deadline(self) -> int:
        deadline = FOREVER
        if self._timers:
            deadline = self._timers[0][0]
        for source in self._sources:
            deadline = min(deadline, source.next_deadline())
        return deadline

    def _expire(self) -> None:
        """Run the timers that are due, and let the sources do theirs."""
        last = self._serial  # a timer that sets another for now must not keep the loop here
        while self._timers and self._timers[0][0] <= self.now and self._timers[0][1] <= last:
            timer = heapq.heappop(self._timers)[2]
            if timer.function is not None:
                self._run(timer.function)
        for source in self._sources:
            if source.next_deadline() <= self.now:
                try:
                    source.expire(self.now)
                except Exception:
                    self._report(source)

    def _run(self, function: Callable[[], object]) -> None:
        self.events += 1
        try:
            function()
        except Exception:
            self._report(function)

    def _report(self, origin: object) -> None:
        """An event failed: say where it came from and go on."""
        self.failures += 1
        logger.exception("an event failed, of %r; the core goes on", origin)

    def statistics(self) -> dict[str, int]:
        """Events run, interrupts handled, idle polls, halts, and events that raised."""
        return {
            "events": self.events,
            "interrupts": self.interrupts,
            "polls": self.polls,
            "halts": self.halts,
            "failures": self.failures,
        }

    def close(self) -> None:
        """Give the loop's descriptors back."""
        self._epoll.close()
        os.close(self._wakeup.fd)
