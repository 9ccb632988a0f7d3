"""Futures and promises: a result that may come later, and what is to happen then.

A ``Promise`` is the end that gives the result, once; its ``Future`` is the end that gets it. Continuations given to
``then`` run on the core that resolves the promise, as part of the event that does, in the order in which they were
given; with a future that is ready already they run at once. Paper section 3.3 (continuation based programming).

``await future`` works in ``async def`` events; ``future.block()`` in any event.
"""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable
from typing import Any, Generic, TypeVar, cast

from ebbrt import ebb
from ebbrt.events.context import Context

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
        self._continuations: list[Callable[[Future[T]], object] | _Link] = []
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
            try:
                raise error
            finally:
                del self, error  # the traceback keeps this frame, and so would be kept by what the frame keeps
        return cast(T, self._value)

    def when_done(self, continuation: Callable[["Future[T]"], object]) -> None:
        """Call ``continuation(self)`` once the future is done, at once when it is.

        What it raises is logged, and counted among the failures of the core's Event Manager.
        """
        self._seen = True
        if self._done:
            self._call(continuation)
        else:
            self._continuations.append(continuation)

    def then(self, function: Callable[[T], U]) -> "Future[U]":
        """A future of ``function(result)``; an error, of this future or of the function, passes into it."""
        promise: Promise[U] = Promise()
        self._link(_Then(promise, function))
        return promise.future

    def flatten(self) -> "Future[Any]":
        """A future of a future as one: ready when the inner one is."""
        promise: Promise[Any] = Promise()
        self._link(_Flatten(promise))
        return promise.future

    def within(self, nanoseconds: int) -> "Future[T]":
        """This future, or TimedOutError when it is not done after that time of this core's clock."""
        if self._done:
            return self
        promise: Promise[T] = Promise()
        link = _Within(promise, self, nanoseconds)
        self._link(link)
        link.timer = ebb.event_manager.set_timer(nanoseconds, link.expire)
        return promise.future

    def block(self) -> T:
        """The result, for which the running event waits while others run. Raises the error that took its place.

        Raises ContextError outside of an event, where nothing else could run; use ``then`` there.
        """
        if not self._done:
            manager = ebb.event_manager
            manager.check_can_block()
            context = Context()
            self.when_done(lambda _: manager.activate_context(context))
            manager.save_context(context)
        return self.result()

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
        self._set(value, error)
        _continue(self)

    def _set(self, value: T | None, error: BaseException | None) -> None:
        self._value = value
        self._error = error
        self._done = True

    def _link(self, link: "_Link") -> None:
        """Let ``link`` settle its future by what becomes of this one."""
        self._seen = True
        if not self._done:
            self._continuations.append(link)
            return
        target = link.settle(self)
        if target is not None:
            _continue(target)

    def _call(self, continuation: Callable[["Future[T]"], object]) -> None:
        try:
            continuation(self)
        except Exception:
            logger.exception("a continuation failed: %r", continuation)
            manager = ebb.current_core().representative(ebb.EVENT_MANAGER)
            if manager is not None:
                manager.failures += 1


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
    link = _All(promise, pending)
    for future in pending:
        future._link(link)
    return promise.future


def _continue(done: Future[Any]) -> None:
    """Do what follows from ``done``, and from what that settles, one after the other: a chain needs no deep stack."""
    settled = deque([done])
    while settled:
        future = settled.popleft()
        continuations = future._continuations
        future._continuations = []
        for continuation in continuations:
            if isinstance(continuation, _Link):
                target = continuation.settle(future)
                if target is not None:
                    settled.append(target)
            else:
                future._call(continuation)


class _Link:
    """Passes what becomes of one future on to another, that of ``promise``."""

    def __init__(self, promise: Promise[Any]) -> None:
        self.promise = promise

    def settle(self, done: Future[Any]) -> Future[Any] | None:
        """``done`` is done: give the other future its result, and return it if that makes it done."""
        return self.give(done._value, done.error())

    def give(self, value: object, error: BaseException | None) -> Future[Any]:
        """Settle the other future, without doing yet what follows from it."""
        self.promise.future._set(value, error)
        return self.promise.future


class _Then(_Link):
    def __init__(self, promise: Promise[Any], function: Callable[[Any], Any]) -> None:
        super().__init__(promise)
        self.function = function

    def settle(self, done: Future[Any]) -> Future[Any]:
        if done.error() is not None:
            return self.give(None, done.error())
        try:
            return self.give(self.function(done._value), None)
        except Exception as raised:
            return self.give(None, raised)


class _Flatten(_Link):
    def settle(self, done: Future[Any]) -> Future[Any] | None:
        if done.error() is not None:
            return self.give(None, done.error())
        inner = done._value
        if not isinstance(inner, Future):
            return self.give(None, TypeError(f"flatten needs a future of a future, not of {inner!r}"))
        if inner.done():
            return self.give(inner._value, inner.error())
        inner._link(_Link(self.promise))
        return None


class _Within(_Link):
    def __init__(self, promise: Promise[Any], future: Future[Any], limit: int) -> None:
        super().__init__(promise)
        self.future = future
        self.limit = limit
        self.timer: Any = None

    def settle(self, done: Future[Any]) -> Future[Any]:
        self.timer.stop()
        self.timer = None
        return self.give(done._value, done.error())

    def expire(self) -> None:
        self.timer = None
        self.future._continuations.remove(self)
        self.promise.set_error(TimedOutError(f"no result within {self.limit / 1e9:g} s"))


class _All(_Link):
    def __init__(self, promise: Promise[Any], pending: list[Future[Any]]) -> None:
        super().__init__(promise)
        self.pending = pending
        self.left = len(pending)

    def settle(self, done: Future[Any]) -> Future[Any] | None:
        self.left -= 1
        if self.left:
            return None
        errors = [error for error in (future.error() for future in self.pending) if error is not None]
        if errors:
            return self.give(None, errors[0])
        return self.give([future._value for future in self.pending], None)
