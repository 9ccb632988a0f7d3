import cython

from ebbrt.iobuf cimport IOBuf
from stack.tcp.sequence cimport seq_le, seq_lt

cdef unsigned int MASK32

cdef Py_ssize_t MOST_HOLES
cdef Py_ssize_t MOST_SACK_BLOCKS

cdef class Range:
    cdef readonly unsigned int start
    cdef readonly unsigned int end
    cdef readonly IOBuf chain
    cdef readonly IOBuf last
    cdef readonly unsigned int pinned

cdef class Reassembly:
    cdef list _ranges
    cdef list _recent
    cdef readonly unsigned int pinned
    cdef readonly unsigned int duplicate_start
    cdef readonly unsigned int duplicate_end
    cdef readonly bint to_report
    @cython.locals(end=cython.uint, index=cython.Py_ssize_t, before=Range, after=Range, rest=IOBuf)
    cpdef bint insert(self, unsigned int start, unsigned int length, IOBuf chain) except -1
    @cython.locals(first=Range, rest=IOBuf)
    cpdef Range take(self, unsigned int rcv_nxt)
    cpdef bint is_empty(self) except -1
    cpdef void clear(self) except *
    cpdef void duplicate(self, unsigned int start, unsigned int end) noexcept
    cdef void _also_duplicate(self, unsigned int start, unsigned int end) noexcept
    cpdef unsigned int reports(self) noexcept
    @cython.locals(block=Range)
    cpdef unsigned int report_start(self, unsigned int index) except? 0
    @cython.locals(block=Range)
    cpdef unsigned int report_end(self, unsigned int index) except? 0
    cpdef void reported(self) noexcept
    cdef void _touch(self, Range changed) except *
    cdef void _forget(self, Range gone) except *
    @cython.locals(low=cython.Py_ssize_t, high=cython.Py_ssize_t, middle=cython.Py_ssize_t, candidate=Range)
    cdef Py_ssize_t _index_after(self, unsigned int start) except -1
    @cython.locals(last=IOBuf, pinned=cython.uint, before=Range, added=Range)
    cdef bint _place(self, Py_ssize_t index, unsigned int start, unsigned int end, IOBuf chain) except -1
    @cython.locals(before=Range, after=Range)
    cdef void _join(self, Py_ssize_t index) except *

cpdef IOBuf last_piece(IOBuf chain)
