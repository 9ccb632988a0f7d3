import cython

from ebbrt.input cimport compact
from ebbrt.clock cimport Clock
from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport MemoryAllocator

cdef unsigned int BUMP_INTERVAL
cdef unsigned int ITEM_HEADER
cdef unsigned int ITEM_OVERHEAD
cdef unsigned int LONGEST_RELATIVE_EXPIRY
cdef long long SECOND
cdef unsigned int RECLAIM_ITEMS
cdef unsigned int DEAD_PER_STORE

cdef class Counters:
    cdef public unsigned long long cmd_get, get_hits, get_misses, get_expired, get_flushed
    cdef public unsigned long long cmd_set, cmd_flush, cmd_touch, touch_hits, touch_misses
    cdef public unsigned long long delete_hits, delete_misses, incr_hits, incr_misses
    cdef public unsigned long long decr_hits, decr_misses, cas_hits, cas_misses, cas_badval
    cdef public unsigned long long store_too_large, store_no_memory, total_items
    cdef public unsigned long long evictions, reclaimed

cdef class Item:
    cdef public IOBuf value
    cdef public unsigned long long cas
    cdef public unsigned int length
    cdef public unsigned int flags
    cdef public unsigned int expires
    cdef public unsigned int used

cdef class Store:
    cdef readonly MemoryAllocator allocator
    cdef readonly unsigned long long memory_limit
    cdef public Counters counters
    cdef readonly unsigned long long bytes
    cdef Clock _clock
    cdef long long _wall_clock
    cdef dict _items
    cdef unsigned long long _cas
    cdef list _flushed
    cdef Py_ssize_t _flushed_items
    cdef unsigned int _flush_at
    cdef list _candidates
    cdef unsigned long long _candidates_cas
    cdef unsigned int _candidates_at
    cdef object _calendar
    cpdef unsigned int now(self) except? 0
    cpdef Py_ssize_t size(self)
    cpdef unsigned int expiry(self, unsigned int expiration, unsigned int now) noexcept
    @cython.locals(item=Item)
    cpdef Item find(self, bytes key, unsigned int now)
    cpdef Item put(self, bytes key, Item item, Item fresh)
    cpdef void touch(self, bytes key, Item item, unsigned int expires) except *
    @cython.locals(item=Item)
    cpdef void remove(self, bytes key) except *
    cpdef unsigned long long next_cas(self) noexcept
    cpdef void flush(self, unsigned int delay, unsigned int now) except *
    @cython.locals(budget=cython.uint)
    cpdef bint admit(self, unsigned int length) except -1
    @cython.locals(given_up=cython.uint)
    cpdef bint reclaim(self) except -1
    cpdef IOBuf compact(self, IOBuf value, unsigned int length)
    @cython.locals(key=bytes)
    cpdef void tend(self, unsigned int now) except *
    cdef void _flush_if_due(self, unsigned int now) except *
    cdef void _flush_all(self) except *
    cdef bint _free_flushed(self) except -1
    cdef void _count_flushed(self, bytes key) except *
    cdef void _free(self, bytes key, Item item) except *
    cdef bint _is_over_limit(self) except -1
    @cython.locals(key=bytes, item=Item)
    cdef bint _evict(self) except -1
