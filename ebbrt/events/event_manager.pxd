import cython

from ebbrt.clock cimport Clock
from ebbrt.ebb cimport current_core
from ebbrt.events.context cimport Context, Stack, Stacks, StackUser
from ebbrt.events.grace cimport GracePeriods
from ebbrt.events.handlers cimport IdleHandler, InterruptHandler, TimerSource
from ebbrt.events.interrupts cimport Vectors
from ebbrt.events.timers cimport Timers
from ebbrt.syscalls cimport yield_processor

cdef long long FOREVER
cdef long long MOST_AWAKE
cdef int SMOOTHING
cdef unsigned int TURNS_BETWEEN_LOOKS

cdef class Event:
    cdef readonly object number
    cdef readonly object generation
    cdef public object storage

cdef class EventManager(StackUser):
    cdef readonly Clock clock
    cdef readonly long long now
    cdef public long long long_event_limit
    cdef Vectors _interrupts
    cdef object _tasks
    cdef list _idle_handlers
    cdef list _sources
    cdef Timers _timers
    cdef object _deferred
    cdef long long _turns_left
    cdef unsigned int _busy_turns
    cdef long long _woken
    cdef long long _slack
    cdef Stacks _stacks
    cdef dict _parked
    cdef Event _event
    cdef object _event_numbers
    cdef object _origin
    cdef GracePeriods _grace
    cdef object _long_events
    cdef object _counts
    cdef public unsigned long long events
    cdef readonly unsigned long long interrupts
    cdef public unsigned long long failures
    cdef readonly unsigned long long halts
    cdef readonly unsigned long long waits_awake
    cdef readonly unsigned long long polls
    @cython.locals(event=Event)
    cpdef void spawn(self, object function, bint force_async=*) except *
    @cython.locals(event=Event)
    cpdef dict local_storage(self)
    @cython.locals(event=Event)
    cpdef void save_context(self, Context context) except *
    cpdef void activate_context(self, Context context) except *
    @cython.locals(event=Event)
    cpdef void activate_context_sync(self, Context context) except *
    cpdef void check_can_block(self) except *
    cdef Stack _take_parked(self, Context context)
    cdef Event _running_event(self)
    cpdef void raise_interrupt(self, unsigned int vector) except *
    cpdef void remove_idle_handler(self, IdleHandler handler) except *
    cpdef void add_idle_handler(self, IdleHandler handler) except *
    cdef int run_loop(self) except -1
    cdef int run_handed(self, object function) except -1
    cpdef void turn(self) except *
    cdef void _start(self, long long turns) except *
    cdef void _step(self) except *
    cdef int _measure(self, long long now) except -1
    cdef void _run_deferred(self) except *
    @cython.locals(handler=IdleHandler, several=cython.bint)
    cdef void _idle(self) except *
    @cython.locals(
        began=cython.longlong, deadline=cython.longlong, timeout=cython.longlong, waited=cython.longlong,
        slack=cython.longlong, handler=InterruptHandler,
    )
    cdef void _halt(self) except *
    @cython.locals(handler=InterruptHandler)
    cdef InterruptHandler _wait_awake(self, long long end)
    @cython.locals(handler=InterruptHandler)
    cdef void _look(self) except *
    cdef void _interrupt(self, InterruptHandler handler) except *
    @cython.locals(deadline=cython.longlong, source=TimerSource)
    cdef long long _next_deadline(self) except? -1
    @cython.locals(source=TimerSource, last=cython.longlong)
    cdef void _expire(self) except *
    cdef void _run_task(self, object task) except *
    cdef int _run(self, object function) except -1
    cdef int _advance(self, object coroutine) except -1
    cdef void _report(self, object origin) except *
