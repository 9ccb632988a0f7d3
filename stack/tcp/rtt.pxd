cdef long long INITIAL_RTO
cdef long long LEAST_RTT_TIME
cdef long long MIN_DEVIATION
cdef long long MOST_RTO

cdef class RoundTripEstimator:
    cdef readonly long long srtt
    cdef readonly long long rttvar
    cdef readonly long long rto
    cdef readonly long long least
    cdef long long _least_time
    cpdef void sample(self, long long rtt, long long now) noexcept
    cpdef void measured(self, long long rtt, long long now) noexcept
    cpdef void recompute(self) noexcept
    cpdef void back_off(self, long long most) noexcept
