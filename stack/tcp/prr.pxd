import cython

cdef class ProportionalRateReduction:
    cdef readonly unsigned long long delivered
    cdef readonly unsigned long long out
    cdef readonly unsigned int recover_flight
    cdef readonly unsigned int ssthresh
    cpdef void start(self, unsigned int flight, unsigned int ssthresh) noexcept
    @cython.locals(share=cython.ulonglong, room=cython.ulonglong)
    cpdef unsigned int window(self, unsigned int delivered, unsigned int in_flight, unsigned int mss, bint safe) noexcept
    cpdef void sent(self, unsigned int length) noexcept
