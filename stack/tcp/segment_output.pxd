import cython

from ebbrt.iobuf cimport IOBuf, allocate
from stack.tcp.ecn cimport ecn_for_syn
from stack.tcp.engine cimport Engine
from stack.tcp.fast_open cimport FastOpen
from stack.tcp.reassembly cimport Reassembly
from stack.tcp.segment cimport Segment
from stack.tcp.send_queue cimport SendQueue
from stack.tcp.sequence cimport seq_lt
from stack.tcp.tcb cimport Tcb
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

cdef unsigned int ACK
cdef unsigned int CHECKSUM_OFFSET
cdef unsigned int ECE
cdef long long FOREVER
cdef unsigned int HEADER_LENGTH
cdef unsigned int MASK32
cdef unsigned int MEMORY_PER_WINDOW
cdef unsigned int MOST_PIECES
cdef unsigned int OPTIONS_MOST
cdef unsigned int PROTOCOL_TCP
cdef unsigned int RST
cdef unsigned int SACK_BLOCK_LENGTH
cdef unsigned int SACK_HEAD_LENGTH
cdef unsigned int SYN
cdef unsigned int SYN_OPTIONS_MOST
cdef unsigned int SYN_RECEIVED
cdef unsigned int SYN_SENT
cdef unsigned int TIMESTAMPS_LENGTH

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
cpdef void send_segment(
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
