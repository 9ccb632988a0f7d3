cdef class FastOpen:
    cdef public bytes cookie
    cdef readonly unsigned int room
    cdef readonly bint early

cdef class FastOpenQueue:
    cdef readonly unsigned int limit
    cdef public unsigned int pending
    cdef list _resets
    cpdef void set_limit(self, unsigned int limit) noexcept
    cpdef bint has_room(self, long long now) except -1
    cpdef void was_reset(self, long long now) except *

cdef class FastOpenServers:
    cdef dict _servers
