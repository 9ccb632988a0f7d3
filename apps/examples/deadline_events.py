"""An application's own Event Manager: what is spawned for later runs earliest deadline first, not in order."""

import heapq
from collections.abc import Callable

from ebbrt.clock import Clock
from ebbrt.constants import FOREVER
from ebbrt.events.event_manager import EventManager


class DeadlineEventManager(EventManager):
    """Each time the loop has a turn for a spawned event, the one whose deadline is nearest gets it."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.waiting: list[tuple[int, int, Callable[[], object]]] = []
        self.spawned = 0
        self.late = 0

    def spawn(self, function: Callable[[], object], force_async: bool = False) -> None:
        """As always; one that is forced to be asynchronous has no deadline, and so comes last."""
        if force_async:
            self.spawn_by(FOREVER, function)
        else:
            super().spawn(function)

    def spawn_by(self, deadline: int, function: Callable[[], object]) -> None:
        """Run ``function`` as an event from the loop, if possible before ``deadline`` (the clock's ns)."""
        self.spawned += 1
        heapq.heappush(self.waiting, (deadline, self.spawned, function))
        super().spawn(self._run_most_urgent, True)

    def _run_most_urgent(self) -> object:
        deadline, _, function = heapq.heappop(self.waiting)
        self.late += self.clock.now() > deadline
        return function()  # a coroutine is driven by whoever called this
