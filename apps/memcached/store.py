"""The table of items: lookups, expiry, flush, CAS numbers, and what is given up when memory is short.

Times are whole seconds since the epoch, as memcached's are. The table is a Python ``dict``: its hash is keyed with a
random secret, so a peer cannot choose colliding keys, and it keeps the order of insertion, which is the order of last
use: an item used again is moved to the end, at most once a minute, as memcached does.
"""

from itertools import islice

from apps.memcached.calendar import Calendar
from apps.memcached.protocol import LONGEST_RELATIVE_EXPIRY
from ebbrt.clock import Clock
from ebbrt.input import compact
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator

SECOND = 1_000_000_000  # nanoseconds
BUMP_INTERVAL = 60  # seconds
ITEM_OVERHEAD = 400  # bytes of Python's own memory that an item costs: objects, key, its place in the dict
ITEM_HEADER = 59  # what memcached counts for an item beside key and value, for the "bytes" statistic
RECLAIM_ITEMS = 32  # given up at a time when node memory itself has run out
DEAD_PER_STORE = 4  # expired, and flushed, items freed with each store at most


class Counters:
    """What STAT shows; the names are memcached's."""

    def __init__(self) -> None:
        self.cmd_get = self.get_hits = self.get_misses = self.get_expired = self.get_flushed = 0
        self.cmd_set = self.cmd_flush = self.cmd_touch = self.touch_hits = self.touch_misses = 0
        self.delete_hits = self.delete_misses = self.incr_hits = self.incr_misses = 0
        self.decr_hits = self.decr_misses = self.cas_hits = self.cas_misses = self.cas_badval = 0
        self.store_too_large = self.store_no_memory = self.total_items = 0
        self.evictions = self.reclaimed = 0


class Item:
    """One stored value: ``value`` is the chain it was received in (None: empty), ``length`` its bytes."""

    def __init__(self, value: IOBuf | None, length: int, flags: int, expires: int, now: int) -> None:
        self.value = value
        self.length = length
        self.flags = flags
        self.expires = expires  # seconds since the epoch; 0: never
        self.used = now  # when it was last moved to the end of the table
        self.cas = 0


