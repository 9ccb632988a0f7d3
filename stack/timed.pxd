cdef class Timed:
    cdef public long long deadline
    cpdef void poll(self, long long now) except *
