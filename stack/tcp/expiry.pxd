import cython

from stack.tcp.engine cimport Engine
from stack.tcp.handshake cimport fall_back
from stack.tcp.keepalive cimport gives_up, keepalive_timeout, patience
from stack.tcp.lifecycle cimport end, give_up
from stack.tcp.output cimport output, probe
from stack.tcp.path_mtu cimport suspect_black_hole
from stack.tcp.quick_acks cimport peer_waits
from stack.tcp.losses cimport Losses
from stack.tcp.rack cimport probe_loss
from stack.tcp.recovery cimport reordering_timeout, retransmission_timeout
from stack.tcp.segment_output cimport send_ack, send_syn
from stack.tcp.tcb cimport Tcb
from stack.tcp.timer_heap cimport TimerHeap
from stack.tcp.timers cimport arm, disarm

cdef unsigned int CLOSED
cdef long long FOREVER
cdef unsigned int MOST_RETRANSMISSIONS
cdef long long MOST_RTO
cdef unsigned int MOST_SYN_ACK_RETRANSMISSIONS
cdef unsigned int MOST_SYN_RETRANSMISSIONS
cdef unsigned int OPEN
cdef unsigned int SPARE_TIMERS
cdef unsigned int SYN_SENT
cdef unsigned int TIMER_FIN_WAIT_2
cdef unsigned int TIMER_HANDSHAKE
cdef unsigned int TIMER_KEEPALIVE
cdef unsigned int TIMER_NONE
cdef unsigned int TIMER_PERSIST
cdef unsigned int TIMER_PROBE
cdef unsigned int TIMER_REORDER
cdef unsigned int TIMER_RETRANSMIT
cdef unsigned int TIMER_TIME_WAIT

@cython.locals(timers=TimerHeap, deadline=cython.longlong, connection=Tcb)
cpdef void poll(Engine engine, long long now) except *
@cython.locals(timer=cython.uint)
cpdef void expire(Tcb connection, long long now) except *
@cython.locals(deadline=cython.longlong)
cdef void _reschedule(Tcb connection) except *
cdef void _retransmission_timeout(Tcb connection, long long now) except *
cdef void _probe_timeout(Tcb connection, long long now) except *
@cython.locals(interval=cython.longlong)
cdef void _persist_timeout(Tcb connection, long long now) except *
@cython.locals(most=cython.uint)
cdef void _handshake_timeout(Tcb connection, long long now) except *
