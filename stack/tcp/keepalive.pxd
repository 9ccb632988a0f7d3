import cython

from stack.tcp.lifecycle cimport end
from stack.tcp.segment_output cimport send_keepalive, send_reset
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm

cdef long long FOREVER
cdef unsigned int TIMER_KEEPALIVE

@cython.locals(due=cython.longlong)
cpdef void keepalive_timeout(Tcb connection, long long now) except *
cpdef bint gives_up(Tcb connection, unsigned int most, long long now) noexcept
cpdef long long patience(Tcb connection) noexcept
cdef bint _is_gone(Tcb connection, long long now) except -1
