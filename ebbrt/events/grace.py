"""Read-copy-update: when every event that could still hold on to something has ended.

An event that runs to completion has ended at the end of the loop's step. So only those that are parked are counted,
by the generation in which they began: a new generation begins whenever somebody waits for a grace period. There is no
list of events.
"""

from collections.abc import Callable

from ebbrt.future import Future, Promise


class GracePeriods:
    """Those of one core. ``defer`` is its Event Manager's."""

    def __init__(self, defer: Callable[[Callable[[], object]], object]) -> None:
        self.generation = 0  # of the events that begin now
        self._defer = defer
        self._parked: dict[int, int] = {}  # how many events of a generation are parked
        self._new: list[Promise[None]] = []
        self._waiting: list[tuple[int, Promise[None]]] = []  # for all generations up to this one

    def parked(self, generation: int) -> None:
        """An event that began in ``generation`` has blocked."""
        self._parked[generation] = self._parked.get(generation, 0) + 1

    def resumed(self, generation: int) -> None:
        """It goes on, and ends, or blocks again, before the step ends."""
        left = self._parked[generation] - 1
        if left:
            self._parked[generation] = left
            return
        del self._parked[generation]
        if self._waiting:
            self._defer(self._check)

    def wait(self) -> Future[None]:
        """Ready once every event of this core that now runs or is parked has ended."""
        promise: Promise[None] = Promise()
        self._new.append(promise)
        self._defer(self._check)  # when what runs now has ended, or is parked and counted
        return promise.future

    def _check(self) -> None:
        if self._new:
            self._waiting += [(self.generation, promise) for promise in self._new]
            self._new = []
            self.generation += 1
        oldest = min(self._parked, default=self.generation)
        over = [promise for last, promise in self._waiting if last < oldest]
        self._waiting = [(last, promise) for last, promise in self._waiting if last >= oldest]
        for promise in over:
            promise.set_value(None)
