import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport NodeMemory
from stack.interface cimport Interface
from stack.path_mtu cimport PathMtu

cdef class Received:
    cdef public unsigned int version
    cdef public Interface interface
    cdef public unsigned long long source_high
    cdef public unsigned long long source_low
    cdef public unsigned long long destination_high
    cdef public unsigned long long destination_low
    cdef public unsigned int address_sum
    cdef public unsigned long long start
    cdef public unsigned int header_length
    cdef public unsigned int hop_limit
    cdef public unsigned int traffic_class
    cdef public bint to_group
    cdef public bint checksum_valid
    @cython.locals(memory=NodeMemory, part=cython.uint, piece=IOBuf, count=cython.uint)
    cpdef void quote(self, IOBuf packet, unsigned long long at, unsigned int length) except *

cdef class IcmpError:
    cdef public unsigned int kind
    cdef public unsigned int mtu
    cdef public unsigned int length
    cdef public unsigned long long local_high
    cdef public unsigned long long local_low
    cdef public unsigned int local_port
    cdef public unsigned long long remote_high
    cdef public unsigned long long remote_low
    cdef public unsigned int remote_port
    cdef public unsigned int sequence

cdef class Transport:
    cpdef void receive_segment(self, IOBuf packet, unsigned int length, Received received, long long now) except *
    cpdef void icmp_error(self, IcmpError error, long long now) except *

cdef class Path(PathMtu):
    cdef readonly unsigned long long source_high
    cdef readonly unsigned long long source_low
    cdef readonly unsigned long long destination_high
    cdef readonly unsigned long long destination_low
    cdef readonly unsigned int address_sum
    cdef readonly unsigned int headroom
    cdef readonly unsigned int header_length
    cdef readonly unsigned int largest_segment
    cpdef bint leads_to_host(self) except -1
    cpdef bint send(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int protocol,
        unsigned int checksum_offset,
        unsigned int segment_size,
        unsigned int traffic_class,
        long long now,
    ) except -1
