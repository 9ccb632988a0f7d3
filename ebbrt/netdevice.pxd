from ebbrt.iobuf cimport IOBuf

cdef class FrameHandler:
    cpdef void receive_frame(self, IOBuf frame, bint checksum_valid) except *

cdef class EthernetDevice:
    cdef public bytes mac
    cdef public unsigned int mtu
    cdef public unsigned int headroom
    cdef public bint checksum_offload
    cdef public unsigned int largest_segment
    cdef public bint segments_ipv6
    cpdef bint transmit(
        self, IOBuf frame, unsigned int checksum_start, unsigned int checksum_offset, unsigned int segment_size
    ) except -1
