import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport MemoryAllocator
from ebbrt.netdevice cimport EthernetDevice
from stack.timed cimport Due
from stack.wire.ethernet cimport EthernetHeader

cdef long long FOREVER
cdef unsigned int RESOLVING
cdef unsigned int REACHABLE
cdef unsigned int DELAY
cdef unsigned int PROBING
cdef unsigned int GONE
cdef Py_ssize_t MOST_NEIGHBOURS
cdef Py_ssize_t MOST_QUEUED
cdef Py_ssize_t MOST_RESOLVING
cdef unsigned int MOST_WAITING
cdef unsigned int MOST_REQUESTS
cdef long long RETRANSMIT_TIME
cdef long long REACHABLE_TIME

@cython.final
cdef class Neighbour:
    cdef readonly unsigned long long high
    cdef readonly unsigned long long low
    cdef readonly unsigned long long mac
    cdef public long long usable_until
    cdef public bint used
    cdef readonly unsigned int state
    cdef unsigned int requests
    cdef long long retry_at
    cdef public bint is_router
    cdef list queue
    cpdef void set_permanent(self, unsigned long long mac) noexcept
    cpdef bint is_gone(self) noexcept
    cpdef IOBuf waiting(self)

@cython.final
cdef class WaitingFrame:
    cdef readonly IOBuf frame
    cdef readonly unsigned int checksum_start
    cdef readonly unsigned int checksum_offset
    cdef readonly unsigned int segment_size

cdef class NeighbourTable:
    cdef readonly MemoryAllocator allocator
    cdef readonly EthernetDevice device
    cdef readonly unsigned long long mac
    cdef public long long reachable_time
    cdef public long long retransmit_time
    cdef public long long probe_delay
    cdef dict _neighbours
    cdef dict _resolving
    cdef unsigned int _waiting
    cdef dict _asking
    cdef long long _deadline
    cdef public Due due
    cdef EthernetHeader ethernet
    cdef unsigned long long requests_sent
    cdef unsigned long long replies_not_resolved
    cdef public unsigned long long evicted
    cdef public unsigned long long unreachable
    cdef public unsigned long long frames_queued
    cdef public unsigned long long frames_dropped_queue_full
    cdef public unsigned long long frames_dropped_evicted
    cdef public unsigned long long frames_dropped_unreachable
    cdef public unsigned long long frames_dropped_device_full
    cdef public unsigned long long no_memory
    cpdef void solicit(self, Neighbour neighbour, bint to_all, long long now) except *
    @cython.locals(neighbour=Neighbour)
    cpdef Neighbour lookup(self, unsigned long long high, unsigned long long low)
    @cython.locals(neighbour=Neighbour)
    cpdef Neighbour lookup_for_reply(self, unsigned long long high, unsigned long long low)
    cpdef Neighbour find(self, unsigned long long high, unsigned long long low)
    cpdef bint send(
        self,
        Neighbour neighbour,
        IOBuf frame,
        unsigned int checksum_start,
        unsigned int checksum_offset,
        unsigned int segment_size,
        long long now,
    ) except -1
    @cython.locals(queue=list, waiting=WaitingFrame)
    cpdef void learn(self, Neighbour neighbour, unsigned long long mac, bint confirmed, long long now) except *
    cpdef void doubt(self, Neighbour neighbour) noexcept
    @cython.locals(neighbour=Neighbour, waiting=WaitingFrame)
    cpdef list poll(self, long long now)
    cpdef void gave_up(self, Neighbour neighbour, long long now) except *
    cpdef long long next_deadline(self) noexcept
    cdef void _ask(self, Neighbour neighbour, long long now) except *
    cdef void _wait(self, Neighbour neighbour, long long until) except *
    cdef void _settle(self, Neighbour neighbour) except *
    @cython.locals(other=Neighbour)
    cdef void _queue(self, Neighbour neighbour, WaitingFrame frame) except *
    @cython.locals(neighbour=Neighbour)
    cdef void _evict(self) except *
    cdef void _drop(self, Neighbour neighbour) except *
    cdef void _forget(self, Neighbour neighbour) except *
