import cython

from stack.path_search cimport PathSearch

cdef long long FOREVER

cdef class PathMtu:
    cdef readonly unsigned int version
    cdef public unsigned int mtu
    cdef readonly long long mtu_expires
    cdef readonly bint may_be_cut
    cdef public PathSearch search
    cdef unsigned int _mtu_before
    @cython.locals(mtu=cython.uint)
    cpdef bint packet_too_big(self, unsigned int said, unsigned int length, long long now) except -1
    cpdef unsigned int mtu_for(self, unsigned int said, unsigned int length) except? 0
    cpdef void lower_mtu(self, unsigned int mtu, long long now) noexcept
    cpdef void raise_mtu(self, unsigned int mtu, long long now) noexcept
    cpdef void restore_mtu(self) noexcept
    cpdef bint renew_mtu(self, long long now) except -1
    cpdef unsigned int link_mtu(self) noexcept
    cpdef void set_link_mtu(self, unsigned int mtu) noexcept

@cython.locals(plateau=cython.uint)
cpdef unsigned int plateau_below(unsigned int mtu) except? 0
