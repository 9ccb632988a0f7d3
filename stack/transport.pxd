from ebbrt.iobuf cimport IOBuf

cdef class Transport:
    cpdef void receive_segment(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int source,
        unsigned int destination,
        bint checksum_valid,
        long long now,
    ) except *
    cpdef void icmp_error(
        self,
        unsigned int error_type,
        unsigned int code,
        unsigned int source_port,
        unsigned int destination,
        unsigned int destination_port,
        unsigned int sequence,
        long long now,
    ) except *
