from stack.tcp.hystart cimport HyStart

cdef unsigned int MOST_WINDOW
cdef unsigned int INITIAL_WINDOW

cdef class CongestionControl:
    cdef public unsigned int mss
    cdef public unsigned int cwnd
    cdef public unsigned int ssthresh
    cdef readonly unsigned int initial_window
    cdef HyStart _hystart
    cdef unsigned int _undo_cwnd
    cdef unsigned int _undo_ssthresh
    cdef unsigned int _max_flight
    cdef unsigned int _round_left
    cpdef void start(self, unsigned int mss, bint syn_lost) noexcept
    cpdef str name(self)
    cpdef void acknowledged(self, unsigned int count, unsigned int flight, long long rtt, long long now) except *
    cdef bint _is_unused(self, unsigned int count, unsigned int flight) noexcept
    cpdef void application_limited(self, long long now) except *
    cpdef void avoid(self, unsigned int count, long long rtt, long long now) except *
    cpdef void reduce(self, unsigned int flight, long long now) except *
    cpdef void leave_recovery(self, long long now) except *
    cpdef void timeout(self, unsigned int flight, bint first, long long now) except *
    cpdef void undo(self, long long now) except *
    cpdef void restart(self, long long idle, long long now) except *
    cpdef void take_over(self, CongestionControl other) except *
    cdef void remember(self) noexcept
    cdef void _slow_start(self, unsigned int count, unsigned int flight, long long rtt) except *
