import cython

cdef tuple COMMON_SIZES
cdef unsigned int LEAST_STEP
cdef long long PROBE_INTERVAL
cdef long long PROBE_PATIENCE

cdef class PathSearch:
    cdef public unsigned int ceiling
    cdef public long long next_at
    cpdef void restart(self, unsigned int ceiling, long long now) noexcept
    @cython.locals(ceiling=cython.uint, size=cython.uint)
    cpdef unsigned int next_size(self, unsigned int floor, unsigned int most, unsigned int link) except? 0
    cpdef void tried(self, long long now) noexcept
    cpdef void passed(self, long long now) noexcept
    cpdef void failed(self, unsigned int size, long long now) noexcept
