import cython

from ebbrt.memory cimport Buffer, MemoryAllocator, NodeMemory

cdef class IOBuf:
    cdef readonly Buffer buffer
    cdef readonly NodeMemory memory
    cdef public unsigned long long start
    cdef public unsigned int length
    cdef public IOBuf next
    cdef public bint owns_headroom
    cpdef unsigned int headroom(self) noexcept
    cpdef unsigned int tailroom(self) noexcept
    cpdef void advance(self, unsigned int count) noexcept
    cpdef void retreat(self, unsigned int count) noexcept
    cpdef void trim_end(self, unsigned int count) noexcept
    @cython.locals(last=IOBuf)
    cpdef void append(self, IOBuf chain)
    @cython.locals(total=cython.uint, piece=IOBuf)
    cpdef unsigned int chain_length(self) noexcept
    @cython.locals(total=cython.ulonglong, piece=IOBuf)
    cpdef unsigned long long pinned(self) noexcept
    cpdef IOBuf clone_view(self)
    cpdef IOBuf slice(self, unsigned int start, unsigned int length)
    @cython.locals(head=IOBuf, last=IOBuf, piece=IOBuf)
    cpdef IOBuf clone_chain(self)
    @cython.locals(piece=IOBuf)
    cpdef IOBuf advance_chain(self, unsigned int count)
    @cython.locals(piece=IOBuf)
    cpdef void truncate_chain(self, unsigned int length)
    cpdef void write(self, unsigned int at, bytes data) except *
    @cython.locals(piece=IOBuf)
    cpdef bytes copy_out(self)
    cpdef bytes peek(self, unsigned int start, unsigned int length)

@cython.locals(iobuf=IOBuf)
cpdef IOBuf view(Buffer buffer, unsigned long long start, unsigned int length)

@cython.locals(buffer=Buffer, iobuf=IOBuf)
cpdef IOBuf allocate(MemoryAllocator allocator, unsigned int length, unsigned int headroom=?)
