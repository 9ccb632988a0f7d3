"""``async def`` events: a coroutine is an event that gives its stack back whenever it awaits a future.

It goes on as the same event (id, storage, origin) from the loop. Only our futures can be awaited: there is no other
loop here that could resume it.
"""

from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from ebbrt import ebb
from ebbrt.future import Future, Promise

T = TypeVar("T")


class CoroutineEvent:
    """A coroutine that runs as an event; ``event`` is the Event Manager's record of it while it awaits."""

    def __init__(self, coroutine: Coroutine[Any, None, object], origin: object, tasks: deque[Any]) -> None:
        self.coroutine = coroutine
        self.origin = origin
        self.event: Any = None
        self._tasks = tasks

    def advance(self) -> Future[Any] | None:
        """Run until the next future that is not done, which is returned, or the end."""
        try:
            awaited = self.coroutine.send(None)
            while not isinstance(awaited, Future):
                awaited = self.coroutine.throw(
                    TypeError(f"an event cannot await {awaited!r}: only an ebbrt.future.Future, or a coroutine")
                )
        except StopIteration:
            return None
        return awaited

    def wake(self, _: Future[Any]) -> None:
        """What it awaited is done: let the loop go on with it."""
        self._tasks.append(self)


def resolve(promise: Promise[T], coroutine: Coroutine[Any, None, T]) -> Callable[[], Coroutine[Any, None, None]]:
    """An event that runs ``coroutine`` and gives what it returns or raises to ``promise``."""

    async def event() -> None:
        try:
            promise.set_value(await coroutine)
        except Exception as error:
            promise.set_error(error)

    event.__qualname__ = getattr(coroutine, "__qualname__", event.__qualname__)
    return event


def run_coroutine(coroutine: Coroutine[Any, None, T]) -> Future[T]:
    """``run_coroutine`` of the Event Manager of the core that calls this."""
    future: Future[T] = ebb.event_manager.run_coroutine(coroutine)
    return future
