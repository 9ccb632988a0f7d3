import cython

from ebbrt.memory cimport NodeMemory

cdef unsigned int TYPE
cdef unsigned int CODE
cdef unsigned int CHECKSUM
cdef unsigned int REST

@cython.final
cdef class IcmpHeader:
    cdef NodeMemory memory
    cdef unsigned char[::1] mem
    cdef unsigned long long offset
    cpdef IcmpHeader at(self, unsigned long long offset)
    cpdef unsigned int message_type(self) noexcept
    cpdef unsigned int code(self) noexcept
    cpdef unsigned int checksum(self) noexcept
    @cython.locals(at=cython.ulonglong)
    cpdef unsigned int rest(self) noexcept
    @cython.locals(at=cython.ulonglong)
    cpdef void write(
        self, unsigned int message_type, unsigned int code, unsigned int checksum, unsigned int rest
    ) noexcept
