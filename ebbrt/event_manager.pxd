import cython

from ebbrt.clock cimport Clock
from ebbrt.syscalls cimport Epoll

cdef long long FOREVER
cdef unsigned int TURNS_BETWEEN_LOOKS

cdef class InterruptHandler:
    cpdef void interrupt(self) except *

cdef class IdleHandler:
    cpdef void poll(self) except *

cdef class TimerSource:
    cpdef long long next_deadline(self) except? -1
    cpdef void expire(self, long long now) except *

cdef class Timer:
    cdef public object function

cdef class _Wakeup(InterruptHandler):
    cdef readonly int fd
    cpdef void interrupt(self) except *

cdef class EventManager:
    cdef readonly Clock clock
    cdef readonly long long now
    cdef Epoll _epoll
    cdef dict _watched
    cdef list _vectors
    cdef object _pending
    cdef object _tasks
    cdef list _idle_handlers
    cdef list _sources
    cdef list _timers
    cdef list _deferred
    cdef _Wakeup _wakeup
    cdef long long _serial
    cdef bint _stopped
    cdef unsigned int _idle_turns
    cdef readonly unsigned long long events
    cdef readonly unsigned long long interrupts
    cdef readonly unsigned long long failures
    cdef readonly unsigned long long halts
    cdef readonly unsigned long long polls
    cpdef void raise_interrupt(self, unsigned int vector) except *
    cpdef void remove_idle_handler(self, IdleHandler handler) except *
    cpdef void add_idle_handler(self, IdleHandler handler) except *
    @cython.locals(vector=cython.uint)
    cpdef void turn(self) except *
    cdef void _run_deferred(self) except *
    @cython.locals(handler=IdleHandler)
    cdef void _idle(self) except *
    @cython.locals(deadline=cython.longlong, timeout=cython.longlong)
    cdef void _halt(self) except *
    @cython.locals(count=cython.int, index=cython.int, handler=InterruptHandler)
    cdef void _look(self, int timeout) except *
    cdef void _interrupt(self, InterruptHandler handler) except *
    @cython.locals(deadline=cython.longlong, source=TimerSource)
    cdef long long _next_deadline(self) except? -1
    @cython.locals(source=TimerSource, timer=Timer, last=cython.longlong)
    cdef void _expire(self) except *
    cdef void _run(self, object function) except *
    cdef void _report(self, object origin) except *
