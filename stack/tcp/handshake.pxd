import cython

from ebbrt.iobuf cimport IOBuf, allocate
from ebbrt.network cimport TcpHandler
from stack.tcp.autotune cimport begin as begin_tuning
from stack.tcp.connection cimport Connection
from stack.tcp.delivery cimport deliver, tell_connected
from stack.internet cimport Internet
from stack.tcp.ecn cimport ecn_of_syn
from stack.tcp.engine cimport Engine, Listener
from stack.tcp.fast_open cimport FastOpen, FastOpenQueue, FastOpenServers
from stack.tcp.lifecycle cimport end, passive_open, transition
from stack.tcp.output cimport output
from stack.tcp.path_mtu cimport adapt_to_path
from stack.tcp.segment cimport Segment
from stack.tcp.segment_output cimport send_reset, send_reset_for, send_syn
from stack.tcp.sequence cimport seq_le, seq_lt
from stack.tcp.syn_cookies cimport SynCookies, sack_of, window_scale_of, with_options
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm, disarm
from stack.transport cimport Path, Received
from stack.wire.tcp cimport write_mss, write_sack_permitted_and_timestamps, write_timestamps, write_window_scale

cdef unsigned int MASK32
cdef unsigned int ACK
cdef unsigned int CHECKSUM_OFFSET
cdef unsigned int CLOSED
cdef unsigned int DEFAULT_MSS
cdef unsigned int DROP_BAD_COOKIE
cdef unsigned int DROP_BLIND_RESET
cdef unsigned int DROP_NO_CONNECTION
cdef unsigned int DROP_UNACCEPTABLE_HANDSHAKE
cdef unsigned int FAST_OPEN_SERVER
cdef unsigned int FAST_OPEN_TRUSTING
cdef unsigned int FIN
cdef unsigned int HEADER_LENGTH
cdef unsigned int LEAST_MSS
cdef long long MILLISECOND
cdef unsigned int PROTOCOL_TCP
cdef unsigned int RST
cdef unsigned int SYN
cdef unsigned int SYN_OPTIONS_MOST
cdef unsigned int TIMER_HANDSHAKE

@cython.locals(connection=Connection)
cpdef Tcb listen_arrives(Engine engine, Listener listener, Segment segment, long long now)
cpdef bint brings_cookie(Engine engine, Segment segment, long long now) except -1
cpdef void open_actively(Connection connection, long long now) except *
@cython.locals(engine=Engine, acknowledged=cython.bint, ack=cython.uint)
cpdef bint syn_sent_arrives(Tcb connection, Segment segment, long long now) except -1
cpdef void syn_received_acknowledged(Tcb connection, Segment segment, long long now) except *
@cython.locals(early=cython.bint, listener=Listener)
cpdef void establish(Tcb connection, Segment segment, long long now) except *
cpdef void fall_back(Tcb connection, FastOpen fast_open, long long now) except *
cpdef void syn_too_long(Tcb connection, long long now) except *
@cython.locals(listener=Listener)
cpdef void early_reset(Tcb connection, long long now) except *
@cython.locals(handler=TcpHandler)
cdef bint _accept(Tcb connection, Listener listener, long long now) except -1
@cython.locals(count=cython.uint)
cdef void _take_acknowledgment(Tcb connection, Segment segment) except *
@cython.locals(engine=Engine)
cdef void _learn_cookie(Tcb connection, Segment segment) except *
@cython.locals(length=cython.int)
cdef bint _takes_early(
    Engine engine, FastOpenQueue queue, Connection connection, Segment segment, long long now
) except -1
@cython.locals(data=IOBuf)
cdef void _open_early(
    Engine engine, Listener listener, FastOpenQueue queue, Connection connection, Segment segment, long long now
) except *
@cython.locals(connection=Connection)
cdef Connection _receive_syn(Engine engine, Listener listener, Segment segment, long long now)
@cython.locals(packet=IOBuf, path=Path, flow=bytes, at=cython.ulonglong, clock=cython.uint, sack=cython.bint)
cdef void _answer_with_cookie(Engine engine, Listener listener, Segment segment, long long now) except *
@cython.locals(mss=cython.uint, connection=Connection)
cdef Tcb _cookie_arrives(Engine engine, Listener listener, Segment segment, long long now)
@cython.locals(peer_sequence=cython.uint, cookie=cython.uint)
cdef unsigned int _cookie_mss(Engine engine, Segment segment, long long now) except? 0
@cython.locals(received=Received)
cdef bytes _flow_of(Engine engine, Segment segment)
@cython.locals(window=cython.uint)
cdef void _take_syn(Tcb connection, Segment segment, long long now) except *
cdef void _take_window(Tcb connection, Segment segment, unsigned int shift) noexcept
