"""What is to happen when, in a simulation: in the order of time, and at one instant in the order it was put down."""

import heapq
from collections.abc import Callable
from typing import Any

from ebbrt.clock import ManualClock
from ebbrt.constants import FOREVER

BEGINNING = 1_000_000_000  # ns: virtual time begins at 1 s, since no machine's clock stands at 0


class Agenda:
    """A heap of calls; ``clock`` is the virtual time of everything in the simulation."""

    def __init__(self) -> None:
        self.clock = ManualClock(BEGINNING)
        self.calls = 0  # that were made
        self._heap: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._serial = 0

    def add(self, at: int, function: Callable[..., object], *arguments: Any) -> None:
        """Call ``function(*arguments)`` at the time ``at``, or now when that is past."""
        self._serial += 1
        now = self.clock.time
        heapq.heappush(self._heap, (at if at > now else now, self._serial, function, arguments))

    def next_time(self) -> int:
        """Of the next call, or FOREVER."""
        return self._heap[0][0] if self._heap else FOREVER

    def run(self, until: Callable[[], bool] | None, end: int) -> bool:
        """Make the calls up to the time ``end``, each at its time; stop when ``until()`` holds, and say whether."""
        heap = self._heap
        clock = self.clock
        while until is None or not until():
            if not heap or heap[0][0] > end:
                return False
            clock.time, _, function, arguments = heapq.heappop(heap)
            self.calls += 1
            function(*arguments)
        return True
