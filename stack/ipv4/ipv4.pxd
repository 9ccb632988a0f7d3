import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport NodeMemory
from stack.interface cimport Interface, InternetProtocol
from stack.internet cimport Internet
from stack.neighbour cimport Neighbour
from stack.routes cimport Route, RouteTable
from stack.transport cimport IcmpError, Path, Received, Transport
from stack.wire.checksum cimport address_sum
from stack.wire.ethernet cimport EthernetHeader
from stack.wire.ipv4 cimport Ipv4Header

cdef unsigned long long BROADCAST_MAC
cdef unsigned int DHCP_CLIENT_PORT
cdef unsigned int ETHERNET_HEADER
cdef long long FOREVER
cdef unsigned long long GROUP_MAC
cdef unsigned int ICMP_PARAMETER_PROBLEM
cdef unsigned int ICMP_UNREACHABLE
cdef unsigned int IPV4_BAD_OPTION
cdef unsigned int IPV4_BAD_SOURCE
cdef unsigned int IPV4_DELIVERED
cdef unsigned int IPV4_FRAGMENT
cdef unsigned int IPV4_HEADER
cdef unsigned long long IPV4_MAPPED_PREFIX
cdef unsigned int IPV4_NOT_OURS
cdef unsigned int IPV4_TCP_TO_GROUP
cdef unsigned int IPV4_UNKNOWN_PROTOCOL
cdef unsigned int LIMITED_BROADCAST
cdef unsigned int MASK32
cdef unsigned int PROTOCOL_TCP
cdef unsigned int PROTOCOL_UDP
cdef unsigned int UDP_HEADER
cdef unsigned int UNREACHABLE_HOST
cdef unsigned int UNREACHABLE_PROTOCOL

cdef class IPv4(InternetProtocol):
    cdef readonly Internet internet
    cdef readonly list interfaces
    cdef readonly RouteTable routes
    cdef Received received
    cdef NodeMemory memory
    cdef readonly object identifications
    cdef EthernetHeader ethernet
    cdef Ipv4Header header
    cdef Ipv4Header _quoted_header
    cdef public object icmp
    cdef public object igmp
    cdef readonly object reassembly
    cdef dict _paths
    cdef Neighbour everybody
    cdef Neighbour nobody
    cdef unsigned long long[::1] _outcomes
    cdef unsigned long long _received
    cdef unsigned long long sent
    cdef unsigned long long no_route
    cdef unsigned long long too_long
    cdef unsigned long long device_full
    cdef unsigned long long no_memory
    cdef unsigned long long fragmented
    cdef unsigned long long fragments_sent
    cpdef void set_address(self, Interface interface, object address) except *
    @cython.locals(received=Received, path=Path)
    cpdef Path reply_path(self)
    @cython.locals(route=Route, on_link=cython.bint, hop=cython.uint, neighbour=Neighbour, group=Neighbour)
    cpdef Neighbour next_hop(self, Interface interface, unsigned int destination, bint for_reply)
    @cython.locals(interface=Interface)
    cpdef Interface interface_of(self, unsigned int address)
    @cython.locals(interface=Interface, best=Interface, mask=cython.uint, route=Route)
    cpdef Interface interface_for(self, unsigned int destination)
    @cython.locals(
        header=Ipv4Header,
        available=cython.uint,
        outcome=cython.uint,
        length=cython.uint,
        protocol=cython.uint,
        received=Received,
        transport=Transport,
    )
    cpdef void receive(
        self, IOBuf packet, Interface interface, bint link_group, bint checksum_valid, long long now
    ) except *
    @cython.locals(header=Ipv4Header, destination=cython.uint, quoted=IOBuf)
    cpdef void send_error(
        self, unsigned int error_type, unsigned int code, unsigned int rest, IOBuf packet, Interface interface,
        long long now,
    ) except *
    @cython.locals(received=Received)
    @cython.final
    cdef void _describe(self, Ipv4Header header, Interface interface) except *
    @cython.locals(whole=IOBuf)
    cdef void _receive_fragment(
        self, IOBuf packet, unsigned int available, Interface interface, bint link_group, long long now
    ) except *
    @cython.locals(
        header=Ipv4Header, header_length=cython.uint, transport=Transport, ports=cython.uint, error=IcmpError
    )
    cpdef bint report_error(
        self,
        unsigned int error_type,
        unsigned int code,
        unsigned int mtu,
        unsigned long long quoted,
        unsigned int contiguous,
        Interface interface,
        long long now,
    ) except -1
    @cython.locals(interface=Interface, frame=IOBuf, start=cython.ulonglong, contiguous=cython.uint)
    cpdef void poll(self, long long now) except *
    @cython.locals(interface=Interface, deadline=cython.longlong)
    cpdef long long next_deadline(self) except? -1
    @cython.locals(destination=cython.uint, source=cython.uint, network=cython.uint, to_group=cython.bint)
    @cython.final
    cdef unsigned int _check_addresses(
        self, Ipv4Header header, unsigned int contiguous, Interface interface, bint link_group
    ) noexcept
    cdef bint _is_for_dhcp(self, Ipv4Header header, unsigned int contiguous) noexcept
