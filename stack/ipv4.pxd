import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport NodeMemory
from ebbrt.netdevice cimport EthernetDevice
from stack.neighbour cimport Neighbour, NeighbourTable
from stack.transport cimport Transport
from stack.wire.checksum cimport chain_sum, fold, pseudo_header_sum
from stack.wire.ethernet cimport EthernetHeader
from stack.wire.ipv4 cimport Ipv4Header

cdef unsigned long long BROADCAST_MAC
cdef unsigned int ETHERNET_HEADER
cdef unsigned int ETHERTYPE_IPV4
cdef unsigned int ICMP_UNREACHABLE
cdef unsigned int IPV4_BAD_SOURCE
cdef unsigned int IPV4_DELIVERED
cdef unsigned int IPV4_FRAGMENT
cdef unsigned int IPV4_HEADER
cdef unsigned int IPV4_LONGEST
cdef unsigned int IPV4_NOT_OURS
cdef unsigned int IPV4_TCP_TO_BROADCAST
cdef unsigned int IPV4_UNKNOWN_PROTOCOL
cdef unsigned int LIMITED_BROADCAST
cdef unsigned int LINK_AND_IPV4_HEADERS
cdef unsigned int PROTOCOL_TCP
cdef unsigned int PROTOCOL_UDP
cdef unsigned int UNREACHABLE_HOST

@cython.final
cdef class IPv4:
    cdef EthernetDevice device
    cdef readonly unsigned int headroom
    cdef readonly unsigned int address
    cdef readonly unsigned int mtu
    cdef readonly bint checksum_offload
    cdef readonly unsigned int largest_segment
    cdef readonly NeighbourTable neighbours
    cdef readonly unsigned long long received_start
    cdef readonly unsigned int received_header_length
    cdef readonly unsigned int received_source
    cdef readonly bint received_broadcast
    cdef public object steering
    cdef NodeMemory _memory
    cdef unsigned long long _mac
    cdef unsigned int _mask
    cdef unsigned int _broadcast
    cdef unsigned int _gateway
    cdef unsigned int _identification
    cdef list _transports
    cdef Transport _unknown_protocol
    cdef Neighbour _everybody
    cdef Neighbour _nobody
    cdef EthernetHeader _ethernet
    cdef Ipv4Header _header
    cdef Ipv4Header _quoted_header
    cdef unsigned long long[::1] _outcomes
    cdef unsigned long long _received
    cdef unsigned long long _sent
    cdef unsigned long long _no_route
    cdef unsigned long long _too_long
    cdef unsigned long long _device_full
    cpdef void register(self, unsigned int protocol, Transport transport) except *
    cpdef void register_unknown(self, Transport transport) except *
    cpdef Neighbour neighbour(self, unsigned int destination)
    @cython.locals(neighbour=Neighbour)
    cpdef bint is_host(self, unsigned int destination) except -1
    @cython.locals(total_length=cython.uint, checksum_start=cython.uint, left=cython.bint)
    cpdef bint send(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int protocol,
        unsigned int destination,
        Neighbour neighbour,
        unsigned int checksum_offset,
        unsigned int segment_size,
        long long now,
    ) except -1
    @cython.locals(
        header=Ipv4Header,
        available=cython.uint,
        outcome=cython.uint,
        length=cython.uint,
        protocol=cython.uint,
        destination=cython.uint,
        transport=Transport,
    )
    cpdef void receive(self, IOBuf packet, bint link_broadcast, bint checksum_valid, long long now) except *
    @cython.locals(header=Ipv4Header, header_length=cython.uint, transport=Transport, ports=cython.uint)
    cpdef bint report_error(
        self,
        unsigned int error_type,
        unsigned int code,
        unsigned long long quoted,
        unsigned int contiguous,
        long long now,
    ) except -1
    @cython.locals(frame=IOBuf)
    cpdef void poll(self, long long now) except *
    cpdef long long next_deadline(self) noexcept
    @cython.locals(destination=cython.uint, source=cython.uint, network=cython.uint)
    cdef unsigned int _check_addresses(self, Ipv4Header header, bint link_broadcast) noexcept
    @cython.locals(total=cython.uint, at=cython.ulonglong)
    cdef unsigned int _start_checksum(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int protocol,
        unsigned int destination,
        unsigned int checksum_offset,
    ) noexcept
