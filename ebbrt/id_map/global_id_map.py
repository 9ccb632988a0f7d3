"""The Global Id Map Ebb: bytes by Ebb id, the same seen from every node of the application.

An Ebb puts here what its representatives on other nodes are made of (paper section 3.1.2). The data are in a *store*:
in the front-end a ``TableStore`` (the paper's table) or a ``ZooKeeperStore``; in a back-end a ``RemoteStore``, which
asks the front-end by messages. ``GlobalIdMap`` is the Ebb, the same above each of them.

**What is promised.** Operations that one node starts one after the other take effect in that order. Each resolves or
fails within its time limit. A failure says what it means for the data:

- ``IdMapUnavailableError``: the store could not be reached. Nothing was changed.
- ``IdMapUnknownOutcomeError``: the store was lost after the change had been sent; it may have been made, once, or not.
  Nobody repeats it silently: ``get`` says what is there, ``compare_and_set`` repeats without harm.

**Watches** go by version, not by message: each change has a version that never comes back, and a watch asks for what
is there once its version is not the one it saw last. So changes that follow each other quickly may be seen as one,
none is seen after a later one, and the last is never missed, whatever was lost between.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

from ebbrt.events.event_manager import EventManager
from ebbrt.events.timers import Timer
from ebbrt.future import Future, failed
from ebbrt.iobuf import IOBuf
from ebbrt.messages import MessageHandler, NodeId

T = TypeVar("T")

# Two values, which a compare-and-set carries, fit in a message (1 MiB), and one in a znode (1 MB).
LARGEST_VALUE = 500 << 10
LARGEST_ID = (1 << 63) - 1
SECOND = 1_000_000_000
DEFAULT_TIMEOUT = 5 * SECOND

ABSENT = 0  # the version of an id that never had data
NEVER_SEEN = -1  # the version of no value at all
# How long a watch waits for one answer. It ends nothing: the watch asks again.
WATCH_PATIENCE = 20 * SECOND
FIRST_PAUSE = SECOND // 20  # before a watch asks again after a failure; doubled up to ...
LONGEST_PAUSE = SECOND


class IdMapError(OSError):
    """An operation on the Global Id Map failed."""


class IdMapUnavailableError(IdMapError):
    """The store cannot be reached. Nothing was changed."""


class IdMapUnknownOutcomeError(IdMapError):
    """The store was lost after a change was sent: it may have been made or not. ``get`` tells."""


class IdMapTooLargeError(IdMapError):
    """More than LARGEST_VALUE bytes in one value, or more in all than the store takes. Nothing was changed."""


class Entry(NamedTuple):
    """What a store has for an id; ``data`` is None when there is nothing."""

    version: int
    data: bytes | None


class IdMapStore:
    """Where the map's data are. Arguments have been checked; times are nanoseconds; errors are IdMapErrors."""

    def get(self, ebb_id: int, timeout: int) -> Future[Entry]:
        """What is there."""
        raise NotImplementedError

    def set(self, ebb_id: int, data: bytes, timeout: int) -> Future[None]:
        """Put ``data`` there."""
        raise NotImplementedError

    def compare_and_set(self, ebb_id: int, expected: bytes | None, data: bytes, timeout: int) -> Future[bool]:
        """Put ``data`` there if ``expected`` is there (None: nothing); whether it was."""
        raise NotImplementedError

    def delete(self, ebb_id: int, timeout: int) -> Future[bool]:
        """Leave nothing there; whether there was something."""
        raise NotImplementedError

    def next_change(self, ebb_id: int, version: int, timeout: int) -> Future[Entry]:
        """What is there once its version is not ``version``; what is there after ``timeout`` if it still is."""
        raise NotImplementedError

    def close(self, timeout: int) -> Future[None]:
        """Fail what is pending and let go of everything; ready when nothing is left behind."""
        raise NotImplementedError

    def statistics(self) -> dict[str, int]:
        """The store's counters."""
        raise NotImplementedError


