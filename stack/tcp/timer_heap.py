"""When to look at which connection again: a heap of deadlines that is updated lazily.

A connection re-arms its timer with nearly every segment, nearly always to a later time. So the heap keeps one entry
for a connection, which may be too early but is never too late: arming for a later time leaves it as it is, and when
it comes up, what is really due is looked at and the entry put back with the right time. Ended connections are not
searched for: their entries go when they come up, or all at once in ``prune`` when there are too many of them.
"""

import heapq
from collections.abc import Callable

from ebbrt.constants import FOREVER


class TimerHeap:
    """(deadline, serial, item) in a heap; ``serial`` keeps equal deadlines in the order they were scheduled."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, object]] = []
        self._serial = 0

    def schedule(self, deadline: int, item: object) -> None:
        """Let ``item`` come up at ``deadline``."""
        self._serial += 1
        heapq.heappush(self._heap, (deadline, self._serial, item))

    def next_deadline(self) -> int:
        """The earliest deadline, FOREVER without one. It may be early, never late."""
        return self._heap[0][0] if self._heap else FOREVER

    def pop(self) -> object:
        """Take out the item with the earliest deadline; there is one."""
        return heapq.heappop(self._heap)[2]

    def prune(self, is_current: Callable[[int, object], bool]) -> None:
        """Keep one entry for each item that ``is_current(deadline, item)`` is true of, and drop all others."""
        current = {}
        for entry in self._heap:
            if is_current(entry[0], entry[2]):
                current[id(entry[2])] = entry
        self._heap = list(current.values())
        heapq.heapify(self._heap)

    def __len__(self) -> int:
        return len(self._heap)
