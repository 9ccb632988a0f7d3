import cython

from ebbrt.iobuf cimport IOBuf
from stack.tcp.engine cimport Engine
from stack.transport cimport Received
from stack.wire.checksum cimport transport_sum
from stack.wire.tcp cimport TcpHeader, TcpOptions

cdef int DROP_BAD_CHECKSUM
cdef int DROP_BAD_DATA_OFFSET
cdef int DROP_BAD_OPTIONS
cdef int DROP_SPLIT_HEADER
cdef int DROP_TOO_SHORT
cdef unsigned int FIN
cdef unsigned int HEADER_LENGTH
cdef unsigned int MASK32
cdef unsigned int PROTOCOL_TCP
cdef unsigned int SYN

cdef class Segment:
    cdef readonly unsigned int source_port
    cdef readonly unsigned int destination_port
    cdef public unsigned int sequence
    cdef readonly unsigned int acknowledgment
    cdef public unsigned int flags
    cdef readonly unsigned int window
    cdef public unsigned int length
    cdef public IOBuf payload
    cdef readonly unsigned int mss
    cdef readonly int window_scale
    cdef readonly bint has_timestamps
    cdef readonly unsigned int timestamp_value
    cdef readonly unsigned int timestamp_echo
    cdef readonly bint sack_permitted
    cdef readonly unsigned int sack_blocks
    cdef readonly unsigned int traffic_class
    @cython.locals(header=TcpHeader, options=TcpOptions, data_offset=cython.uint)
    cpdef int read(
        self,
        Engine engine,
        IOBuf packet,
        unsigned int length,
        Received received,
    ) except -2
    cpdef void recall_syn(self, unsigned int mss, int window_scale, bint sack_permitted) noexcept
    cpdef unsigned int space(self) noexcept
