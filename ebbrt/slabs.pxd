import cython

from ebbrt.pages cimport PageAllocator

cdef unsigned int LARGEST_CLASS
cdef unsigned int NO_OFFSET
cdef unsigned int NO_PAGE
cdef unsigned int PAGE_SHIFT
cdef unsigned int SMALLEST_CLASS

cdef class Slabs:
    cdef readonly unsigned int head
    cdef readonly unsigned int taken
    cdef unsigned int[::1] _words
    cdef PageAllocator _pages
    cdef unsigned int[::1] _heads
    cdef unsigned int[::1] _free
    cdef unsigned int[::1] _next
    cdef unsigned int[::1] _previous
    cdef unsigned int[::1] _partial
    cdef unsigned int[::1] _slabs
    cdef unsigned int[::1] _free_objects
    @cython.locals(page=cython.uint)
    cpdef bint take(self, unsigned int size_class) noexcept
    @cython.locals(page=cython.uint, step=cython.uint, last=cython.ulonglong, number=cython.ulonglong)
    cpdef bint make(self, unsigned int size_class) noexcept
    @cython.locals(page=cython.uint, free=cython.uint)
    cpdef void put(self, unsigned long long number, unsigned int size_class) noexcept
    cpdef unsigned long long table_bytes(self) noexcept
    cpdef unsigned int count(self, unsigned int size_class) noexcept
    cpdef unsigned int free_objects(self, unsigned int size_class) noexcept
    @cython.locals(head=cython.uint)
    cdef void _add(self, unsigned int page, unsigned int size_class) noexcept
    @cython.locals(after=cython.uint, before=cython.uint)
    cdef void _remove(self, unsigned int page, unsigned int size_class) noexcept
