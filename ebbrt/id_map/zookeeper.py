"""The Global Id Map's other store: ZooKeeper, which the paper suggests for it, through the ``kazoo`` client.

Each id is a znode ``/ebbrt/<application>/<id>``, and its version here is the transaction that last wrote it (mzxid).
An id that was deleted keeps its znode, empty, so that the deletion has a version too. And one made anew would count
its versions from 0 again: a compare-and-set, which goes by that count, could take it for the one it read. ``close``
removes them all.

kazoo has threads of its own. They touch nothing here: what they bring is handed to the event loop. An operation is a
coroutine whose steps are requests to the server, and has one deadline for all of them:

- without a connection it waits for one; if none comes, nothing was changed, and the error says so;
- a read that was lost with the connection is done again;
- a change that was lost is not: its outcome is unknown, and the error says so.

With the connection all watches are lost; each wakes up whoever waits on it, who looks again and goes by the version.
So it does not matter whether the server came back at once, with the session or without.

Whoever can reach the ZooKeeper server can read and write the map.
"""

import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import (
    BadVersionError,
    ConnectionClosedError,
    ConnectionLoss,
    KazooException,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    SessionExpiredError,
)

from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future, Promise, TimedOutError, failed
from ebbrt.id_map.global_id_map import (
    ABSENT,
    SECOND,
    Entry,
    IdMapError,
    IdMapStore,
    IdMapUnavailableError,
    IdMapUnknownOutcomeError,
)
from ebbrt.steps import run_steps

logger = logging.getLogger(__name__)

T = TypeVar("T")

ROOT = "/ebbrt"
PRESENT = b"="  # in front of the data, so that no data are not the same as none
DEFAULT_SESSION_TIMEOUT = 5 * SECOND
LOST = (ConnectionLoss, SessionExpiredError, ConnectionClosedError)
ANY_VERSION = -1
NOTHING = Entry(ABSENT, None)


class _Wait(Promise[Any]):
    """A promise with a deadline, after which its future fails with TimedOutError."""

    def __init__(self, store: "ZooKeeperStore", deadline: int) -> None:
        super().__init__()
        self._store = store
        store.waits.add(self)
        self._timer = store.events.set_timer(max(deadline - store.events.clock.now(), 0), self._expire)

    def end(self, value: Any = None, error: BaseException | None = None) -> None:
        """Give ``value``, or ``error``, unless it is too late."""
        if not self.future.done():
            self._store.waits.discard(self)
            self._timer.stop()
            if error is None:
                self.set_value(value)
            else:
                self.set_error(error)

    def _expire(self) -> None:
        self.end(error=TimedOutError("ZooKeeper did not answer in time"))


class _Watcher:
    """One id's watch on the server, and who waits for it. It fires once; the next wait sets another."""

    def __init__(self, store: "ZooKeeperStore", ebb_id: int) -> None:
        self._store = store
        self._ebb_id = ebb_id
        self.waits: list[_Wait] = []

    def fire(self, event: object) -> None:
        """The id was changed, or the connection was lost. On kazoo's thread."""
        self._store.events.spawn_from_thread(self._fired)

    def _fired(self) -> None:
        self._store.watches_fired += 1
        if self._store.watchers.get(self._ebb_id) is self:
            del self._store.watchers[self._ebb_id]
        waits, self.waits = self.waits, []
        for wait in waits:
            wait.end()


