import cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.string cimport memcpy

from ebbrt.pages cimport PageAllocator
from ebbrt.slabs cimport Slabs

cdef unsigned int LARGEST_CLASS
cdef unsigned int LARGEST_BUFFER
cdef unsigned int NO_OFFSET
cdef unsigned int NO_PAGE
cdef unsigned int PAGE
cdef unsigned int PAGE_SHIFT
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
    cpdef void write(self, unsigned long long start, bytes data) except *
    cpdef bytes read(self, unsigned long long start, unsigned long long length)

cdef class Buffer:
    cdef readonly MemoryAllocator allocator
    cdef readonly NodeMemory memory
    cdef readonly unsigned long long offset
    cdef readonly unsigned int size_class
    cpdef unsigned int size(self) noexcept

cdef class LargeBuffer(Buffer):
    cdef readonly unsigned int pages
    cpdef unsigned int size(self) noexcept

cdef class MemoryAllocator:
    cdef readonly NodeMemory memory
    cdef readonly PageAllocator pages
    cdef Slabs _slabs
    cdef unsigned int[::1] _heads
    cdef unsigned int[::1] _room
    cdef unsigned int[::1] _most
    cdef unsigned int[::1] _objects
    cdef unsigned char[::1] _class_of
    cdef unsigned long long _large_pages
    cdef readonly unsigned long long allocated_bytes
    cdef readonly unsigned long long allocations
    cdef readonly unsigned long long failures
    cdef public object reclaimer
    @cython.locals(size_class=cython.uint, head=cython.ulonglong, offset=cython.ulonglong, buffer=Buffer)
    cpdef Buffer allocate(self, unsigned long long size)
    @cython.locals(room=cython.uint)
    cpdef void release(self, unsigned long long offset, unsigned int size_class) noexcept
    cpdef void release_large(self, unsigned long long offset, unsigned int pages) noexcept
    cpdef void trim(self) noexcept
    cpdef bint reclaim(self) except -1
    @cython.locals(count=cython.uint, page=cython.uint, buffer=LargeBuffer)
    cdef Buffer _allocate_large(self, unsigned long long size)
    @cython.locals(page=cython.uint)
    cdef unsigned int _take_pages(self, unsigned int count) noexcept
    @cython.locals(page=cython.uint, start=cython.ulonglong, slabs=Slabs)
    cdef bint _refill(self, unsigned int size_class) noexcept
    @cython.locals(room=cython.uint, number=cython.uint, at=cython.ulonglong)
    cdef void _shorten(self, unsigned int size_class, unsigned int keep) noexcept
