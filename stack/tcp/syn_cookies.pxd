import cython

from stack.tcp.sequence cimport seq_lt

cdef unsigned int MASK32
cdef long long COOKIE_PERIOD
cdef unsigned int MOST_INDEX
cdef unsigned int NO_WINDOW_SCALE
cdef unsigned int OPTION_BITS
cdef unsigned int SACK_BIT
cdef unsigned int WINDOW_SCALE_BITS

cdef class SynCookies:
    cdef bytes _secret
    cdef long long _period
    cdef unsigned long long _sent_now
    cdef unsigned long long _sent_before
    cdef readonly unsigned long long sent
    cdef readonly unsigned long long accepted
    cdef public unsigned long long rejected
    cpdef unsigned long long outstanding(self, long long now) noexcept
    @cython.locals(index=cython.uint)
    cpdef unsigned int make(self, bytes flow, unsigned int peer_sequence, unsigned int mss, long long now) except? 0
    @cython.locals(period=cython.longlong, index=cython.uint)
    cpdef unsigned int check(
        self, bytes flow, unsigned int peer_sequence, unsigned int cookie, long long now
    ) except? 0
    cpdef void accept(self) noexcept
    cdef unsigned int _hash(self, bytes flow, unsigned int peer_sequence, long long period) except? 0

@cython.locals(options=cython.uint, value=cython.uint)
cpdef unsigned int with_options(unsigned int timestamp, int window_scale, bint sack) noexcept
@cython.locals(scale=cython.int)
cpdef int window_scale_of(unsigned int timestamp) noexcept
cpdef bint sack_of(unsigned int timestamp) noexcept
