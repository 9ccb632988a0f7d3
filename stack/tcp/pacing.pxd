import cython

from stack.tcp.congestion cimport CongestionControl
from stack.tcp.rtt cimport RoundTripEstimator
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm_pacing

cdef unsigned int MOST_WINDOW
cdef long long SECOND
cdef unsigned int GROWING_PERCENT
cdef unsigned int STEADY_PERCENT
cdef unsigned int LEAST_BURST
cdef unsigned long long BURSTS_PER_SECOND

@cython.locals(
    srtt=cython.longlong, congestion=CongestionControl, percent=cython.ulonglong, rate=cython.ulonglong
)
cpdef unsigned long long pacing_rate(Tcb connection) noexcept
cpdef bint may_send(Tcb connection, long long now) except -1
cpdef unsigned int paced_burst(Tcb connection) noexcept
@cython.locals(rate=cython.ulonglong)
cpdef void has_sent(Tcb connection, unsigned long long length, long long now) noexcept
