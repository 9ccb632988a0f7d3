import cython

cdef long long FOREVER
cdef long long LEAST_RTT_THRESHOLD
cdef long long MOST_RTT_THRESHOLD
cdef long long RTT_DIVISOR
cdef unsigned int LEAST_SAMPLES
cdef unsigned int CSS_GROWTH_DIVISOR
cdef unsigned int CSS_ROUNDS

cdef class HyStart:
    cdef long long _last_round
    cdef long long _this_round
    cdef long long _baseline
    cdef unsigned int _samples
    cdef unsigned int _round_left
    cdef readonly unsigned int css_rounds
    @cython.locals(growth=cython.uint)
    cpdef unsigned int growth(self, unsigned int count, unsigned int flight, long long rtt) noexcept
    cpdef bint finished(self) noexcept
    @cython.locals(threshold=cython.longlong)
    cdef void _judge(self) noexcept
