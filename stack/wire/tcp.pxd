import cython

from ebbrt.memory cimport NodeMemory

cdef unsigned int OPTION_END
cdef unsigned int OPTION_NOP
cdef unsigned int OPTION_MSS
cdef unsigned int OPTION_WINDOW_SCALE
cdef unsigned int OPTION_SACK_PERMITTED
cdef unsigned int OPTION_SACK
cdef unsigned int OPTION_TIMESTAMPS
cdef unsigned int OPTION_FAST_OPEN
cdef unsigned int LEAST_FAST_OPEN_COOKIE
cdef unsigned int MOST_FAST_OPEN_COOKIE
cdef unsigned int MOST_SACK_BLOCKS
cdef unsigned int MOST_WINDOW_SCALE

cdef class TcpHeader:
    cdef readonly NodeMemory memory
    cdef readonly unsigned long long start
    cpdef void at(self, NodeMemory memory, unsigned long long start) noexcept
    cpdef unsigned int source_port(self) noexcept
    cpdef unsigned int destination_port(self) noexcept
    cpdef unsigned int sequence(self) noexcept
    cpdef unsigned int acknowledgment(self) noexcept
    cpdef unsigned int data_offset(self) noexcept
    cpdef unsigned int flags(self) noexcept
    cpdef unsigned int window(self) noexcept
    cpdef void write(
        self,
        unsigned int source_port,
        unsigned int destination_port,
        unsigned int sequence,
        unsigned int acknowledgment,
        unsigned int data_offset,
        unsigned int flags,
        unsigned int window,
    ) noexcept

cdef class TcpOptions:
    cdef readonly unsigned int mss
    cdef readonly int window_scale
    cdef readonly bint has_timestamps
    cdef readonly unsigned int timestamp_value
    cdef readonly unsigned int timestamp_echo
    cdef readonly bint sack_permitted
    cdef readonly unsigned int sack_blocks
    cdef readonly int fast_open_length
    cdef unsigned long long _fast_open_start
    cdef unsigned int[::1] sack
    @cython.locals(end=cython.ulonglong, kind=cython.uint, size=cython.uint)
    cpdef bint parse(self, NodeMemory memory, unsigned long long start, unsigned int length) noexcept
    cdef bint _read_option(
        self, NodeMemory memory, unsigned long long start, unsigned int kind, unsigned int size
    ) noexcept
    @cython.locals(index=cython.uint)
    cdef bint _read_sack(self, NodeMemory memory, unsigned long long start, unsigned int length) noexcept
    cpdef bytes fast_open_cookie(self, NodeMemory memory)
    cdef void _read_fast_open(self, unsigned long long start, unsigned int length) noexcept
    cdef void _read_timestamps(self, NodeMemory memory, unsigned long long start) noexcept

cpdef unsigned int write_mss(NodeMemory memory, unsigned long long start, unsigned int mss) noexcept
@cython.locals(end=cython.uint)
cpdef unsigned int write_fast_open(NodeMemory memory, unsigned long long start, bytes cookie) except 0
cpdef unsigned int write_window_scale(NodeMemory memory, unsigned long long start, unsigned int shift) noexcept
cpdef unsigned int write_sack_permitted_and_timestamps(
    NodeMemory memory, unsigned long long start, unsigned int value, unsigned int echo
) noexcept
cpdef unsigned int write_timestamps(
    NodeMemory memory, unsigned long long start, unsigned int value, unsigned int echo
) noexcept
cpdef unsigned int write_sack_permitted(NodeMemory memory, unsigned long long start) noexcept
cpdef unsigned int write_sack(NodeMemory memory, unsigned long long start, unsigned int blocks) noexcept
cpdef unsigned int write_sack_block(
    NodeMemory memory, unsigned long long start, unsigned int left, unsigned int right
) noexcept
cdef unsigned int _read32(NodeMemory memory, unsigned long long at) noexcept
cdef void _write32(NodeMemory memory, unsigned long long at, unsigned int value) noexcept
