import cython

from ebbrt.memory cimport NodeMemory

cdef unsigned int SOURCE_PORT
cdef unsigned int DESTINATION_PORT
cdef unsigned int LENGTH
cdef unsigned int CHECKSUM

@cython.final
cdef class UdpHeader:
    cdef NodeMemory memory
    cdef unsigned char[::1] mem
    cdef unsigned long long offset
    cpdef UdpHeader at(self, unsigned long long offset)
    cpdef unsigned int source_port(self) noexcept
    cpdef unsigned int destination_port(self) noexcept
    cpdef unsigned int length(self) noexcept
    cpdef unsigned int checksum(self) noexcept
    cpdef void write(self, unsigned int source_port, unsigned int destination_port, unsigned int length) noexcept
    @cython.locals(at=cython.ulonglong)
    cdef unsigned int _word(self, unsigned int field) noexcept
    @cython.locals(at=cython.ulonglong)
    cdef void _set_word(self, unsigned int field, unsigned int value) noexcept
