import cython

from stack.tcp.engine cimport Engine
from stack.tcp.send_queue cimport SendQueue
from stack.tcp.tcb cimport Tcb

cdef unsigned int HALF32
cdef unsigned int MASK32
cdef unsigned int MEMORY_PER_WINDOW
cdef long long MILLISECOND
cdef unsigned int SEGMENTS_AHEAD

@cython.locals(most=cython.uint)
cpdef void begin(Tcb connection, long long now) noexcept
@cython.locals(count=cython.ulonglong, elapsed=cython.longlong, wanted=cython.ulonglong)
cpdef void window_arrived(Tcb connection, unsigned int sequence, unsigned int echo, long long now) noexcept
@cython.locals(wanted=cython.uint)
cpdef unsigned int send_limit(Tcb connection) noexcept
@cython.locals(queue=SendQueue, limit=cython.uint, unsent=cython.uint)
cpdef unsigned int send_room(Tcb connection) noexcept
cpdef void give_back(Tcb connection) noexcept
@cython.locals(ticks=cython.uint, sample=cython.longlong)
cdef void _measure_round_trip(Tcb connection, unsigned int echo, long long elapsed, long long now) noexcept
@cython.locals(engine=Engine)
cdef bint _may_grow(Tcb connection, unsigned long long by) noexcept
