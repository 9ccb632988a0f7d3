import cython

cdef long long FOREVER

cdef class TimerHeap:
    cdef list _heap
    cdef unsigned long long _serial
    cpdef void schedule(self, long long deadline, object item) except *
    cpdef long long next_deadline(self) except? -1
    cpdef object pop(self)
    @cython.locals(current=dict)
    cpdef void prune(self, object is_current) except *
