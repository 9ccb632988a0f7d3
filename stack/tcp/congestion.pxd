from stack.tcp.sequence cimport seq_le

cdef unsigned int MOST_WINDOW

cdef class NewReno:
    cdef readonly unsigned int mss
    cdef readonly unsigned int cwnd
    cdef readonly unsigned int initial_window
    cdef readonly unsigned int ssthresh
    cdef readonly unsigned int duplicate_acks
    cdef readonly bint in_recovery
    cdef readonly unsigned int recover
    cdef unsigned int _bytes_acked
    cpdef void acknowledged(self, unsigned int count, unsigned int flight) noexcept
    cpdef bint duplicate(self, unsigned int ack, unsigned int flight, unsigned int snd_max) noexcept
    cpdef bint recovering(self, unsigned int ack, unsigned int count, unsigned int flight) noexcept
    cpdef void timeout(self, unsigned int flight, unsigned int snd_max, bint first) noexcept
    cpdef void restart(self) noexcept
    cdef void _halve(self, unsigned int flight) noexcept
