import cython

from ebbrt.memory cimport NodeMemory

cdef unsigned int VERSION
cdef unsigned int PAYLOAD_LENGTH
cdef unsigned int NEXT_HEADER
cdef unsigned int HOP_LIMIT
cdef unsigned int SOURCE
cdef unsigned int DESTINATION

@cython.final
cdef class Ipv6Header:
    cdef NodeMemory memory
    cdef unsigned char[::1] mem
    cdef unsigned long long offset
    cpdef Ipv6Header at(self, unsigned long long offset)
    cpdef unsigned int version(self) noexcept
    cpdef unsigned int traffic_class(self) noexcept
    cpdef unsigned int payload_length(self) noexcept
    cpdef unsigned int next_header(self) noexcept
    cpdef unsigned int hop_limit(self) noexcept
    cpdef unsigned long long source_high(self) noexcept
    cpdef unsigned long long source_low(self) noexcept
    cpdef unsigned long long destination_high(self) noexcept
    cpdef unsigned long long destination_low(self) noexcept
    cpdef void set_payload_length(self, unsigned int length) noexcept
    @cython.locals(at=cython.ulonglong)
    cpdef void write(
        self,
        unsigned int payload_length,
        unsigned int next_header,
        unsigned int hop_limit,
        unsigned int traffic_class,
        unsigned long long source_high,
        unsigned long long source_low,
        unsigned long long destination_high,
        unsigned long long destination_low,
    ) noexcept
    @cython.locals(high=cython.ulonglong)
    cdef unsigned long long _half(self, unsigned int field) noexcept
    @cython.locals(at=cython.ulonglong)
    cdef unsigned int _double_word(self, unsigned int field) noexcept
    @cython.locals(at=cython.ulonglong)
    cdef void _set_half(self, unsigned int field, unsigned long long value) noexcept
