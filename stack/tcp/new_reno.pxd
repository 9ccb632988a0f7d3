from stack.tcp.congestion cimport CongestionControl

cdef unsigned int MOST_WINDOW

cdef class NewReno(CongestionControl):
    cdef unsigned int _bytes_acked
    cpdef str name(self)
    cpdef void avoid(self, unsigned int count, long long rtt, long long now) except *
    cpdef void reduce(self, unsigned int flight, long long now) except *
