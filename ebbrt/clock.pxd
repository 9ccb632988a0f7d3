from ebbrt.syscalls cimport monotonic_ns

cdef class Clock:
    cpdef long long now(self) except? -1

cdef class MonotonicClock(Clock):
    cpdef long long now(self) except? -1

cdef class ManualClock(Clock):
    cdef public long long time
    cpdef long long now(self) except? -1
    cpdef void advance(self, long long nanoseconds)
