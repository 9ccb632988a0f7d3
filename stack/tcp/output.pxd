import cython

from ebbrt.iobuf cimport IOBuf, allocate
from stack.internet cimport Internet
from stack.tcp.ecn cimport ecn_for_syn
from stack.tcp.engine cimport Engine
from stack.tcp.fast_open cimport FastOpen
from stack.tcp.losses cimport Losses
from stack.tcp.path_mtu cimport follow_path
from stack.tcp.pacing cimport has_sent, may_send, paced_burst
from stack.tcp.quick_acks cimport data_sent
from stack.tcp.segment cimport Segment
from stack.tcp.send_queue cimport SendQueue
from stack.tcp.sent cimport Sent
from stack.tcp.sequence cimport seq_lt
from stack.tcp.size_probe cimport next_probe, probe_sent
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm, arm_delayed_ack, arm_for_flight, disarm
from stack.transport cimport Path
from stack.tcp.reassembly cimport Reassembly
from stack.wire.tcp cimport (
    write_fast_open,
    write_mss,
    write_sack,
    write_sack_block,
    write_sack_permitted,
    write_sack_permitted_and_timestamps,
    write_timestamps,
    write_window_scale,
)

cdef unsigned int MASK32
cdef unsigned int ACK
cdef long long CHALLENGE_INTERVAL
cdef unsigned int CHECKSUM_OFFSET
cdef unsigned int CWR
cdef long long DELAYED_ACK_TIME
cdef unsigned int ECE
cdef unsigned int ECT_0
cdef unsigned int ESTABLISHED
cdef unsigned int FIN
cdef long long FOREVER
cdef unsigned int HEADER_LENGTH
cdef unsigned int MEMORY_PER_WINDOW
cdef unsigned int MOST_PIECES
cdef unsigned int OPTIONS_MOST
cdef unsigned int PROTOCOL_TCP
cdef unsigned int PSH
cdef unsigned int RECOVERY
cdef unsigned int RST
cdef unsigned int SACK_BLOCK_LENGTH
cdef unsigned int SACK_HEAD_LENGTH
cdef unsigned int SYN
cdef unsigned int SYN_OPTIONS_MOST
cdef unsigned int SYN_RECEIVED
cdef unsigned int SYN_SENT
cdef unsigned int TIMER_HANDSHAKE
cdef unsigned int TIMER_KEEPALIVE
cdef unsigned int TIMER_NONE
cdef unsigned int TIMER_PERSIST
cdef unsigned int TIMER_PROBE
cdef unsigned int TIMER_RETRANSMIT
cdef unsigned int TIMESTAMPS_LENGTH

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
cpdef void send_ack(Tcb connection, long long now) except *
cpdef void send_keepalive(Tcb connection, long long now) except *
cpdef void send_challenge_ack(Tcb connection, long long now) except *
@cython.locals(engine=Engine, packet=IOBuf, flags=cython.uint, at=cython.ulonglong, length=cython.uint, window=cython.uint)
cpdef void send_syn(Tcb connection, long long now) except *
@cython.locals(queue=SendQueue, fast_open=FastOpen)
cdef unsigned int _add_syn_data(Tcb connection, IOBuf packet) except? 0
cpdef void send_reset(Tcb connection, long long now) except *
@cython.locals(packet=IOBuf, sequence=cython.uint, acknowledgment=cython.uint, flags=cython.uint)
cpdef void send_reset_for(Engine engine, Segment segment, long long now) except *
@cython.locals(pinned=cython.uint, current=cython.uint, wanted=cython.uint)
cpdef unsigned int receive_window(Tcb connection) noexcept
@cython.locals(
    engine=Engine,
    headroom=cython.uint,
    header_length=cython.uint,
    sack_blocks=cython.uint,
    withheld=cython.bint,
    header=IOBuf,
    packet=IOBuf,
    window=cython.uint,
    edge=cython.uint,
)
cdef void _send(
    Tcb connection,
    IOBuf chain,
    unsigned int length,
    unsigned int flags,
    unsigned int sequence,
    unsigned int ecn_bits,
    long long now,
) except *
@cython.locals(space=cython.uint)
cdef unsigned int _sack_blocks(Tcb connection, unsigned int length) noexcept
@cython.locals(reassembly=Reassembly, at=cython.ulonglong, index=cython.uint)
cdef void _write_sack(Tcb connection, IOBuf packet, unsigned int blocks) except *
@cython.locals(engine=Engine, acknowledgment=cython.uint)
cdef void _finish(
    Tcb connection,
    IOBuf packet,
    unsigned int header_length,
    unsigned int length,
    unsigned int flags,
    unsigned int sequence,
    unsigned int window,
    unsigned int ecn_bits,
    long long now,
) except *
cdef void _set_timer(Tcb connection, unsigned int sent_before, long long now) except *
