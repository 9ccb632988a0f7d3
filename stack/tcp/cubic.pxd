import cython

from stack.tcp.congestion cimport CongestionControl

cdef unsigned int MOST_WINDOW
cdef long long MILLISECOND
cdef unsigned long long CUBIC_MILLISECONDS
cdef unsigned long long BETA_TENTHS
cdef unsigned long long FAST_CONVERGENCE_TWENTIETHS
cdef unsigned long long ALPHA_NUMERATOR
cdef unsigned long long ALPHA_DENOMINATOR
cdef unsigned long long MOST_TIME
cdef unsigned int SRTT_SHIFT

cdef class Cubic(CongestionControl):
    cdef readonly unsigned int w_max
    cdef readonly unsigned int w_est
    cdef readonly unsigned int cwnd_prior
    cdef readonly unsigned int k
    cdef long long _epoch
    cdef long long _limited_since
    cdef long long _srtt
    cdef unsigned long long _growth_rest
    cdef unsigned long long _estimate_rest
    cdef unsigned int _undo_w_max
    cdef unsigned int _undo_w_est
    cdef unsigned int _undo_cwnd_prior
    cdef unsigned int _undo_k
    cdef long long _undo_epoch
    cpdef str name(self)
    cpdef void application_limited(self, long long now) except *
    @cython.locals(
        elapsed=cython.longlong, window=cython.ulonglong, target=cython.ulonglong, rest=cython.ulonglong,
    )
    cpdef void avoid(self, unsigned int count, long long rtt, long long now) except *
    @cython.locals(window=cython.ulonglong)
    cpdef void reduce(self, unsigned int flight, long long now) except *
    cpdef void timeout(self, unsigned int flight, bint first, long long now) except *
    cpdef void undo(self, long long now) except *
    cpdef void restart(self, long long idle, long long now) except *
    @cython.locals(
        distance=cython.ulonglong, cube=cython.ulonglong, whole=cython.ulonglong, change=cython.ulonglong,
    )
    cpdef unsigned int w_cubic(self, unsigned long long elapsed) noexcept
    cdef void _begin_epoch(self, long long now) noexcept
    @cython.locals(numerator=cython.ulonglong, divisor=cython.ulonglong, rest=cython.ulonglong)
    cdef void _grow_estimate(self, unsigned int count) noexcept

@cython.locals(root=cython.ulonglong, bit=cython.ulonglong)
cpdef unsigned long long cube_root(unsigned long long value) noexcept
