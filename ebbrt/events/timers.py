"""The timers of one core: functions to be called once, each at its deadline, in that order."""

import heapq
from collections.abc import Callable

from ebbrt.constants import FOREVER

FEWEST_STOPPED = 64  # timers in the heap, before it is worth while to make it anew


class Timer:
    """A function to be called once at a deadline; made by ``EventManager.set_timer``."""

    def __init__(self, function: Callable[[], object], timers: "Timers") -> None:
        self.function: Callable[[], object] | None = function
        self._timers: Timers | None = timers

    def stop(self) -> None:
        """Never call it. Stopping a timer that has fired does nothing."""
        timers = self._timers
        if timers is not None:
            self.clear()
            timers.forget_stopped()

    def clear(self) -> None:
        """Let go of the function: it has been called, or never will be."""
        self.function = None
        self._timers = None


class Timers:
    """A heap of those that were set; one that is stopped keeps no deadline, nor much memory."""

    def __init__(self) -> None:
        self.serial = 0  # of the latest one
        self._heap: list[tuple[int, int, Timer]] = []
        self._stopped = 0  # in the heap still

    def set(self, deadline: int, function: Callable[[], object]) -> Timer:
        """Have ``function`` called at ``deadline``."""
        timer = Timer(function, self)
        self.serial += 1
        heapq.heappush(self._heap, (deadline, self.serial, timer))
        return timer

    def next_deadline(self) -> int:
        """The earliest deadline, or FOREVER."""
        return self._heap[0][0] if self._heap else FOREVER

    def take_due(self, now: int, last: int) -> Callable[[], object] | None:
        """Take the function that is due first, of the timers up to serial ``last``; None when none is due."""
        while self._heap and self._heap[0][0] <= now and self._heap[0][1] <= last:
            timer = heapq.heappop(self._heap)[2]
            function = timer.function
            if function is not None:
                timer.clear()
                return function
            self._stopped -= 1
        return None

    def forget_stopped(self) -> None:
        """One more timer in the heap has been stopped."""
        self._stopped += 1
        if self._stopped > FEWEST_STOPPED and 2 * self._stopped > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].function is not None]
            heapq.heapify(self._heap)
            self._stopped = 0
        while self._heap and self._heap[0][2].function is None:
            heapq.heappop(self._heap)
            self._stopped -= 1
