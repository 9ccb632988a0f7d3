"""Operations of several steps, written as coroutines that await futures.

They are no events of their own: each step runs, as a continuation does, within what resolved the future it awaited.
"""

from collections import deque
from collections.abc import Coroutine
from typing import Any, TypeVar

from ebbrt.future import Future, Promise

T = TypeVar("T")


class _Steps:
    """One coroutine on its way. A class, since a function that names itself is a reference cycle."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.promise: Promise[Any] = Promise()

    def step(self, _: object = None) -> None:
        """Go on to the next await that is not ready."""
        try:
            awaited = self._coroutine.send(None)
        except StopIteration as end:
            self.promise.set_value(end.value)
        except Exception as error:
            self.promise.set_error(error.with_traceback(None))  # which would keep this very promise
        else:
            awaited.when_done(self.step)


def run_steps(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Run a coroutine, at once up to its first await that is not ready; a future of what it returns or raises."""
    steps = _Steps(coroutine)
    steps.step()
    return steps.promise.future


class Turns:
    """Lets coroutines through one after the other, in the order in which they came: ``await take()``, ``give()``."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: deque[Promise[None]] = deque()

    async def take(self) -> None:
        """Wait for this one's turn."""
        if self._taken:
            promise: Promise[None] = Promise()
            self._waiting.append(promise)
            await promise.future
        self._taken = True

    def give(self) -> None:
        """It is the next one's turn."""
        if self._waiting:
            self._waiting.popleft().set_value(None)
        else:
            self._taken = False
