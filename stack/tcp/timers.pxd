from stack.tcp.tcb cimport Tcb

cdef long long FOREVER
cdef unsigned int TIMER_FIN_WAIT_2
cdef unsigned int TIMER_NONE

cpdef void arm(Tcb connection, unsigned int timer, long long deadline) except *
cpdef void disarm(Tcb connection) noexcept
cpdef void await_fin(Tcb connection, long long now) except *
cpdef void arm_delayed_ack(Tcb connection, long long deadline) except *
