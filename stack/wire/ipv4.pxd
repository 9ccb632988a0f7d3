import cython

from ebbrt.memory cimport NodeMemory
from stack.wire.checksum cimport fold, memory_sum, update

cdef unsigned int DEFAULT_TTL
cdef unsigned int IPV4_BAD_CHECKSUM
cdef unsigned int IPV4_BAD_HEADER_LENGTH
cdef unsigned int IPV4_BAD_OPTION
cdef unsigned int IPV4_BAD_TOTAL_LENGTH
cdef unsigned int IPV4_BAD_VERSION
cdef unsigned int IPV4_DELIVERED
cdef unsigned int IPV4_HEADER
cdef unsigned int IPV4_SHORT
cdef unsigned int IPV4_SOURCE_ROUTE
cdef unsigned int VERSION_AND_LENGTH
cdef unsigned int TYPE_OF_SERVICE
cdef unsigned int TOTAL_LENGTH
cdef unsigned int IDENTIFICATION
cdef unsigned int FLAGS_AND_OFFSET
cdef unsigned int TIME_TO_LIVE
cdef unsigned int PROTOCOL
cdef unsigned int CHECKSUM
cdef unsigned int SOURCE
cdef unsigned int DESTINATION
cdef unsigned int DONT_FRAGMENT
cdef unsigned int MORE_AND_OFFSET
cdef unsigned int MORE_FRAGMENTS
cdef unsigned int OFFSET
cdef unsigned int ECN
cdef unsigned int VERSION_4_NO_OPTIONS
cdef unsigned int OPTION_END
cdef unsigned int OPTION_NOTHING
cdef unsigned int OPTION_RECORD_ROUTE
cdef unsigned int OPTION_TIMESTAMP
cdef unsigned int OPTION_LOOSE_ROUTE
cdef unsigned int OPTION_STRICT_ROUTE

@cython.final
cdef class Ipv4Header:
    cdef NodeMemory memory
    cdef unsigned char[::1] mem
    cdef readonly unsigned long long offset
    cdef readonly unsigned int bad_option
    cpdef Ipv4Header at(self, unsigned long long offset)
    @cython.locals(header_length=cython.uint, total_length=cython.uint)
    cpdef unsigned int check(self, unsigned int contiguous, unsigned int available) noexcept
    @cython.locals(
        at=cython.uint, kind=cython.uint, length=cython.uint, has_route=cython.bint, has_times=cython.bint
    )
    cdef unsigned int _check_options(self, unsigned int header_length) noexcept
    @cython.locals(pointer=cython.uint)
    cdef bint _is_route(self, unsigned int at, unsigned int length) noexcept
    @cython.locals(pointer=cython.uint, overflow=cython.uint, flag=cython.uint, needed=cython.uint)
    cdef bint _is_timestamp(self, unsigned int at, unsigned int length) noexcept
    cpdef unsigned int version(self) noexcept
    cpdef unsigned int header_length(self) noexcept
    cpdef unsigned int type_of_service(self) noexcept
    cpdef unsigned int total_length(self) noexcept
    cpdef unsigned int identification(self) noexcept
    cpdef bint is_fragment(self) noexcept
    cpdef unsigned int fragment_offset(self) noexcept
    cpdef bint has_more_fragments(self) noexcept
    cpdef unsigned int time_to_live(self) noexcept
    cpdef unsigned int protocol(self) noexcept
    cpdef unsigned int source(self) noexcept
    cpdef unsigned int destination(self) noexcept
    cpdef unsigned int payload_double_word(self, unsigned int at) noexcept
    @cython.locals(at=cython.ulonglong, total=cython.uint)
    cpdef void write(
        self,
        unsigned int total_length,
        unsigned int identification,
        unsigned int protocol,
        unsigned int source,
        unsigned int destination,
        unsigned int type_of_service,
        unsigned int addresses,
    ) noexcept
    @cython.locals(protocol=cython.uint)
    cpdef void set_time_to_live(self, unsigned int hops) noexcept
    cpdef void add_options(self, unsigned int length) noexcept
    @cython.locals(word=cython.uint)
    cpdef void become_fragment(self, unsigned int offset, bint more) noexcept
    cpdef void become_whole(self, unsigned int total_length, unsigned int ecn) noexcept
    @cython.locals(at=cython.ulonglong)
    cdef unsigned int _word(self, unsigned int field) noexcept
    @cython.locals(at=cython.ulonglong)
    cdef unsigned int _double_word(self, unsigned int field) noexcept
    @cython.locals(at=cython.ulonglong)
    cdef void _set_word(self, unsigned int field, unsigned int value) noexcept
