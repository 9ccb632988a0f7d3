import cython

from stack.tcp.engine cimport Counters, Engine
from stack.tcp.segment cimport Segment
from stack.tcp.tcb cimport Tcb

cdef unsigned int ACK
cdef unsigned int CE
cdef unsigned int CWR
cdef unsigned int ECE
cdef unsigned int ECN_MASK
cdef unsigned int ECN_OFF
cdef unsigned int SYN

@cython.locals(asked=cython.uint)
cpdef void ecn_of_syn(Tcb connection, Segment segment) noexcept
cpdef unsigned int ecn_for_syn(Tcb connection, unsigned int flags) noexcept
cpdef void marked_arrives(Tcb connection, Segment segment) noexcept
