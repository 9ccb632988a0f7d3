cdef long long ERROR_INTERVAL
cdef long long ERROR_BURST

cdef class ErrorLimit:
    cdef object _random
    cdef long long _allowance
    cdef long long _refilled_at
    cpdef bint take(self, long long now) except -1
