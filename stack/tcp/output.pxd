import cython

from ebbrt.iobuf cimport IOBuf
from stack.tcp.losses cimport Losses
from stack.tcp.pacing cimport has_sent, may_send, paced_burst
from stack.tcp.path_mtu cimport follow_path
from stack.tcp.quick_acks cimport data_sent
from stack.tcp.segment_output cimport send_ack, send_segment
from stack.tcp.send_queue cimport SendQueue
from stack.tcp.sent cimport Sent
from stack.tcp.sequence cimport seq_lt
from stack.tcp.size_probe cimport next_probe, probe_sent
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm, arm_delayed_ack, arm_for_flight, disarm
from stack.transport cimport Path

cdef unsigned int ACK
cdef unsigned int CWR
cdef long long DELAYED_ACK_TIME
cdef unsigned int ECT_0
cdef unsigned int ESTABLISHED
cdef unsigned int FIN
cdef long long FOREVER
cdef unsigned int MASK32
cdef unsigned int MOST_PIECES
cdef unsigned int PSH
cdef unsigned int RECOVERY
cdef unsigned int TIMER_HANDSHAKE
cdef unsigned int TIMER_KEEPALIVE
cdef unsigned int TIMER_NONE
cdef unsigned int TIMER_PERSIST
cdef unsigned int TIMER_PROBE
cdef unsigned int TIMER_RETRANSMIT

@cython.locals(path=Path, sent_before=cython.uint)
cpdef void output(Tcb connection, long long now) except *
@cython.locals(
    length=cython.uint, window=cython.uint, path=Path, mss=cython.uint, mtu=cython.uint, start=cython.uint
)
cdef bint _probe_path(Tcb connection, long long now) except -1
@cython.locals(
    queue=SendQueue,
    unsent=cython.uint,
    fin=cython.bint,
    in_flight=cython.uint,
    pipe=cython.uint,
    room=cython.uint,
    length=cython.uint,
    mss=cython.uint,
    most=cython.uint,
)
cdef bint _send_next(Tcb connection, long long now) except -1
cdef bint _small_may_go(
    Tcb connection, unsigned int length, unsigned int unsent, unsigned int in_flight, bint fin
) noexcept
cdef bint _nagle_holds(Tcb connection) noexcept
@cython.locals(
    queue=SendQueue,
    chain=IOBuf,
    flags=cython.uint,
    space=cython.uint,
    sequence=cython.uint,
    following=cython.uint,
    ecn_bits=cython.uint,
)
cpdef void transmit(Tcb connection, unsigned int length, long long now) except *
@cython.locals(
    sent=Sent,
    losses=Losses,
    mss=cython.uint,
    most=cython.uint,
    offset=cython.uint,
    pipe=cython.uint,
    room=cython.uint,
    length=cython.uint,
)
cdef bint _resend_lost(Tcb connection, long long now) except -1
@cython.locals(sent=Sent, losses=Losses)
cpdef void resend_last(Tcb connection, long long now) except *
@cython.locals(
    queue=SendQueue, sequence=cython.uint, offset=cython.uint, payload=cython.uint, chain=IOBuf, flags=cython.uint
)
cdef void _resend(Tcb connection, Sent sent, Losses losses, unsigned int length, long long now) except *
@cython.locals(unsent=cython.uint)
cpdef void probe(Tcb connection, long long now) except *
cdef void _set_timer(Tcb connection, unsigned int sent_before, long long now) except *
