import cython

from ebbrt.memory cimport NodeMemory

cdef unsigned int DESTINATION
cdef unsigned int SOURCE
cdef unsigned int TYPE

@cython.final
cdef class EthernetHeader:
    cdef NodeMemory memory
    cdef unsigned char[::1] mem
    cdef unsigned long long offset
    cpdef EthernetHeader at(self, unsigned long long offset)
    cpdef unsigned long long destination(self) noexcept
    cpdef unsigned long long source(self) noexcept
    @cython.locals(at=cython.ulonglong)
    cpdef unsigned int ethertype(self) noexcept
    cpdef void set_destination(self, unsigned long long address) noexcept
    @cython.locals(at=cython.ulonglong)
    cpdef void write(self, unsigned long long destination, unsigned long long source, unsigned int ethertype) noexcept
    @cython.locals(high=cython.ulonglong, low=cython.uint)
    cdef unsigned long long _address(self, unsigned long long at) noexcept
    cdef void _set_address(self, unsigned long long at, unsigned long long address) noexcept
