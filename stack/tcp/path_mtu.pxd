import cython

from stack.path_search cimport PathSearch
from stack.tcp.engine cimport Counters
from stack.tcp.losses cimport Losses
from stack.tcp.send_queue cimport SendQueue
from stack.tcp.tcb cimport Tcb
from stack.transport cimport Path

cdef unsigned int BLACK_HOLE_RETRIES
cdef unsigned int ESTABLISHED
cdef unsigned int HEADER_LENGTH
cdef unsigned int MIN_IPV4_MTU
cdef unsigned int MIN_IPV6_MTU
cdef unsigned int LEAST_MSS
cdef unsigned int MASK32
cdef unsigned int TIMESTAMPS_LENGTH

@cython.locals(path=Path, counters=Counters, losses=Losses, too_early=cython.bint)
cpdef bint packet_too_big(Tcb connection, unsigned int mtu, long long now) except -1
cdef bint _sent_early(Tcb connection) noexcept
@cython.locals(search=PathSearch)
cdef void _probe_too_big(Tcb connection, unsigned int size, unsigned int mtu) noexcept
@cython.locals(path=Path, retries=cython.uint, mtu=cython.uint)
cpdef void suspect_black_hole(Tcb connection, long long now) except *
@cython.locals(path=Path, narrower=cython.bint)
cpdef void follow_path(Tcb connection, long long now) except *
@cython.locals(path=Path, mss=cython.uint)
cpdef void adapt_to_path(Tcb connection) noexcept