class IdMapService:
    """What answers the requests of other nodes; in the front-end (``ebbrt.id_map.remote``)."""

    def answer(self, sender: NodeId, data: IOBuf) -> Future[IOBuf]:
        """The reply to one request. Never fails for what the sender did."""
        raise NotImplementedError

    def statistics(self) -> dict[str, int]:
        """Requests answered, and refused."""
        raise NotImplementedError


class Watch:
    """One watched id; made by ``GlobalIdMap.watch``. Runs until ``stop``."""

    def __init__(self, id_map: "GlobalIdMap", ebb_id: int, callback: Callable[[bytes | None], object]) -> None:
        self._map = id_map
        self._ebb_id = ebb_id
        self._callback: Callable[[bytes | None], object] | None = callback
        self._version = NEVER_SEEN
        self._pause = FIRST_PAUSE
        self._timer: Timer | None = None

    def stop(self) -> None:
        """Call the callback no more, even for changes made before."""
        self._callback = None
        if self._timer is not None:
            self._timer.stop()
        self._map.forget(self)

    def start(self) -> None:
        """Look what is there now: only what comes after is a change."""
        self._map.store.get(self._ebb_id, DEFAULT_TIMEOUT).when_done(self._started)

    def _started(self, done: Future[Entry]) -> None:
        if done.error() is not None:
            # Changes may pass unseen before the next try: then whatever is there counts as one.
            self._ask_later()
        else:
            self._version = done.result().version
            self._ask()

    def _ask(self) -> None:
        if self._callback is not None:
            self._map.store.next_change(self._ebb_id, self._version, WATCH_PATIENCE).when_done(self._answered)

    def _ask_later(self) -> None:
        if self._callback is not None:
            self._map.watch_failures += 1
            self._timer = self._map.events.set_timer(self._pause, self._ask)
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _answered(self, done: Future[Entry]) -> None:
        if done.error() is not None:
            self._ask_later()
            return
        self._pause = FIRST_PAUSE
        entry = done.result()
        if entry.version == self._version:
            self._ask()
        else:
            self._version = entry.version
            # An event of its own: the callback may well change what it watches.
            self._map.events.spawn(partial(self._deliver, entry.data), True)

    def _deliver(self, data: bytes | None) -> None:
        callback = self._callback
        if callback is None:
            return
        self._map.watch_calls += 1
        try:
            callback(data)
        finally:
            self._ask()


