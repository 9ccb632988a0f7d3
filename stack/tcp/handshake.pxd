import cython

from ebbrt.network cimport TcpHandler
from stack.tcp.congestion cimport NewReno
from stack.tcp.connection cimport Connection
from stack.tcp.delivery cimport tell_connected
from stack.internet cimport Internet
from stack.tcp.engine cimport Engine, Listener
from stack.tcp.lifecycle cimport end, passive_open, transition
from stack.tcp.output cimport send_reset, send_reset_for, send_syn
from stack.tcp.segment cimport Segment
from stack.tcp.sequence cimport seq_le, seq_lt
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm, disarm

cdef unsigned int MASK32
cdef unsigned int ACK
cdef unsigned int CLOSED
cdef unsigned int DEFAULT_MSS
cdef unsigned int DROP_BACKLOG_FULL
cdef unsigned int DROP_BAD_ADDRESS
cdef unsigned int DROP_BLIND_RESET
cdef unsigned int DROP_NO_CONNECTION
cdef unsigned int DROP_UNACCEPTABLE_HANDSHAKE
cdef unsigned int LEAST_MSS
cdef unsigned int RST
cdef unsigned int SYN
cdef unsigned int TIMER_HANDSHAKE
cdef unsigned int TIMESTAMPS_LENGTH

@cython.locals(connection=Connection)
cpdef void listen_arrives(Engine engine, Listener listener, Segment segment, long long now) except *
cpdef void open_actively(Connection connection, long long now) except *
@cython.locals(engine=Engine, acknowledged=cython.bint)
cpdef bint syn_sent_arrives(Tcb connection, Segment segment, long long now) except -1
cpdef bint syn_received_acknowledged(Tcb connection, Segment segment, long long now) except -1
@cython.locals(listener=Listener, handler=TcpHandler)
cpdef void establish(Tcb connection, Segment segment, long long now) except *
@cython.locals(mss=cython.uint)
cdef void _take_syn(Tcb connection, Segment segment, long long now) except *
cdef void _take_window(Tcb connection, Segment segment, unsigned int shift) noexcept
