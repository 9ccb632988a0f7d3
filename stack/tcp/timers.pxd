from stack.tcp.tcb cimport Tcb

cdef long long FOREVER
cdef unsigned int TIMER_NONE

cpdef void arm(Tcb connection, unsigned int timer, long long deadline) except *
cpdef void disarm(Tcb connection) noexcept
cpdef void arm_delayed_ack(Tcb connection, long long deadline) except *
