import cython

from ebbrt.events.handlers cimport InterruptHandler
from ebbrt.syscalls cimport Epoll

cdef class _Wakeup(InterruptHandler):
    cdef readonly int fd
    cpdef void interrupt(self) except *

cdef class Vectors:
    cdef readonly object pending
    cdef list _vectors
    cpdef void raise_vector(self, unsigned int vector) except *
    cpdef InterruptHandler look(self, int timeout)

cdef class Interrupts(Vectors):
    cdef Epoll _epoll
    cdef dict _watched
    cdef _Wakeup _wakeup
    @cython.locals(index=cython.int, first=InterruptHandler, handler=InterruptHandler)
    cpdef InterruptHandler look(self, int timeout)
