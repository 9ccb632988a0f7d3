import cython

from stack.tcp.congestion cimport CongestionControl
from stack.tcp.engine cimport Counters
from stack.tcp.losses cimport Losses
from stack.tcp.rack cimport probe_answered, rack_delivered, rack_detect, rack_duplicate, rack_recovered
from stack.tcp.segment cimport Segment
from stack.tcp.sent cimport Sent
from stack.tcp.sequence cimport seq_le, seq_lt
from stack.tcp.size_probe cimport only_probe_lost, probe_acknowledged, probe_timed_out
from stack.tcp.tcb cimport Tcb

cdef long long FOREVER
cdef unsigned int DUPLICATE_THRESHOLD
cdef unsigned int HALF32
cdef unsigned int LOSS
cdef unsigned int MASK32
cdef long long MILLISECOND
cdef unsigned int OPEN
cdef unsigned int RECOVERY
cdef unsigned int REDUCED

@cython.locals(
    sent=Sent, outstanding=cython.uint, dsack=cython.bint, rtt=cython.longlong, losses=Losses, lost=cython.uint
)
cpdef long long take_acknowledgment(
    Tcb connection, Segment segment, unsigned int count, unsigned int flight, bint duplicate, long long now
) except -1
@cython.locals(losses=Losses, sent=Sent, state=cython.uint, first=cython.bint)
cpdef void retransmission_timeout(Tcb connection, long long now) except *
@cython.locals(losses=Losses, sent=Sent, flight=cython.uint)
cpdef void reordering_timeout(Tcb connection, long long now) except *
@cython.locals(losses=Losses)
cpdef void congestion_marked(Tcb connection, long long now) except *
@cython.locals(age=cython.uint)
cdef long long _answered(Tcb connection, Segment segment, long long now) noexcept
@cython.locals(
    blocks=cython.uint[::1],
    counters=Counters,
    una=cython.uint,
    dsack=cython.bint,
    index=cython.uint,
    left=cython.uint,
    right=cython.uint,
)
cdef bint _take_blocks(Tcb connection, Segment segment, Sent sent) except -1
@cython.locals(oldest=cython.uint, blocks=cython.uint[::1])
cdef bint _is_dsack(Tcb connection, Segment segment, unsigned int left, unsigned int right) noexcept
@cython.locals(losses=Losses)
cdef void _came_twice(Tcb connection, unsigned int left, unsigned int right) noexcept
@cython.locals(right=cython.uint)
cdef void _by_time(
    Tcb connection,
    Losses losses,
    Sent sent,
    Segment segment,
    unsigned int flight,
    bint nothing,
    bint dsack,
    long long now,
) except *
@cython.locals(mss=cython.uint, state=cython.uint, left=cython.uint, most=cython.uint, gone=cython.uint)
cdef void _by_number(
    Tcb connection, Losses losses, Sent sent, unsigned int count, unsigned int flight, bint duplicate
) except *
@cython.locals(counters=Counters)
cdef void _take_back(
    Tcb connection, Losses losses, Sent sent, Segment segment, unsigned int count, long long now
) except *
cdef void _doubt_timeout(
    Tcb connection, Losses losses, Sent sent, unsigned int count, bint duplicate, long long now
) except *
cdef void _undo(Tcb connection, Losses losses, Sent sent, long long now) except *
cdef void _remember(Tcb connection, Losses losses) noexcept
cdef void _enter(
    Tcb connection, Losses losses, unsigned int flight, unsigned int outstanding, long long now
) except *
cdef void _leave(Tcb connection, Losses losses, long long now) except *
@cython.locals(state=cython.uint, entering=cython.bint, window=cython.uint)
cdef void _meter(
    Tcb connection,
    Losses losses,
    Sent sent,
    unsigned int flight,
    unsigned int outstanding,
    bint safe,
    long long now,
) except *
cdef void _reduce_at_once(Tcb connection, Losses losses, unsigned int flight, long long now) except *
