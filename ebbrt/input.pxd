import cython

from ebbrt.iobuf cimport IOBuf, allocate
from ebbrt.memory cimport MemoryAllocator, NodeMemory

cdef unsigned int GATHER
cdef unsigned int SLACK

cdef class Input:
    cdef MemoryAllocator allocator
    cdef IOBuf scratch
    cdef readonly IOBuf head
    cdef readonly IOBuf tail
    cdef readonly unsigned long long length
    cdef IOBuf _gathered
    cdef unsigned long long _loose
    cdef unsigned long long _pinned
    cdef bint _consumed
    @cython.locals(piece=IOBuf)
    cpdef void append(self, IOBuf data)
    @cython.locals(head=IOBuf, piece=IOBuf, memory=NodeMemory, at=cython.ulonglong, step=cython.uint)
    cpdef unsigned long long flat(self, unsigned int count) except? 0
    @cython.locals(piece=IOBuf)
    cpdef void skip(self, unsigned int count)
    @cython.locals(first=IOBuf, piece=IOBuf, last=IOBuf)
    cpdef IOBuf take(self, unsigned int count)
    cpdef bint settle(self) except -1
    cdef void _recount(self)
    @cython.locals(last=IOBuf, piece=IOBuf, fresh=IOBuf, done=cython.uint, room=cython.uint, step=cython.uint)
    cdef bint _gather(self) except -1
    cpdef void clear(self)

@cython.locals(end=cython.ulonglong)
cpdef void copy(IOBuf source, unsigned int start, IOBuf target, unsigned int length) except *
cpdef IOBuf compact(MemoryAllocator allocator, IOBuf chain, unsigned int length)
@cython.locals(head=IOBuf, last=IOBuf, piece=IOBuf, fresh=IOBuf, done=cython.uint, step=cython.uint)
cpdef IOBuf copy_together(MemoryAllocator allocator, IOBuf chain, unsigned int length)
