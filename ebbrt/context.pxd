cdef extern from "greenlet.h":
    void PyGreenlet_Import() except *
    object PyGreenlet_Switch(void *stack, void *arguments, void *keywords)

cdef unsigned long long _contexts

cdef class Context:
    cdef readonly object core
    cdef readonly object number

cdef class Stack:
    cdef readonly object fiber
    cdef readonly bint outside
    cdef bint begun
    cdef unsigned int depth

cdef class StackUser:
    cdef void run_handed(self, object function) except *
    cdef void run_loop(self) except *

cdef void _switch(Stack stack) except *

cdef class Stacks:
    cdef public unsigned int most
    cdef readonly unsigned int count
    cdef readonly list callers
    cdef readonly Stack running
    cdef StackUser _user
    cdef list _free
    cdef object _handed
    cdef Stack _main
    cdef Stack _to_begin
    cdef object _raised
    cpdef void run(self) except *
    cpdef void check_outside(self) except *
    cpdef bint can_block(self) except *
    cdef bint hand_over(self, object function) except *
    cdef void call(self, Stack stack) except *
    cdef void block(self) except *
    cdef void stand_by(self, Stack stack) except *
    cdef void give_back(self) except *
    cpdef void close(self, list parked) except *
    cdef Stack _take(self)
    cdef void _enter(self, Stack stack) except *
    cdef void _begin(self, Stack stack, Stack here) except *
    cdef void _serve(self) except *
    cdef void _become_free(self, Stack stack) except *
    cdef void _end(self, Stack stack) except *
    cdef void _raise(self) except *
