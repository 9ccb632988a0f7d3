cdef class GracePeriods:
    cdef readonly unsigned long long generation
    cdef object _defer
    cdef dict _parked
    cdef list _new
    cdef list _waiting
    cpdef void parked(self, object generation) except *
    cpdef void resumed(self, object generation) except *
