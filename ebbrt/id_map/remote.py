"""The Global Id Map between nodes: a back-end's store, and what answers it in the front-end.

A request is a call to the front-end's map: a packed list ``[operation, time limit in ns, id, ...]``, then the
operation's own: ``set`` data; ``compare_and_set`` what is expected (or nil) and data; ``next_change`` a version. The
reply is ``[OK, result]``, where an entry is ``[version, data]``, or ``[code of the error, text]``. The front-end gives
up somewhat before the caller would, so that the caller is told more than silence.

What a node sends is checked and bounded here: bad requests are answered with an error and counted.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from ebbrt.ebb import GLOBAL_ID_MAP
from ebbrt.future import Future, Promise, failed, ready
from ebbrt.id_map.global_id_map import (
    LARGEST_ID,
    LARGEST_VALUE,
    SECOND,
    Entry,
    IdMapError,
    IdMapService,
    IdMapStore,
    IdMapTooLargeError,
    IdMapUnavailableError,
    IdMapUnknownOutcomeError,
)
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import (
    BackPressureError,
    Messenger,
    MessengerError,
    NodeId,
    pack,
    unpack,
)

GET, SET, COMPARE_AND_SET, DELETE, NEXT_CHANGE = range(1, 6)
OK, FAILED, UNAVAILABLE, UNKNOWN_OUTCOME, TOO_LARGE = range(5)
ERRORS: dict[int, type[IdMapError]] = {
    FAILED: IdMapError,
    UNAVAILABLE: IdMapUnavailableError,
    UNKNOWN_OUTCOME: IdMapUnknownOutcomeError,
    TOO_LARGE: IdMapTooLargeError,
}
CODES = {error: code for code, error in ERRORS.items()}

LONGEST_WAIT = 60 * SECOND
MOST_PENDING = 1024  # requests of one node that are not answered yet


class RemoteStore(IdMapStore):
    """The front-end's store, asked by messages."""

    def __init__(self, messenger: Messenger, front_end: NodeId, allocator: MemoryAllocator) -> None:
        self._messenger = messenger
        self._front_end = front_end
        self._allocator = allocator
        self._closed = False
        self.requests = 0
        self.unavailable = 0
        self.unknown_outcomes = 0

    def get(self, ebb_id: int, timeout: int) -> Future[Entry]:
        """See IdMapStore."""
        return self._ask(False, _read_entry, timeout, GET, ebb_id)

    def set(self, ebb_id: int, data: bytes, timeout: int) -> Future[None]:
        """See IdMapStore."""
        return self._ask(True, _read_nothing, timeout, SET, ebb_id, data)

    def compare_and_set(self, ebb_id: int, expected: bytes | None, data: bytes, timeout: int) -> Future[bool]:
        """See IdMapStore."""
        return self._ask(True, bool, timeout, COMPARE_AND_SET, ebb_id, expected, data)

    def delete(self, ebb_id: int, timeout: int) -> Future[bool]:
        """See IdMapStore."""
        return self._ask(True, bool, timeout, DELETE, ebb_id)

    def next_change(self, ebb_id: int, version: int, timeout: int) -> Future[Entry]:
        """See IdMapStore."""
        return self._ask(False, _read_entry, timeout, NEXT_CHANGE, ebb_id, version)

    def close(self, timeout: int) -> Future[None]:
        """Send nothing more; the Messenger fails what is pending."""
        self._closed = True
        return ready(None)

    def statistics(self) -> dict[str, int]:
        """Requests sent; those that failed, by what is known of them."""
        return {
            "requests": self.requests,
            "unavailable": self.unavailable,
            "unknown_outcomes": self.unknown_outcomes,
        }

    def _ask(
        self, changes: bool, read: Callable[[Any], Any], timeout: int, operation: int, *arguments: Any
    ) -> Future[Any]:
        """A future of ``read(result)``; ``changes``: it may have been carried out although no answer comes."""
        if self._closed:
            return failed(IdMapUnavailableError("the Global Id Map has been closed"))
        self.requests += 1
        try:
            data = pack(self._allocator, [operation, timeout, *arguments])
            answer = self._messenger.call(self._front_end, GLOBAL_ID_MAP, data, timeout)
        except (MessengerError, MemoryError) as error:
            self.unavailable += 1
            return failed(IdMapUnavailableError(f"the front-end was not asked: {error}"))
        promise: Promise[Any] = Promise()
        answer.when_done(partial(self._answered, promise, changes, read))
        return promise.future

    def _answered(
        self, promise: Promise[Any], changes: bool, read: Callable[[Any], Any], answer: Future[IOBuf]
    ) -> None:
        error = answer.error()
        if error is not None:
            promise.set_error(self._lost(changes, error))
            return
        try:
            code, result = unpack(answer.result())
            if code == OK:
                promise.set_value(read(result))
                return
            failure = ERRORS[code](str(result))
        except (ValueError, TypeError, KeyError):
            failure = self._lost(changes, ValueError("its answer makes no sense"))
        promise.set_error(failure)

    def _lost(self, changes: bool, error: BaseException) -> IdMapError:
        """The error of a request that got no answer."""
        if changes and not isinstance(error, BackPressureError):  # that one was never sent
            self.unknown_outcomes += 1
            return IdMapUnknownOutcomeError(f"the front-end did not say whether the change was made: {error}")
        self.unavailable += 1
        return IdMapUnavailableError(f"the front-end did not answer: {error}")