class Store:
    """The items of one core, within ``memory_limit`` bytes.

    What is held against the limit is all node memory the allocator has handed out (a buffer that several values
    share counts once, and what packets in flight hold counts too) and ITEM_OVERHEAD for each item.
    ``wall_clock``: nanoseconds since the epoch at the clock's zero.
    """

    def __init__(self, allocator: MemoryAllocator, clock: Clock, memory_limit: int, wall_clock: int) -> None:
        self.allocator = allocator
        self.memory_limit = memory_limit
        self.counters = Counters()
        self.bytes = 0
        self._clock = clock
        self._wall_clock = wall_clock
        self._items: dict[bytes, Item] = {}
        self._cas = 0
        self._flushed: list[dict[bytes, Item]] = []  # tables that a flush has emptied, freed a few items at a time
        self._flushed_items = 0
        self._flush_at = 0  # a flush to come: seconds since the epoch; 0: none
        self._candidates: list[bytes] = []  # for eviction, the least recently used last
        self._candidates_cas = 0
        self._candidates_at = 0
        self._calendar = Calendar()

    def now(self) -> int:
        """Seconds since the epoch."""
        return (self._clock.now() + self._wall_clock) // SECOND

    def size(self) -> int:
        """Items in the table, dead ones not yet freed included."""
        return len(self._items)

    def expiry(self, expiration: int, now: int) -> int:
        """A request's expiration as a time since the epoch; 0: never."""
        if expiration == 0 or expiration > LONGEST_RELATIVE_EXPIRY:
            return expiration
        return now + expiration

    def find(self, key: bytes, now: int) -> Item | None:
        """The living item of that key, marked as used; a dead one is freed."""
        if self._flush_at:
            self._flush_if_due(now)
        item = self._items.get(key)
        if item is None:
            if self._flushed:
                self._count_flushed(key)
            return None
        if item.expires and item.expires <= now:
            self.counters.get_expired += 1
            self._free(key, item)
            return None
        if now - item.used > BUMP_INTERVAL:
            item.used = now
            del self._items[key]
            self._items[key] = item
        return item

    def put(self, key: bytes, item: Item | None, fresh: Item) -> Item:
        """Let ``fresh`` be the value of ``key``, in place of ``item``, which ``find`` has just given; numbers it."""
        if item is None:
            item = fresh
            self._items[key] = item
            self.bytes += ITEM_HEADER + len(key) + fresh.length
            if item.expires:
                self._calendar.add(item.expires, key)
        else:
            self.bytes += fresh.length
            self.bytes -= item.length
            item.value = fresh.value
            item.length = fresh.length
            item.flags = fresh.flags
            self.touch(key, item, fresh.expires)
        self.counters.total_items += 1
        item.cas = self.next_cas()
        return item

    def touch(self, key: bytes, item: Item, expires: int) -> None:
        """Give an item another expiry, as ``expiry`` returned it."""
        if item.expires != expires:
            if item.expires:
                self._calendar.remove(item.expires, key)
            if expires:
                self._calendar.add(expires, key)
            item.expires = expires

    def remove(self, key: bytes) -> None:
        """Forget a key, if it is there."""
        item = self._items.get(key)
        if item is not None:
            self._free(key, item)

    def next_cas(self) -> int:
        """A number no item had before."""
        self._cas += 1
        return self._cas

    def flush(self, delay: int, now: int) -> None:
        """Let every item that is stored by then be gone: now, or at the given expiry."""
        self.counters.cmd_flush += 1
        if delay:
            self._flush_at = self.expiry(delay, now)
        else:
            self._flush_all()

    def admit(self, length: int) -> bool:
        """Make room for a value that has been received already; False when memory stays short."""
        budget = 64 + length // 32
        while self._is_over_limit():
            if budget == 0 or not self._evict():
                return False
            budget -= 1
        return True

    def reclaim(self) -> bool:
        """Free some items, because node memory has run out below the limit; False when there are none."""
        given_up = 0
        while given_up < RECLAIM_ITEMS and self._evict():
            given_up += 1
        return given_up != 0

    def compact(self, value: IOBuf, length: int) -> IOBuf | None:
        """The value, copied together if it pins far more memory than its length; None when memory is short."""
        return compact(self.allocator, value, length)

    def tend(self, now: int) -> None:
        """Free a few dead items; called with each store, so that those nobody asks for do not stay for ever."""
        self._flush_if_due(now)
        for _ in range(DEAD_PER_STORE):
            key = self._calendar.take_due(now)
            if key is None:
                break
            self.counters.reclaimed += 1
            self._free(key, self._items[key])
        for _ in range(DEAD_PER_STORE):
            if not self._free_flushed():
                break

    def _flush_if_due(self, now: int) -> None:
        if self._flush_at and now >= self._flush_at:
            self._flush_all()
            self._flush_at = 0

    def _flush_all(self) -> None:
        """Put the whole table aside. Freeing a large one at once would hold everybody up."""
        self.next_cas()  # as memcached does
        if self._items:
            self._flushed.append(self._items)
            self._flushed_items += len(self._items)
            self._items = {}
        self._calendar = Calendar()
        self.bytes = 0

    def _free_flushed(self) -> bool:
        """Free one item that was flushed; False when there is none."""
        while self._flushed:
            table = self._flushed[0]
            if table:
                table.popitem()
                self._flushed_items -= 1
                return True
            del self._flushed[0]
        return False

    def _count_flushed(self, key: bytes) -> None:
        """Count a look-up of a flushed item that is not freed yet, and free it."""
        for table in self._flushed:
            if table.pop(key, None) is not None:
                self._flushed_items -= 1
                self.counters.get_flushed += 1

    def _free(self, key: bytes, item: Item) -> None:
        self.bytes -= ITEM_HEADER + len(key) + item.length
        if item.expires:
            self._calendar.remove(item.expires, key)
        del self._items[key]

    def _is_over_limit(self) -> bool:
        items = len(self._items) + self._flushed_items
        return self.allocator.allocated_bytes + items * ITEM_OVERHEAD > self.memory_limit

    def _evict(self) -> bool:
        """Forget a flushed item, else the one that was used least recently; False when there is none.

        Candidates are noted a 64th of the table at a time: looking for the first entry of a dict passes over every
        entry deleted before it, so that doing it for each eviction would cost the square.
        """
        if self._free_flushed():
            return True
        while self._items:
            if not self._candidates:
                self._candidates = list(islice(self._items, len(self._items) // 64 + 1))
                self._candidates.reverse()
                self._candidates_cas = self._cas
                self._candidates_at = self.now()
            key = self._candidates.pop()
            item = self._items.get(key)
            if item is None or item.cas > self._candidates_cas or item.used > self._candidates_at:
                continue  # gone, stored anew or used since
            self.counters.evictions += 1
            self._free(key, item)
            return True
        return False
