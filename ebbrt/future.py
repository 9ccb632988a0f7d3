"""Futures and promises: a result that may come later, and what is to happen then.

A ``Promise`` is the end that gives the result, once; its ``Future`` is the end that gets it. Continuations given to
``then`` run on the core that resolves the promise, as part of the event that does, in the order in which they were
given; with a future that is ready already they run at once. Paper section 3.3 (continuation based programming).

``await future`` works in ``async def`` events; ``future.block()`` in any event.
"""

import logging
from collections.abc import Callable, Generator, Iterable
from typing import Any, Generic, TypeVar, cast

logger = logging.getLogger(__name__)

T = TypeVar("T")
U = TypeVar("U")


class NotReadyError(RuntimeError):
    """The result was asked for before it was there."""


class BrokenPromiseError(RuntimeError):
    """The promise was dropped without a result: nobody is left who could give one."""


class TimedOutError(TimeoutError):
    """The result did not come within its time limit."""


class Future(Generic[T]):
    """A result of type ``T`` that is there now, or will be; or the error that took its place."""

    def __init__(self) -> None:
        self._done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._continuations: list[Callable[[Future[T]], object]] = []
        self._seen = False  # somebody was told, so an error is not lost

    def done(self) -> bool:
        """Whether the result, or the error, is there."""
        return self._done

    def error(self) -> BaseException | None:
        """The error that took the result's place, if any. Raises NotReadyError when neither is there."""
        if not self._done:
            raise NotReadyError("the future is not ready: use then(), block() or await")
        self._seen = True
        return self._error

    def result(self) -> T:
        """The result. Raises the error that took its place, or NotReadyError."""
        error = self.error()
        if error is not None:
            raise error
        return cast(T, self._value)

    def when_done(self, continuation: Callable[["Future[T]"], object]) -> None:
        """Call ``continuation(self)`` once the future is done, at once when it is. What it raises is logged."""
        self._seen = True
        if self._done:
            self._call(continuation)
        else:
            self._continuations.append(continuation)

    def then(self, function: Callable[[T], U]) -> "Future[U]":
        """A future of ``function(result)``; an error, of this future or of the function, passes into it."""
        promise: Promise[U] = Promise()

        def resolve(done: Future[T]) -> None:
            error = done.error()
            if error is not None:
                promise.set_error(error)
                return
            try:
                promise.set_value(function(done.result()))
            except Exception as raised:
                promise.set_error(raised)

        self.when_done(resolve)
        return promise.future

    def flatten(self) -> "Future[Any]":
        """A future of a future as one: ready when the inner one is."""
        promise: Promise[Any] = Promise()

        def inner(done: Future[Any]) -> None:
            error = done.error()
            if error is not None:
                promise.set_error(error)
            else:
                done.result().when_done(promise.follow)

        self.when_done(inner)
        return promise.future

    def __await__(self) -> Generator["Future[T]", None, T]:
        if not self._done:
            yield self  # whoever drives the coroutine resumes it when this is done
        return self.result()

    def __del__(self) -> None:
        if self._error is not None and not self._seen:
            logger.error("a future failed and nobody looked: %r", self._error)

    def _resolve(self, value: T | None, error: BaseException | None) -> None:
        if self._done:
            raise RuntimeError("the promise has been kept already")
        self._value = value
        self._error = error
        self._done = True
        continuations = self._continuations
        self._continuations = []
        for continuation in continuations:
            self._call(continuation)

    def _call(self, continuation: Callable[["Future[T]"], object]) -> None:
        try:
            continuation(self)
        except Exception:
            logger.exception("a continuation failed: %r", continuation)


class Promise(Generic[T]):
    """The giving end of ``future``. Dropped unkept, it fails the future with BrokenPromiseError."""

    def __init__(self) -> None:
        self.future: Future[T] = Future()

    def set_value(self, value: T) -> None:
        """Give the result. Raises RuntimeError when something was given before."""
        self.future._resolve(value, None)

    def set_error(self, error: BaseException) -> None:
        """Give an error in its place. Raises RuntimeError when something was given before."""
        self.future._resolve(None, error)

    def follow(self, future: Future[T]) -> None:
        """Give what ``future``, which is done, was given."""
        self.future._resolve(future._value, future.error())

    def __del__(self) -> None:
        if not self.future.done():
            self.set_error(BrokenPromiseError("the promise was dropped: nobody is left to keep it"))


def ready(value: T) -> Future[T]:
    """A future whose result is there."""
    promise: Promise[T] = Promise()
    promise.set_value(value)
    return promise.future


def failed(error: BaseException) -> Future[Any]:
    """A future whose error is there."""
    promise: Promise[Any] = Promise()
    promise.set_error(error)
    return promise.future


def when_all(futures: Iterable[Future[T]]) -> Future[list[T]]:
    """A future of all results, in order; ready when all are. The first error, in order, fails it, then too."""
    pending = list(futures)
    if not pending:
        return ready([])
    promise: Promise[list[T]] = Promise()
    left = len(pending)

    def one_done(_: Future[T]) -> None:
        nonlocal left
        left -= 1
        if left:
            return
        errors = [error for error in (future.error() for future in pending) if error is not None]
        if errors:
            promise.set_error(errors[0])
        else:
            promise.set_value([future.result() for future in pending])

    for future in pending:
        future.when_done(one_done)
    return promise.future
