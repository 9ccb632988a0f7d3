import cython

from ebbrt.iobuf cimport IOBuf

cdef class SendQueue:
    cdef readonly IOBuf head
    cdef IOBuf _tail
    cdef readonly unsigned int length
    cdef readonly unsigned int sent
    cdef IOBuf _cursor
    cdef unsigned int _cursor_offset
    cdef readonly unsigned int cut_length
    cdef IOBuf _again
    cdef unsigned int _again_offset
    @cython.locals(piece=IOBuf, following=IOBuf)
    cpdef void append(self, IOBuf chain) except *
    @cython.locals(piece=IOBuf)
    cpdef void acknowledge(self, unsigned int count) except *
    cpdef void rewind(self) noexcept
    @cython.locals(piece=IOBuf)
    cpdef void skip(self, unsigned int count) except *
    @cython.locals(piece=IOBuf, offset=cython.uint, head=IOBuf, last=IOBuf, remaining=cython.uint)
    cpdef IOBuf cut(self, unsigned int length, unsigned int most_pieces)
    @cython.locals(piece=IOBuf, start=cython.uint, head=IOBuf, last=IOBuf, remaining=cython.uint)
    cpdef IOBuf cut_again(self, unsigned int offset, unsigned int length, unsigned int most_pieces)
    @cython.locals(piece=IOBuf, following=IOBuf)
    cpdef void clear(self) except *

@cython.locals(view=IOBuf)
cdef IOBuf _view(IOBuf piece, unsigned int offset, unsigned int length)
