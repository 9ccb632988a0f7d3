cdef long long INITIAL_RTO
cdef long long LEAST_RTO
cdef long long MILLISECOND
cdef long long MOST_RTO

cdef class RoundTripEstimator:
    cdef readonly long long srtt
    cdef readonly long long rttvar
    cdef readonly long long rto
    cpdef void sample(self, long long rtt) noexcept
    cpdef void recompute(self) noexcept
    cpdef void back_off(self, long long most) noexcept
