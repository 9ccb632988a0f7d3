"""Do a thing once, although several events of one core ask for it before it is done.

The first event that asks does it, and may block meanwhile; the others block until it is done and get the same result,
or the same exception. Nothing is kept: who asks afterwards has it done again.

An event is told by its greenlet. While it is in ``run`` no other event runs on that: coroutines, which share stacks,
give theirs back only when they await, and nobody can await within ``run``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from ebbrt.future import Promise


class WaitsForItselfError(RuntimeError):
    """Doing the thing needs it to be done."""


class _Work:
    """What one event is doing for a key, and the promise of it once another event waits."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.worker: greenlet = getcurrent()
        self.promise: Promise[Any] | None = None


class Once:
    """Work in progress on one core, by key."""

    def __init__(self) -> None:
        self._works: dict[int, _Work] = {}
        self._waits: dict[greenlet, _Work] = {}  # which event waits for which work

    def run(self, key: int, function: Callable[[], Any]) -> Any:
        """``function()``, or what the event that is running it for ``key`` gets from it.

        Raises WaitsForItselfError instead of waiting for ever.
        """
        work = self._works.get(key)
        if work is not None:
            return self._wait(work)
        work = self._works[key] = _Work(key)
        try:
            result = function()
        except BaseException as error:
            promise = self._end(work)
            if promise is not None:
                promise.set_error(error)
                promise = None  # or it would be kept for ever, by the traceback of its own error
            raise
        promise = self._end(work)
        if promise is not None:
            promise.set_value(result)
        return result

    def _end(self, work: _Work) -> "Promise[Any] | None":
        """The work is over; the promise that others wait for, if any."""
        del self._works[work.key]
        promise = work.promise
        work.promise = None
        return promise

    def _wait(self, work: _Work) -> Any:
        me = getcurrent()
        self._refuse_a_circle(work, me)
        if work.promise is None:
            from ebbrt.future import Promise  # futures know of Ebbs, and Ebbs of this

            work.promise = Promise()
        self._waits[me] = work
        try:
            return work.promise.future.block()
        finally:
            del self._waits[me]

    def _refuse_a_circle(self, work: _Work, me: greenlet) -> None:
        keys = []
        next_work: _Work | None = work
        while next_work is not None:
            keys.append(str(next_work.key))
            if next_work.worker is me:
                raise WaitsForItselfError(" needs ".join([*keys, keys[0]]))
            next_work = self._waits.get(next_work.worker)
