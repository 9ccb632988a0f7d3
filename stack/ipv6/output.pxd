import cython

from ebbrt.iobuf cimport IOBuf, allocate
from stack.internet cimport Internet
from stack.ipv6.link cimport Ipv6Link, is_group, is_host
from stack.neighbour cimport Neighbour
from stack.transport cimport Path
from stack.wire.checksum cimport address_sum, start_checksum
from stack.wire.ethernet cimport EthernetHeader
from stack.wire.ipv6 cimport Ipv6Header

cdef unsigned int ETHERNET_HEADER
cdef unsigned int ETHERTYPE_IPV6
cdef unsigned int IPV6_HEADER
cdef unsigned int LINK_AND_IPV6_HEADERS
cdef unsigned int LONGEST_PAYLOAD
cdef unsigned int PROTOCOL_TCP
cdef unsigned int FRAGMENT
cdef unsigned int FRAGMENT_HEADER

cdef class Ipv6Output:
    cdef readonly Internet internet
    cdef readonly list links
    cdef EthernetHeader ethernet
    cdef Ipv6Header header
    cdef Neighbour nobody
    cdef dict _paths
    cdef public unsigned long long sent
    cdef public unsigned long long no_route
    cdef public unsigned long long too_long
    cdef public unsigned long long device_full
    cdef public unsigned long long no_memory
    cdef public unsigned long long fragmented
    cdef public unsigned long long fragments_sent
    cdef object random
    @cython.locals(high=cython.ulonglong, low=cython.ulonglong, everybody=Neighbour)
    cpdef Neighbour next_hop(self, Ipv6Link link, Path path, bint for_reply)

cdef class Ipv6Path(Path):
    cdef Ipv6Output output
    cdef readonly Ipv6Link link
    cdef bint checksum_offload
    cdef unsigned int generation
    cdef readonly Neighbour neighbour
    cpdef bint is_outdated(self) noexcept
    cpdef bint leads_to_host(self) except -1
    @cython.locals(output=Ipv6Output, link=Ipv6Link, neighbour=Neighbour, checksum_start=cython.uint)
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
    @cython.locals(output=Ipv6Output, most=cython.uint, start=cython.uint, count=cython.uint, fragment=IOBuf)
    cdef bint _send_fragments(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int protocol,
        unsigned int checksum_offset,
        unsigned int traffic_class,
        long long now,
    ) except -1
    @cython.locals(output=Ipv6Output, link=Ipv6Link, neighbour=Neighbour, left=cython.bint)
    cdef bint _transmit(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int protocol,
        unsigned int checksum_start,
        unsigned int checksum_offset,
        unsigned int segment_size,
        unsigned int traffic_class,
        long long now,
    ) except -1
    cdef void _look_again(self) except *

@cython.locals(piece=IOBuf, head=IOBuf, last=IOBuf)
cpdef IOBuf part_of(IOBuf chain, unsigned int start, unsigned int length)
