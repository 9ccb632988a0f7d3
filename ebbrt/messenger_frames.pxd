import cython

from ebbrt.iobuf cimport IOBuf, allocate
from ebbrt.memory cimport MemoryAllocator, NodeMemory

cdef unsigned int FRAME_HEADER
cdef unsigned int FRAME_MAGIC
cdef unsigned int HEADERS_BELOW
cdef unsigned int LARGEST_DATA
cdef unsigned int PING
cdef unsigned int START
cdef unsigned int VERSION

@cython.locals(frame=IOBuf, own=IOBuf, memory=NodeMemory, at=cython.ulonglong)
cpdef IOBuf put_header(
    MemoryAllocator allocator, unsigned int kind, unsigned long long ebb_id, unsigned long long sequence,
    unsigned long long call_id, IOBuf data, unsigned int length
)
cpdef void put_acknowledgment(IOBuf frame, unsigned long long acknowledgment) noexcept

cdef class FrameReader:
    cdef readonly IOBuf scratch
    cdef readonly str problem
    cdef readonly unsigned int kind
    cdef readonly unsigned long long ebb_id
    cdef readonly unsigned long long sequence
    cdef readonly unsigned long long acknowledgment
    cdef readonly unsigned long long call_id
    cdef readonly unsigned int length
    cdef public IOBuf data
    cdef IOBuf _head
    cdef IOBuf _tail
    cdef unsigned long long _available
    cdef unsigned int _needed
    @cython.locals(piece=IOBuf)
    cpdef void append(self, IOBuf chain) except *
    @cython.locals(head=IOBuf, memory=NodeMemory, at=cython.ulonglong, kind=cython.uint, length=cython.uint)
    cpdef bint advance(self) except -1
    cpdef void clear(self) except *
    @cython.locals(scratch=IOBuf, piece=IOBuf, done=cython.uint, step=cython.uint, index=cython.uint)
    cdef unsigned long long _gather_header(self) except? 0
    @cython.locals(piece=IOBuf)
    cdef void _skip(self, unsigned int count) except *
    @cython.locals(piece=IOBuf, first=IOBuf, last=IOBuf)
    cdef IOBuf _take(self, unsigned int count)

cpdef unsigned int get32(NodeMemory memory, unsigned long long at) noexcept
@cython.locals(high=cython.ulonglong)
cpdef unsigned long long get64(NodeMemory memory, unsigned long long at) noexcept
cpdef void put32(NodeMemory memory, unsigned long long at, unsigned int value) noexcept
cpdef void put64(NodeMemory memory, unsigned long long at, unsigned long long value) noexcept
