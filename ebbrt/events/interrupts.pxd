import cython

from ebbrt.events.handlers cimport InterruptHandler
from ebbrt.syscalls cimport Epoll

cdef class _Wakeup(InterruptHandler):
    cdef readonly int fd
    cpdef void interrupt(self) except *

cdef class Interrupts:
    cdef readonly object pending
    cdef Epoll _epoll
    cdef dict _watched
    cdef list _vectors
    cdef _Wakeup _wakeup
    cpdef void raise_vector(self, unsigned int vector) except *
    @cython.locals(index=cython.int)
    cpdef void look(self, int timeout) except *
