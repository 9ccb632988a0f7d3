import cython

from stack.tcp.autotune cimport send_limit, send_room
from stack.tcp.delivery cimport tell_closed, tell_window_opened
from stack.tcp.engine cimport Counters
from stack.tcp.handshake cimport syn_received_acknowledged
from stack.tcp.lifecycle cimport enter_time_wait, forget, transition
from stack.tcp.losses cimport Losses
from stack.tcp.output cimport output
from stack.tcp.recovery cimport congestion_marked, take_acknowledgment
from stack.tcp.segment cimport Segment
from stack.tcp.segment_output cimport send_challenge_ack, send_reset_for
from stack.tcp.sequence cimport seq_le, seq_lt
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm_for_flight, await_fin, disarm

cdef unsigned int MASK32
cdef unsigned int CLOSING
cdef unsigned int DROP_ACK_OUT_OF_RANGE
cdef unsigned int DROP_UNACCEPTABLE_HANDSHAKE
cdef unsigned int ECE
cdef unsigned int FIN
cdef unsigned int FIN_WAIT_1
cdef unsigned int LAST_ACK
cdef unsigned int LOSS
cdef long long MILLISECOND
cdef unsigned int OPEN
cdef long long PAWS_IDLE
cdef unsigned int SYN_RECEIVED
cdef unsigned int TIMER_PERSIST
cdef unsigned int TIMER_PROBE
cdef unsigned int TIMER_REORDER

@cython.locals(ack=cython.uint, early=cython.bint)
cpdef bint acknowledgment_arrives(Tcb connection, Segment segment, long long now) except -1
@cython.locals(counters=Counters)
cdef void _refuse(Tcb connection, Segment segment, long long now) except *
cpdef bint acceptable(Tcb connection, unsigned int ack) noexcept
cpdef bint our_fin_acknowledged(Tcb connection, long long now) except -1
@cython.locals(
    ack=cython.uint,
    flight=cython.uint,
    count=cython.uint,
    untroubled=cython.bint,
    retries=cython.uint,
    rtt=cython.longlong,
    losses=Losses,
)
cdef void _progress(Tcb connection, Segment segment, long long now) except *
@cython.locals(losses=Losses)
cdef void _measure(
    Tcb connection, Segment segment, long long rtt, unsigned int retries, long long now
) noexcept
@cython.locals(duplicate=cython.bint)
cdef void _no_progress(Tcb connection, Segment segment, long long now) except *
@cython.locals(room=cython.uint)
cpdef void tell_room(Tcb connection, long long now) except *
