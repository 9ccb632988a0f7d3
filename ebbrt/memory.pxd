import cython

cdef unsigned int LARGEST_CLASS
cdef unsigned int NO_OFFSET
cdef unsigned int PAGE
cdef unsigned int SMALLEST_CLASS

cdef class NodeMemory:
    cdef readonly unsigned long long size
    cdef readonly unsigned long long address
    cdef unsigned char[::1] mem
    cdef unsigned short[::1] mem16
    cdef unsigned int[::1] mem32
    cdef unsigned long long[::1] mem64
    cdef public unsigned long long payload_bytes_copied
    cpdef object view(self, unsigned long long start, unsigned long long length)

cdef class Buffer:
    cdef readonly MemoryAllocator allocator
    cdef readonly NodeMemory memory
    cdef readonly unsigned long long offset
    cdef readonly unsigned int size_class
    cpdef unsigned int size(self) noexcept

cdef class MemoryAllocator:
    cdef readonly NodeMemory memory
    cdef unsigned long long _fresh
    cdef unsigned long long _end
    cdef unsigned int[::1] _heads
    cdef readonly unsigned long long allocated_bytes
    cdef readonly unsigned long long allocations
    cdef readonly unsigned long long failures
    cdef public object reclaimer
    @cython.locals(size_class=cython.uint, head=cython.ulonglong, offset=cython.ulonglong, buffer=Buffer)
    cpdef Buffer allocate(self, unsigned long long size)
    cpdef bint reclaim(self) except -1
    cpdef void release(self, unsigned long long offset, unsigned int size_class) noexcept
    @cython.locals(slab=cython.ulonglong, start=cython.ulonglong, larger=cython.uint)
    cdef bint _refill(self, unsigned int size_class) noexcept
    @cython.locals(offset=cython.ulonglong, size=cython.ulonglong)
    cdef void _carve(self, unsigned long long start, unsigned long long length, unsigned int size_class) noexcept
