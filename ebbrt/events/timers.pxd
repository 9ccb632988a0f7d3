import cython

cdef long long FOREVER

cdef class Timer:
    cdef public object function
    cdef Timers _timers
    @cython.locals(timers=Timers)
    cpdef void stop(self) except *
    cpdef void clear(self) except *

cdef class Timers:
    cdef readonly long long serial
    cdef list _heap
    cdef long long _stopped
    @cython.locals(timer=Timer)
    cpdef Timer set(self, long long deadline, object function)
    cpdef long long next_deadline(self) except? -1
    @cython.locals(timer=Timer)
    cpdef object take_due(self, long long now, long long last)
    cpdef void forget_stopped(self) except *
