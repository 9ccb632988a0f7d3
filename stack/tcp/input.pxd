import cython

from ebbrt.iobuf cimport IOBuf
from stack.internet cimport Internet
from stack.tcp.acknowledgment cimport acceptable, acknowledgment_arrives, our_fin_acknowledged, tell_room
from stack.tcp.autotune cimport window_arrived
from stack.tcp.delivery cimport deliver, tell_peer_closed
from stack.tcp.ecn cimport marked_arrives
from stack.tcp.engine cimport Counters, Engine, Listener
from stack.tcp.handshake cimport brings_cookie, early_reset, listen_arrives, syn_sent_arrives
from stack.tcp.lifecycle cimport end, enter_time_wait, transition
from stack.tcp.output cimport output
from stack.tcp.quick_acks cimport data_arrives, peer_waits
from stack.tcp.reassembly cimport Range, last_piece
from stack.tcp.segment cimport Segment
from stack.tcp.segment_output cimport send_challenge_ack, send_reset_for, send_syn
from stack.tcp.sequence cimport seq_le, seq_lt
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm, await_fin
from stack.transport cimport Received

cdef unsigned int MASK32
cdef unsigned int ACK
cdef unsigned int CLOSED
cdef unsigned int DROP_AFTER_END
cdef unsigned int DROP_AFTER_FIN
cdef unsigned int DROP_BAD_ADDRESS
cdef unsigned int DROP_BLIND_RESET
cdef unsigned int DROP_DUPLICATE
cdef unsigned int DROP_NO_ACK
cdef unsigned int DROP_NO_CONNECTION
cdef unsigned int DROP_NO_TIMESTAMP
cdef unsigned int DROP_OLD_TIMESTAMP
cdef unsigned int DROP_OUT_OF_WINDOW
cdef unsigned int DROP_REASSEMBLY_FULL
cdef unsigned int DROP_RECEIVE_MEMORY
cdef unsigned int DROP_UNEXPECTED_SYN
cdef unsigned int ESTABLISHED
cdef unsigned int FIN
cdef unsigned int FIN_WAIT_1
cdef unsigned int FIN_WAIT_2
cdef long long PAWS_IDLE
cdef unsigned int PROTOCOL_TCP
cdef unsigned int RST
cdef unsigned int SYN
cdef unsigned int SYN_RECEIVED
cdef unsigned int SYN_SENT
cdef unsigned int TIME_WAIT
cdef long long TIME_WAIT_TIME
cdef unsigned int TIMER_TIME_WAIT

@cython.locals(wrong=cython.int, connection=Tcb)
cpdef void segment_arrives(
    Engine engine,
    Segment segment,
    IOBuf packet,
    unsigned int length,
    Received received,
    long long now,
) except *
@cython.locals(control=cython.uint)
cdef bint _hand_over(Engine engine, Segment segment, IOBuf packet, long long now) except -1
@cython.locals(listener=Listener, connection=Tcb)
cdef void _no_connection(Engine engine, Segment segment, long long now) except *
@cython.locals(engine=Engine)
cdef void _open_arrives(Tcb connection, Segment segment, long long now) except *
cdef bint _reopens(Tcb connection, Segment segment) noexcept
@cython.locals(window=cython.uint, offset=cython.uint, space=cython.uint)
cdef bint _check_sequence(Tcb connection, Segment segment, long long now) except -1
@cython.locals(counters=Counters, believed=cython.bint, old=cython.uint, end=cython.uint)
cdef void _not_acceptable(Tcb connection, Segment segment, long long now) except *
cdef bint _is_last_fin(Tcb connection, Segment segment) noexcept
cdef void _crossed(Tcb connection, Segment segment, long long now) except *
cdef void _answer_unacceptable(Tcb connection, Segment segment, long long now) except *
@cython.locals(counters=Counters)
cdef void _reset_arrives(Tcb connection, Segment segment, long long now) except *
@cython.locals(fin=cython.bint, fin_sequence=cython.uint, rcv_nxt=cython.uint)
cdef void _text_and_fin(Tcb connection, Segment segment, long long now) except *
cdef bint _in_window(Tcb connection, unsigned int sequence) noexcept
@cython.locals(
    chain=IOBuf, rest=IOBuf, sequence=cython.uint, length=cython.uint, counters=Counters, old=cython.uint, window=cython.uint,
    pinned=cython.uint,
)
cdef void _text(Tcb connection, Segment segment, long long now) except *
@cython.locals(unacknowledged=cython.uint)
cdef void _in_order(Tcb connection, IOBuf chain, unsigned int length, long long now) except *
@cython.locals(last=IOBuf, found=Range, length=cython.uint)
cdef void _join_reassembled(Tcb connection, IOBuf chain) except *
cdef void _fin(Tcb connection, long long now) except *