class ZooKeeperStore(IdMapStore):
    """The map of one application on the servers ``hosts`` ("address:port,...").

    ``application`` names it there and must be this run's alone. A front-end that is killed leaves its znodes behind:
    ``zkCli.sh deleteall /ebbrt/<application>`` removes them.
    """

    def __init__(
        self, events: EventManager, hosts: str, application: str, session_timeout: int = DEFAULT_SESSION_TIMEOUT
    ) -> None:
        if not application or "/" in application or application in (".", ".."):
            raise ValueError(f"{application!r} cannot name an application in ZooKeeper: use letters, digits and -")
        self.events = events
        self.waits: set[_Wait] = set()
        self.watchers: dict[int, _Watcher] = {}
        self._hosts = hosts
        self._path = f"{ROOT}/{application}"
        self._connected = False
        self._closed: Promise[None] | None = None
        self._for_connection: list[_Wait] = []
        self._turns: dict[str, deque[_Wait]] = {}  # for each znode that is being worked on, those who wait for it
        self.requests = 0
        self.repeated_reads = 0
        self.unavailable = 0
        self.unknown_outcomes = 0
        self.connections = 0
        self.sessions_lost = 0
        self.watches_fired = 0
        self._client = KazooClient(
            hosts,
            timeout=session_timeout / SECOND,
            connection_retry={"max_tries": -1, "delay": 0.05, "backoff": 2, "max_delay": 1.0},
        )
        self._client.add_listener(self._connection_changed)
        self._client.start_async()

    # The store

    def get(self, ebb_id: int, timeout: int) -> Future[Entry]:
        """See IdMapStore."""
        return self._start(self._in_turn, ebb_id, timeout, self._get)

    def set(self, ebb_id: int, data: bytes, timeout: int) -> Future[None]:
        """See IdMapStore."""
        return self._start(self._in_turn, ebb_id, timeout, self._set, data)

    def compare_and_set(self, ebb_id: int, expected: bytes | None, data: bytes, timeout: int) -> Future[bool]:
        """See IdMapStore."""
        return self._start(self._in_turn, ebb_id, timeout, self._compare_and_set, expected, data)

    def delete(self, ebb_id: int, timeout: int) -> Future[bool]:
        """See IdMapStore."""
        return self._start(self._in_turn, ebb_id, timeout, self._delete)

    def next_change(self, ebb_id: int, version: int, timeout: int) -> Future[Entry]:
        """See IdMapStore."""
        return self._start(self._next_change, ebb_id, timeout, version)

    def close(self, timeout: int) -> Future[None]:
        """Remove the application's znodes and end the session.

        Fails with IdMapUnavailableError when the server cannot be reached in time: they are still there. Stopping
        kazoo takes up to the session's time-out on top, when the server does not answer.
        """
        if self._closed is None:
            self._closed = Promise()
            for wait in list(self.waits):
                wait.end(error=_closed())
            run_steps(self._close(timeout)).when_done(self._closed.follow)
        return self._closed.future

    def statistics(self) -> dict[str, int]:
        """Requests to the server, reads repeated, failures by kind, connections made, sessions lost, watches."""
        return {
            "requests": self.requests,
            "repeated_reads": self.repeated_reads,
            "unavailable": self.unavailable,
            "unknown_outcomes": self.unknown_outcomes,
            "connections": self.connections,
            "sessions_lost": self.sessions_lost,
            "watches_fired": self.watches_fired,
            "waiting": len(self.waits),
        }

    # The operations, in steps

    async def _in_turn(
        self, path: str, deadline: int, operation: Callable[..., Coroutine[Any, Any, T]], *more: Any
    ) -> T:
        """Start an operation when those on the same id before it have ended: their steps must not mix."""
        if path not in self._turns:
            self._turns[path] = deque()
        else:
            wait = _Wait(self, deadline)
            self._turns[path].append(wait)
            try:
                await wait.future
            except TimedOutError:
                self.unavailable += 1
                raise IdMapUnavailableError(f"earlier operations on {path} took all the time there was") from None
        try:
            return await operation(path, deadline, *more)
        finally:
            self._next_turn(path)

    def _next_turn(self, path: str) -> None:
        turns = self._turns[path]
        while turns:
            wait = turns.popleft()
            if not wait.future.done():
                wait.end()
                return
        del self._turns[path]

    async def _get(self, path: str, deadline: int) -> Entry:
        entry, _ = await self._look(path, deadline)
        return entry

    async def _set(self, path: str, deadline: int, data: bytes) -> None:
        while not await self._put(path, deadline, ANY_VERSION, PRESENT + data):
            if await self._create(path, deadline, PRESENT + data):
                return

    async def _compare_and_set(self, path: str, deadline: int, expected: bytes | None, data: bytes) -> bool:
        while True:
            entry, version = await self._look(path, deadline)
            if entry.data != expected:
                return False
            if version is None:
                done = await self._create(path, deadline, PRESENT + data)
            else:
                done = await self._put(path, deadline, version, PRESENT + data)
            if done:
                return True

    async def _delete(self, path: str, deadline: int) -> bool:
        while True:
            entry, version = await self._look(path, deadline)
            if version is None or entry.data is None:
                return False
            if await self._put(path, deadline, version, b""):
                return True

    async def _next_change(self, path: str, deadline: int, version: int) -> Entry:
        ebb_id = int(path.rpartition("/")[2])
        while True:
            watcher = self.watchers.setdefault(ebb_id, _Watcher(self, ebb_id))
            wait = _Wait(self, deadline)  # before the watch is set: it may fire at any time from then on
            watcher.waits.append(wait)
            try:
                await self._read(deadline, self._client.exists_async, path, watcher.fire)
                entry, _ = await self._look(path, deadline)
                if entry.version != version:
                    return entry
                await wait.future
            except TimedOutError:
                return entry
            finally:
                wait.end()
                wait.future.error()  # it may have failed too, when something else did first
                if wait in watcher.waits:
                    watcher.waits.remove(wait)

    async def _close(self, timeout: int) -> None:
        try:
            await self._remove(self.events.clock.now() + timeout)
        except IdMapError as error:
            raise IdMapUnavailableError(f"{self._path} is left in ZooKeeper at {self._hosts}: {error}") from None
        finally:
            # Stopping waits for kazoo's threads, which may be waiting for the server.
            stopped: Promise[None] = Promise()
            threading.Thread(target=self._stop, args=(stopped,)).start()
            await stopped.future

    async def _remove(self, deadline: int) -> None:
        try:
            names = await self._read(deadline, self._client.get_children_async, self._path)
        except NoNodeError:
            return
        removals = [self._submit(deadline, self._client.delete_async, f"{self._path}/{name}") for name in names]
        for removal in [*removals, self._submit(deadline, self._client.delete_async, self._path)]:
            await _unless(NoNodeError, removal)
        await _unless(NotEmptyError, self._submit(deadline, self._client.delete_async, ROOT))

    def _stop(self, stopped: Promise[None]) -> None:
        """End kazoo's threads. On a thread of its own."""
        try:
            self._client.stop()
            self._client.close()
        except Exception:  # of whatever kind: there is nothing else to be done about it
            logger.exception("kazoo did not stop well")
        self.events.spawn_from_thread(partial(stopped.set_value, None))

    # Requests to the server

    async def _look(self, path: str, deadline: int) -> tuple[Entry, int | None]:
        """What is there, and the znode's count of versions, None when there is no znode."""
        try:
            data, stat = await self._read(deadline, self._client.get_async, path)
        except NoNodeError:
            return NOTHING, None
        return Entry(stat.mzxid, data[len(PRESENT) :] if data else None), stat.version

    async def _put(self, path: str, deadline: int, version: int, data: bytes) -> bool:
        """Write the znode if its count of versions is ``version``; whether it was, and was there."""
        try:
            await self._change(deadline, self._client.set_async, path, data, version)
        except (NoNodeError, BadVersionError):
            return False
        return True

    async def _create(self, path: str, deadline: int, data: bytes) -> bool:
        """Make the znode; whether it was not there."""
        try:
            await self._change(deadline, partial(self._client.create_async, makepath=True), path, data)
        except NodeExistsError:
            return False
        return True

    async def _read(self, deadline: int, request: Callable[..., Any], *arguments: Any) -> Any:
        while True:
            await self._connection(deadline)
            try:
                return await self._submit(deadline, request, *arguments)
            except LOST:
                self.repeated_reads += 1
            except TimedOutError as error:
                self.unavailable += 1
                raise IdMapUnavailableError(f"{error}: {self._hosts}") from None

    async def _change(self, deadline: int, request: Callable[..., Any], *arguments: Any) -> None:
        await self._connection(deadline)
        try:
            await self._submit(deadline, request, *arguments)
        except (*LOST, TimedOutError, IdMapUnavailableError) as error:  # the last: closed meanwhile
            self.unknown_outcomes += 1
            raise IdMapUnknownOutcomeError(
                f"ZooKeeper at {self._hosts} was lost before it said whether the change was made: {error!r}"
            ) from None

    async def _connection(self, deadline: int) -> None:
        if self._connected:
            return
        wait = _Wait(self, deadline)
        self._for_connection.append(wait)
        try:
            await wait.future
        except TimedOutError:
            self._for_connection.remove(wait)
            self.unavailable += 1
            raise IdMapUnavailableError(f"no connection to ZooKeeper at {self._hosts}") from None

    def _submit(self, deadline: int, request: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Send one request; the future fails with kazoo's error, or TimedOutError."""
        self.requests += 1
        wait = _Wait(self, deadline)
        try:
            request(*arguments).rawlink(partial(self._answered, wait))
        except KazooException as error:
            wait.end(error=error)
        return wait.future

    def _answered(self, wait: _Wait, result: Any) -> None:
        """An answer has come. On kazoo's thread."""
        if result.exception is not None:
            self.events.spawn_from_thread(partial(wait.end, error=result.exception))
        else:
            self.events.spawn_from_thread(partial(wait.end, result.value))

    # The connection

    def _connection_changed(self, state: str) -> None:
        """The connection came or went. On kazoo's thread."""
        self.events.spawn_from_thread(partial(self._connection_is, state))

    def _connection_is(self, state: str) -> None:
        self._connected = state == KazooState.CONNECTED
        if state == KazooState.LOST:
            self.sessions_lost += 1
        if self._connected:
            self.connections += 1
            waits, self._for_connection = self._for_connection, []
            for wait in waits:
                wait.end()

    def _start(
        self, operation: Callable[..., Coroutine[Any, Any, T]], ebb_id: int, timeout: int, *more: Any
    ) -> Future[T]:
        if self._closed is not None:
            return failed(_closed())
        steps = operation(f"{self._path}/{ebb_id}", self.events.clock.now() + timeout, *more)
        return run_steps(_with_our_errors(steps))


async def _with_our_errors(steps: Coroutine[Any, Any, T]) -> T:
    try:
        return await steps
    except KazooException as error:
        raise IdMapError(f"ZooKeeper refused: {error!r}") from None


async def _unless(expected: type[Exception], removal: Awaitable[Any]) -> None:
    """Wait for a removal that may find ``expected``."""
    try:
        await removal
    except expected:
        pass
    except (KazooException, TimedOutError) as error:
        raise IdMapUnavailableError(repr(error)) from None


def _closed() -> IdMapUnavailableError:
    return IdMapUnavailableError("the Global Id Map has been closed")
