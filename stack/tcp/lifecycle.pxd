import cython

from stack.tcp.autotune cimport give_back
from stack.tcp.delivery cimport tell_closed
from stack.tcp.engine cimport Engine, Listener
from stack.tcp.fast_open cimport FastOpen, FastOpenQueue
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm, disarm

cdef unsigned int CLOSED
cdef long long FOREVER
cdef unsigned int LISTEN
cdef unsigned int MOST_TIME_WAIT
cdef long long TIME_WAIT_TIME
cdef unsigned int TIMER_TIME_WAIT

cpdef void transition(Tcb connection, str event) except *
cpdef void passive_open(Tcb connection) except *
cpdef void end(Tcb connection, str reason) except *
cpdef void give_up(Tcb connection) except *
@cython.locals(engine=Engine, fast_open=FastOpen)
cpdef void forget(Tcb connection) except *
@cython.locals(engine=Engine)
cpdef void enter_time_wait(Tcb connection, long long now) except *
