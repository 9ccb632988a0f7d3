cdef class Due:
    cdef public long long time
    cdef public bint stale
    cpdef void at(self, long long time) noexcept

cdef class Timed:
    cdef public long long deadline
    cdef public Due due
    cpdef void wait_until(self, long long time) noexcept
    cpdef void poll(self, long long now) except *
