cdef extern from "greenlet.h":
    void PyGreenlet_Import() except *
    object PyGreenlet_Switch(void *stack, void *arguments, void *keywords)

cdef unsigned long long _contexts

cdef class Context:
    cdef readonly object core
    cdef readonly object number

cdef class StackUser:
    cpdef void run_handed(self, object function) except *
    cpdef void run_loop(self) except *

cdef void _switch(object stack) except *

cdef class Stacks:
    cdef public unsigned int most
    cdef readonly unsigned int count
    cdef readonly list callers
    cdef readonly object running
    cdef StackUser _user
    cdef list _free
    cdef object _handed
    cdef object _main
    cdef object _begin
    cdef object _raised
    cpdef void run(self) except *
    cpdef void check_outside(self) except *
    cpdef bint can_block(self) except *
    cpdef bint hand_over(self, object function) except *
    cpdef void call(self, object stack) except *
    cpdef void block(self) except *
    cpdef void stand_by(self, object stack) except *
    cpdef void give_back(self) except *
    cpdef void close(self, list parked) except *
    cdef object _take(self)
    cdef void _enter(self, object stack) except *
    cdef object _place(self, object stack)
    cdef void _serve(self) except *
    cdef void _become_free(self, object stack) except *
    cdef void _end(self, object stack) except *
    cdef void _raise(self) except *
