import cython

from stack.tcp.tcb cimport Tcb

cdef unsigned int MASK32
cdef long long DELAYED_ACK_TIME
cdef unsigned int LEAST_QUICK_ACKS
cdef unsigned int MOST_QUICK_ACKS

cpdef void data_arrives(Tcb connection, long long now) noexcept
cpdef void data_sent(Tcb connection, long long now) noexcept
cpdef void peer_waits(Tcb connection) noexcept
@cython.locals(segments=cython.uint)
cdef void _begin(Tcb connection) noexcept
