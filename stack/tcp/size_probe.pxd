import cython

from stack.path_search cimport PathSearch
from stack.tcp.losses cimport Losses
from stack.tcp.sent cimport Sent
from stack.tcp.sequence cimport seq_lt
from stack.tcp.tcb cimport Tcb
from stack.transport cimport Path

cdef unsigned int ESTABLISHED
cdef unsigned int HEADER_LENGTH
cdef unsigned int MASK32
cdef unsigned int OPEN
cdef unsigned int PROBE_FOLLOWERS
cdef unsigned int TIMESTAMPS_LENGTH

@cython.locals(
    path=Path,
    search=PathSearch,
    headers=cython.uint,
    most=cython.uint,
    size=cython.uint,
    length=cython.uint,
    needed=cython.uint,
    unsent=cython.uint,
)
cpdef unsigned int next_probe(Tcb connection, long long now) except? 0
@cython.locals(path=Path, search=PathSearch, payload=cython.uint, losses=Losses)
cpdef void probe_sent(Tcb connection, unsigned int start, long long now) except *
@cython.locals(path=Path, size=cython.uint)
cpdef void probe_acknowledged(Tcb connection, Losses losses, long long now) except *
cpdef bint only_probe_lost(Tcb connection, Losses losses, Sent sent, long long now) except -1
cpdef void probe_timed_out(Tcb connection, Losses losses, long long now) except *
cdef void _failed(Tcb connection, Losses losses, long long now) except *
@cython.locals(sent=Sent)
cdef bint _all_is_well(Tcb connection, long long now) noexcept
