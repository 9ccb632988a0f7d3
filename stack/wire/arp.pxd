import cython

from ebbrt.memory cimport NodeMemory

cdef unsigned int ARP_LENGTH
cdef unsigned int ETHERTYPE_IPV4
cdef unsigned int HARDWARE_TYPE
cdef unsigned int PROTOCOL_TYPE
cdef unsigned int HARDWARE_LENGTH
cdef unsigned int PROTOCOL_LENGTH
cdef unsigned int OPERATION
cdef unsigned int SENDER_MAC
cdef unsigned int SENDER_ADDRESS
cdef unsigned int TARGET_MAC
cdef unsigned int TARGET_ADDRESS
cdef unsigned int ETHERNET

@cython.final
cdef class ArpPacket:
    cdef NodeMemory memory
    cdef unsigned char[::1] mem
    cdef unsigned long long offset
    cpdef ArpPacket at(self, unsigned long long offset)
    cpdef bint is_valid(self, unsigned int available) noexcept
    cpdef unsigned int operation(self) noexcept
    cpdef unsigned long long sender_mac(self) noexcept
    cpdef unsigned int sender_address(self) noexcept
    cpdef unsigned long long target_mac(self) noexcept
    cpdef unsigned int target_address(self) noexcept
    cpdef void write(
        self,
        unsigned int operation,
        unsigned long long sender_mac,
        unsigned int sender_address,
        unsigned long long target_mac,
        unsigned int target_address,
    ) noexcept
    @cython.locals(at=cython.ulonglong)
    cdef unsigned long long _word(self, unsigned int field) noexcept
    @cython.locals(at=cython.ulonglong)
    cdef void _set_word(self, unsigned int field, unsigned int value) noexcept
    cdef void _set_mac(self, unsigned int field, unsigned long long mac) noexcept
