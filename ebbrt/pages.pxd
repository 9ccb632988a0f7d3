import cython

cdef unsigned int NO_PAGE
cdef unsigned int EXACT_RUNS
cdef unsigned int LISTS

cdef class PageAllocator:
    cdef readonly unsigned int first
    cdef readonly unsigned int count
    cdef public unsigned int limit
    cdef readonly unsigned int used
    cdef readonly unsigned int most_used
    cdef readonly unsigned long long limited
    cdef unsigned int[::1] _runs
    cdef unsigned int[::1] _next
    cdef unsigned int[::1] _previous
    cdef unsigned int[::1] _lists
    @cython.locals(page=cython.uint, length=cython.uint)
    cpdef unsigned int take(self, unsigned int count) noexcept
    @cython.locals(before=cython.uint, after=cython.uint)
    cpdef void give_back(self, unsigned int page, unsigned int count) noexcept
    cpdef unsigned long long table_bytes(self) noexcept
    @cython.locals(longest=cython.uint, index=cython.uint, page=cython.uint)
    cpdef unsigned int longest_run(self) noexcept
    @cython.locals(total=cython.uint, index=cython.uint, page=cython.uint)
    cpdef unsigned int free_runs(self) noexcept
    @cython.locals(index=cython.uint, page=cython.uint)
    cdef unsigned int _find(self, unsigned int count) noexcept
    @cython.locals(index=cython.uint)
    cdef unsigned int _list_of(self, unsigned int length) noexcept
    @cython.locals(index=cython.uint, head=cython.uint)
    cdef void _add(self, unsigned int page, unsigned int length) noexcept
    @cython.locals(after=cython.uint, before=cython.uint)
    cdef void _remove(self, unsigned int page, unsigned int length) noexcept
