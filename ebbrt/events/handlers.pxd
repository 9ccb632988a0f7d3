cdef class InterruptHandler:
    cpdef void interrupt(self) except *

cdef class IdleHandler:
    cpdef void poll(self) except *

cdef class TimerSource:
    cpdef long long next_deadline(self) except? -1
    cpdef void expire(self, long long now) except *
