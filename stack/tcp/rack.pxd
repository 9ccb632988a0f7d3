import cython

from stack.tcp.losses cimport Losses
from stack.tcp.output cimport resend_last, transmit
from stack.tcp.sent cimport Sent
from stack.tcp.sequence cimport seq_lt
from stack.tcp.tcb cimport Tcb
from stack.tcp.timers cimport arm

cdef unsigned int DUPLICATE_THRESHOLD
cdef unsigned int MASK32
cdef unsigned int OPEN
cdef unsigned int REORDER_PERSIST
cdef unsigned int TIMER_REORDER
cdef unsigned int TIMER_RETRANSMIT

@cython.locals(time=cython.longlong)
cpdef void rack_delivered(Losses losses, Sent sent) noexcept
cpdef void rack_duplicate(Tcb connection, Losses losses) noexcept
cpdef void rack_recovered(Losses losses) noexcept
cpdef long long reordering_window(Tcb connection, Losses losses, Sent sent) noexcept
@cython.locals(sent=Sent, wait=cython.longlong, lost=cython.uint, latest=cython.longlong)
cpdef void rack_detect(Tcb connection, Losses losses, long long now) except *
@cython.locals(in_flight=cython.uint, room=cython.uint, length=cython.uint)
cpdef void probe_loss(Tcb connection, Losses losses, long long now) except *
cpdef bint probe_answered(
    Tcb connection, Losses losses, unsigned int acknowledgment, bint duplicate, unsigned int dsack_end, bint dsack
) noexcept
