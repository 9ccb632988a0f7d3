import cython

from ebbrt.input cimport Input
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
    cdef readonly str problem
    cdef readonly unsigned int kind
    cdef readonly unsigned long long ebb_id
    cdef readonly unsigned long long sequence
    cdef readonly unsigned long long acknowledgment
    cdef readonly unsigned long long call_id
    cdef readonly unsigned int length
    cdef public IOBuf data
    cdef NodeMemory _memory
    cdef Input _input
    cdef unsigned int _needed
    cpdef void append(self, IOBuf chain) except *
    @cython.locals(
        stream=Input, head=IOBuf, memory=NodeMemory, at=cython.ulonglong, kind=cython.uint, length=cython.uint
    )
    cpdef bint advance(self) except -1
    cpdef bint settle(self) except -1
    cpdef void clear(self) except *

cpdef unsigned int get32(NodeMemory memory, unsigned long long at) noexcept
@cython.locals(high=cython.ulonglong)
cpdef unsigned long long get64(NodeMemory memory, unsigned long long at) noexcept
cpdef void put32(NodeMemory memory, unsigned long long at, unsigned int value) noexcept
cpdef void put64(NodeMemory memory, unsigned long long at, unsigned long long value) noexcept
