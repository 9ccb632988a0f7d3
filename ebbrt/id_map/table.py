"""The Global Id Map's default store: a table in the front-end (paper section 3.1.2)."""

from functools import partial

from ebbrt.events.event_manager import EventManager
from ebbrt.events.timers import Timer
from ebbrt.future import Future, Promise, failed, ready
from ebbrt.id_map.global_id_map import ABSENT, Entry, IdMapStore, IdMapTooLargeError, IdMapUnavailableError

# Back-ends fill the table, so it is bounded. An entry counts as its data and what Python spends on it.
MOST_BYTES = 64 << 20
ENTRY_OVERHEAD = 256
# A deletion has a version too, or a watch that missed what was there before it would miss the deletion. So many are
# remembered; to whom the others matter is told once more than need be.
MOST_DELETED = 4096


class _Waiter:
    """One ``next_change`` that has nothing to say yet."""

    def __init__(self) -> None:
        self.promise: Promise[Entry] = Promise()
        self.timer: Timer | None = None


class TableStore(IdMapStore):
    """A dictionary; everything is answered at once, so nothing but ``next_change`` waits."""

    def __init__(self, events: EventManager, most_bytes: int = MOST_BYTES) -> None:
        self._events = events
        self._most_bytes = most_bytes
        self._entries: dict[int, Entry] = {}
        self._deleted: dict[int, Entry] = {}
        self._nothing = Entry(ABSENT, None)  # of all other ids
        self._waiters: dict[int, list[_Waiter]] = {}
        self._version = ABSENT
        self._closed = False
        self.bytes = 0

    def get(self, ebb_id: int, timeout: int) -> Future[Entry]:
        """See IdMapStore."""
        return failed(_closed()) if self._closed else ready(self._entry(ebb_id))

    def set(self, ebb_id: int, data: bytes, timeout: int) -> Future[None]:
        """See IdMapStore."""
        if self._closed:
            return failed(_closed())
        size = self.bytes + _size(Entry(1, data)) - _size(self._entry(ebb_id))
        if size > self._most_bytes:
            return failed(
                IdMapTooLargeError(f"with {len(data)} bytes for Ebb {ebb_id} the table has over {self._most_bytes}")
            )
        self.bytes = size
        self._version += 1
        self._deleted.pop(ebb_id, None)
        self._entries[ebb_id] = Entry(self._version, data)
        self._changed(ebb_id)
        return ready(None)

    def compare_and_set(self, ebb_id: int, expected: bytes | None, data: bytes, timeout: int) -> Future[bool]:
        """See IdMapStore."""
        if not self._closed and self._entry(ebb_id).data != expected:
            return ready(False)
        return self.set(ebb_id, data, timeout).then(_yes)

    def delete(self, ebb_id: int, timeout: int) -> Future[bool]:
        """See IdMapStore."""
        if self._closed:
            return failed(_closed())
        entry = self._entries.pop(ebb_id, None)
        if entry is None:
            return ready(False)
        self.bytes -= _size(entry)
        self._version += 1
        self._deleted[ebb_id] = Entry(self._version, None)
        if len(self._deleted) > MOST_DELETED:
            self._nothing = self._deleted.pop(next(iter(self._deleted)))
        self._changed(ebb_id)
        return ready(True)

    def next_change(self, ebb_id: int, version: int, timeout: int) -> Future[Entry]:
        """See IdMapStore."""
        if self._closed:
            return failed(_closed())
        entry = self._entry(ebb_id)
        if entry.version != version:
            return ready(entry)
        waiter = _Waiter()
        waiter.timer = self._events.set_timer(timeout, partial(self._give_up, ebb_id, waiter))
        self._waiters.setdefault(ebb_id, []).append(waiter)
        return waiter.promise.future

    def close(self, timeout: int) -> Future[None]:
        """See IdMapStore."""
        self._closed = True
        self._entries.clear()
        self.bytes = 0
        for ebb_id in list(self._waiters):
            for waiter in self._take_waiters(ebb_id):
                waiter.promise.set_error(_closed())
        return ready(None)

    def statistics(self) -> dict[str, int]:
        """Entries, the bytes they count as, changes made, and requests that wait for a change."""
        return {
            "entries": len(self._entries),
            "bytes": self.bytes,
            "changes": self._version,
            "waiting": sum(len(waiters) for waiters in self._waiters.values()),
        }

    def _entry(self, ebb_id: int) -> Entry:
        return self._entries.get(ebb_id) or self._deleted.get(ebb_id, self._nothing)

    def _changed(self, ebb_id: int) -> None:
        entry = self._entry(ebb_id)
        for waiter in self._take_waiters(ebb_id):
            waiter.promise.set_value(entry)

    def _take_waiters(self, ebb_id: int) -> list[_Waiter]:
        waiters = self._waiters.pop(ebb_id, [])
        for waiter in waiters:
            if waiter.timer is not None:
                waiter.timer.stop()
        return waiters

    def _give_up(self, ebb_id: int, waiter: _Waiter) -> None:
        waiters = self._waiters[ebb_id]
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[ebb_id]
        waiter.promise.set_value(self._entry(ebb_id))


def _size(entry: Entry) -> int:
    return 0 if entry.data is None else len(entry.data) + ENTRY_OVERHEAD


def _yes(_: None) -> bool:
    return True


def _closed() -> IdMapUnavailableError:
    return IdMapUnavailableError("the Global Id Map has been closed")
