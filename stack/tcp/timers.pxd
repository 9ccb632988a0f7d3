import cython

from stack.tcp.losses cimport Losses
from stack.tcp.rtt cimport RoundTripEstimator
from stack.tcp.sent cimport Sent
from stack.tcp.tcb cimport Tcb

cdef long long FOREVER
cdef unsigned int TIMER_FIN_WAIT_2
cdef long long INITIAL_RTO
cdef long long LEAST_PROBE_TIME
cdef long long MOST_ACK_DELAY
cdef unsigned int OPEN
cdef unsigned int TIMER_NONE
cdef unsigned int TIMER_PROBE
cdef unsigned int TIMER_RETRANSMIT

cpdef void arm(Tcb connection, unsigned int timer, long long deadline) except *
@cython.locals(timeout=cython.longlong, timer=cython.uint, wait=cython.longlong)
cpdef void arm_for_flight(Tcb connection, long long now) except *
cdef bint _may_probe(Tcb connection) noexcept
cpdef void disarm(Tcb connection) noexcept
cpdef void await_fin(Tcb connection, long long now) except *
cpdef void arm_delayed_ack(Tcb connection, long long deadline) except *
cpdef void arm_pacing(Tcb connection, long long deadline) except *
cdef void _schedule(Tcb connection, long long deadline) except *
