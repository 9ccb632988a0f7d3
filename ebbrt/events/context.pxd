# What switches stacks returns int, not void: an error is then told by -1, without a call of PyErr_Occurred.
cdef extern from "greenlet.h":
    void PyGreenlet_Import() except *
    object PyGreenlet_Switch(void *stack, void *arguments, void *keywords)

cdef unsigned long long _contexts

cdef class Context:
    cdef readonly unsigned int core
    cdef readonly object number

cdef class Stack:
    cdef readonly object fiber
    cdef readonly bint outside
    cdef bint begun
    cdef unsigned int depth

cdef class StackUser:
    cdef int run_handed(self, object function) except -1
    cdef int run_loop(self) except -1

cdef int _switch(Stack stack) except -1

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
    cdef bint hand_over(self, object function) except -1
    cdef int call(self, Stack stack) except -1
    cdef int block(self) except -1
    cdef int stand_by(self, Stack stack) except -1
    cdef int give_back(self) except -1
    cpdef void close(self, list parked) except *
    cdef Stack _take(self)
    cdef int _enter(self, Stack stack) except -1
    cdef int _begin(self, Stack stack, Stack here) except -1
    cdef int _serve(self) except -1
    cdef int _become_free(self, Stack stack) except -1
    cdef void _end(self, Stack stack) except *
    cdef int _raise(self) except -1
