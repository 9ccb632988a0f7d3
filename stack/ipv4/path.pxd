import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.netdevice cimport EthernetDevice
from stack.interface cimport Interface
from stack.ipv4.ipv4 cimport IPv4
from stack.neighbour cimport Neighbour
from stack.transport cimport Path
from stack.wire.checksum cimport address_sum, start_checksum

cdef unsigned int ETHERNET_HEADER
cdef unsigned int ETHERTYPE_IPV4
cdef unsigned int GROUP_TTL
cdef unsigned int IPV4_HEADER
cdef unsigned int IPV4_LONGEST
cdef unsigned int LINK_AND_IPV4_HEADERS
cdef unsigned int MASK32
cdef unsigned int PROTOCOL_TCP

cdef class Ipv4Path(Path):
    cdef IPv4 ip
    cdef readonly Interface interface
    cdef EthernetDevice device
    cdef unsigned int source
    cdef unsigned int destination
    cdef bint to_group
    cdef bint checksum_offload
    cdef unsigned int generation
    cdef readonly Neighbour neighbour
    cpdef bint leads_to_host(self) except -1
    @cython.locals(ip=IPv4, total_length=cython.uint, checksum_start=cython.uint)
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
    @cython.locals(ip=IPv4)
    @cython.final
    cdef void _write_headers(
        self,
        IOBuf packet,
        unsigned int total_length,
        unsigned int identification,
        unsigned int protocol,
        unsigned int traffic_class,
    ) noexcept
    @cython.locals(identification=cython.uint)
    cdef void _write_headers_to_be_cut(
        self, IOBuf packet, unsigned int total_length, unsigned int protocol, unsigned int traffic_class, long long now
    ) except *
    @cython.locals(neighbour=Neighbour, left=cython.bint)
    @cython.final
    cdef bint _transmit(
        self,
        IOBuf frame,
        unsigned int checksum_start,
        unsigned int checksum_offset,
        unsigned int segment_size,
        long long now,
    ) except -1
    @cython.locals(ip=IPv4, total_length=cython.uint)
    cpdef bint send_with_options(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int protocol,
        bytes options,
        unsigned int traffic_class,
        long long now,
    ) except -1
    @cython.locals(
        ip=IPv4, identification=cython.uint, frame=IOBuf, header_length=cython.uint, total_length=cython.uint
    )
    cdef bint _send_in_fragments(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int protocol,
        unsigned int checksum_offset,
        unsigned int traffic_class,
        long long now,
        bytes options,
    ) except -1
    cdef void _look_again(self) except *