class GlobalIdMap(MessageHandler):
    """One node's representative. Every ``timeout`` is in nanoseconds.

    An id that is no id and data that are no bytes raise ValueError and TypeError; all else fails the future.
    """

    def __init__(self, events: EventManager, store: IdMapStore, service: IdMapService | None = None) -> None:
        self.events = events
        self.store = store
        self._service = service
        self._watches: set[Watch] = set()
        self.gets = 0
        self.sets = 0
        self.compare_and_sets = 0
        self.deletes = 0
        self.failures = 0
        self.refused = 0
        self.watch_calls = 0
        self.watch_failures = 0

    def get(self, ebb_id: int, timeout: int = DEFAULT_TIMEOUT) -> Future[bytes | None]:
        """The data of ``ebb_id``, None when there are none. Fails with IdMapUnavailableError."""
        _check(ebb_id, timeout)
        self.gets += 1
        return self._counted(self.store.get(ebb_id, timeout)).then(_data_of)

    def set(self, ebb_id: int, data: bytes, timeout: int = DEFAULT_TIMEOUT) -> Future[None]:
        """Let ``data`` be those of ``ebb_id``. Fails with an IdMapError; the module says which."""
        _check(ebb_id, timeout)
        self.sets += 1
        error = _too_large(ebb_id, data)
        return self._counted(self.store.set(ebb_id, data, timeout) if error is None else failed(error))

    def compare_and_set(
        self, ebb_id: int, expected: bytes | None, data: bytes, timeout: int = DEFAULT_TIMEOUT
    ) -> Future[bool]:
        """As ``set`` if the data are ``expected`` (None: there are none) at that moment; whether they were."""
        _check(ebb_id, timeout)
        self.compare_and_sets += 1
        error = _too_large(ebb_id, data)
        if error is None and expected is not None:
            error = _too_large(ebb_id, expected)
        if error is not None:
            return self._counted(failed(error))
        return self._counted(self.store.compare_and_set(ebb_id, expected, data, timeout))

    def delete(self, ebb_id: int, timeout: int = DEFAULT_TIMEOUT) -> Future[bool]:
        """Leave no data for ``ebb_id``; whether there were some. Fails with an IdMapError."""
        _check(ebb_id, timeout)
        self.deletes += 1
        return self._counted(self.store.delete(ebb_id, timeout))

    def watch(self, ebb_id: int, callback: Callable[[bytes | None], object]) -> Watch:
        """Call ``callback(data)``, None when deleted, after changes from any node, until the Watch is stopped.

        Not for what is there already: a ``get`` after ``watch`` has all that the callback will not be told. (If the
        store could not be reached at first, the callback is told once what is there, changed or not.)
        """
        _check(ebb_id, DEFAULT_TIMEOUT)
        watch = Watch(self, ebb_id, callback)
        self._watches.add(watch)
        watch.start()
        return watch

    def forget(self, watch: Watch) -> None:
        """A watch was stopped."""
        self._watches.discard(watch)

    def receive_message(self, sender: NodeId, data: IOBuf) -> None:
        """Nobody has reason to send one: counted."""
        self.refused += 1

    def receive_call(self, sender: NodeId, data: IOBuf) -> Future[IOBuf]:
        """A back-end's request, which only the front-end answers."""
        if self._service is None:
            self.refused += 1
            raise IdMapError("this node is not the front-end: it has no Global Id Map to ask")
        return self._service.answer(sender, data)

    def close(self, timeout: int = DEFAULT_TIMEOUT) -> Future[None]:
        """Stop all watches and close the store; ready when that has left nothing behind."""
        for watch in list(self._watches):
            watch.stop()
        return self.store.close(timeout)

    def statistics(self) -> dict[str, Any]:
        """Operations by kind, those that failed, watches; the store's counters; in the front-end the service's."""
        figures: dict[str, Any] = {
            "gets": self.gets,
            "sets": self.sets,
            "compare_and_sets": self.compare_and_sets,
            "deletes": self.deletes,
            "failures": self.failures,
            "refused": self.refused,
            "watches": len(self._watches),
            "watch_calls": self.watch_calls,
            "watch_failures": self.watch_failures,
            "store": self.store.statistics(),
        }
        if self._service is not None:
            figures["service"] = self._service.statistics()
        return figures

    def _counted(self, future: Future[T]) -> Future[T]:
        """``future``, whose failure is counted; looking at it does not count as having been told."""
        future.when_done(self._count)
        return future.then(_same)

    def _count(self, done: Future[Any]) -> None:
        if done.error() is not None:
            self.failures += 1


def _same(value: T) -> T:
    return value


def _data_of(entry: Entry) -> bytes | None:
    return entry.data


def _check(ebb_id: int, timeout: int) -> None:
    if not 0 <= ebb_id <= LARGEST_ID:
        raise ValueError(f"{ebb_id} is not an Ebb id: they go from 0 to {LARGEST_ID}")
    if timeout <= 0:
        raise ValueError(f"a time limit of {timeout} ns leaves no time: give nanoseconds, above 0")


def _too_large(ebb_id: int, data: bytes) -> IdMapTooLargeError | None:
    if not isinstance(data, bytes):
        raise TypeError(f"data of the Global Id Map are bytes, not {type(data).__name__}")
    if len(data) <= LARGEST_VALUE:
        return None
    return IdMapTooLargeError(f"{len(data)} bytes for Ebb {ebb_id} are more than a value may have ({LARGEST_VALUE})")