def _read_entry(result: Any) -> Entry:
    version, data = result
    if type(version) is not int or not (data is None or isinstance(data, bytes)):
        raise ValueError("not an entry")
    return Entry(version, data)


def _read_nothing(result: Any) -> None:
    if result is not None:
        raise ValueError("not the answer to a set")


class IdMapServer(IdMapService):
    """Answers back-ends from the front-end's store."""

    def __init__(self, store: IdMapStore, allocator: MemoryAllocator) -> None:
        self._store = store
        self._allocator = allocator
        self._pending: dict[int, int] = {}  # requests by node
        self.requests = 0
        self.malformed = 0
        self.too_many = 0

    def answer(self, sender: NodeId, data: IOBuf) -> Future[IOBuf]:
        """See IdMapService."""
        self.requests += 1
        try:
            request = unpack(data)
            operation, timeout, arguments = _check_request(request)
        except (ValueError, TypeError) as error:
            self.malformed += 1
            return ready(self._reply([FAILED, f"the request makes no sense: {error}"]))
        pending = self._pending.get(sender.number, 0)
        if pending == MOST_PENDING:
            self.too_many += 1
            return ready(self._reply([UNAVAILABLE, f"the node has {pending} requests pending: wait for answers"]))
        self._pending[sender.number] = pending + 1
        promise: Promise[IOBuf] = Promise()
        self._carry_out(operation, timeout, arguments).when_done(partial(self._done, promise, sender.number))
        return promise.future

    def statistics(self) -> dict[str, int]:
        """Requests from other nodes, those that made no sense or were too many, and those without an answer yet."""
        return {
            "requests": self.requests,
            "malformed": self.malformed,
            "too_many": self.too_many,
            "pending": sum(self._pending.values()),
        }

    def _carry_out(self, operation: int, timeout: int, arguments: list[Any]) -> Future[Any]:
        limit = timeout - timeout // 4
        if operation == GET:
            return self._store.get(arguments[0], limit)
        if operation == SET:
            return self._store.set(arguments[0], arguments[1], limit)
        if operation == COMPARE_AND_SET:
            return self._store.compare_and_set(arguments[0], arguments[1], arguments[2], limit)
        if operation == DELETE:
            return self._store.delete(arguments[0], limit)
        return self._store.next_change(arguments[0], arguments[1], limit)

    def _done(self, promise: Promise[IOBuf], number: int, done: Future[Any]) -> None:
        left = self._pending[number] - 1
        if left:
            self._pending[number] = left
        else:
            del self._pending[number]
        error = done.error()
        if error is None:
            reply = [OK, done.result()]
        else:
            reply = [CODES.get(type(error), FAILED), str(error)]  # type: ignore[arg-type]
        try:
            promise.set_value(self._reply(reply))
        except MemoryError as no_room:
            promise.set_error(no_room)

    def _reply(self, reply: list[Any]) -> IOBuf:
        return pack(self._allocator, reply)


def _check_request(request: Any) -> tuple[int, int, list[Any]]:
    """Operation, time limit and arguments of a request that makes sense. Raises ValueError, TypeError."""
    operation, timeout, *arguments = request
    kinds = _ARGUMENTS.get(operation)
    if kinds is None:
        raise ValueError(f"no operation {operation!r}")
    if type(timeout) is not int or timeout <= 0:
        raise ValueError(f"no time limit: {timeout!r}")
    if len(arguments) != len(kinds) or not all(check(value) for check, value in zip(kinds, arguments, strict=True)):
        raise ValueError(f"not the arguments of operation {operation}")
    return operation, min(timeout, LONGEST_WAIT), arguments


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_ID


def _is_version(value: Any) -> bool:
    return type(value) is int


def _is_data(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) <= LARGEST_VALUE


def _is_data_or_none(value: Any) -> bool:
    return value is None or _is_data(value)


_ARGUMENTS: dict[Any, tuple[Callable[[Any], bool], ...]] = {
    GET: (_is_id,),
    SET: (_is_id, _is_data),
    COMPARE_AND_SET: (_is_id, _is_data_or_none, _is_data),
    DELETE: (_is_id,),
    NEXT_CHANGE: (_is_id, _is_version),
}
