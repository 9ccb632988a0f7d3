import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport NodeMemory

cdef unsigned long long LOW_HALF
cdef unsigned int PROTOCOL_UDP

cpdef unsigned int fold(unsigned long long total) noexcept
@cython.locals(
    total=cython.ulonglong, at=cython.ulonglong, end=cython.ulonglong, word=cython.ulonglong, last_word=cython.ulonglong
)
cpdef unsigned int memory_sum(NodeMemory memory, unsigned long long start, unsigned int length) noexcept
@cython.locals(total=cython.uint, done=cython.uint, count=cython.uint, part=cython.uint, piece=IOBuf)
cpdef unsigned int chain_sum(IOBuf chain, unsigned int length) noexcept
cpdef unsigned int address_sum(unsigned long long value) noexcept
cpdef unsigned int pseudo_header_sum(unsigned int addresses, unsigned int protocol, unsigned int length) noexcept
cpdef unsigned int transport_sum(
    IOBuf packet, unsigned int length, unsigned int protocol, unsigned int addresses
) noexcept
@cython.locals(total=cython.uint)
cpdef void start_checksum(
    IOBuf packet, unsigned int length, unsigned int protocol, unsigned int addresses, unsigned int offset, bint offload
) noexcept
cpdef unsigned int update(unsigned int checksum, unsigned int old, unsigned int new) noexcept
