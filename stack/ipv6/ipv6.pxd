import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport NodeMemory
from stack.interface cimport Interface, InternetProtocol
from stack.internet cimport Internet
from stack.ipv6.extension cimport ExtensionHeaders
from stack.ipv6.link cimport Ipv6Link, is_group, is_host
from stack.ipv6.output cimport Ipv6Output
from stack.timed cimport Timed
from stack.transport cimport IcmpError, Received, Transport
from stack.wire.checksum cimport address_sum
from stack.wire.ipv6 cimport Ipv6Header

cdef long long FOREVER
cdef unsigned int ETHERNET_HEADER
cdef unsigned int PROTOCOL_ICMP
cdef unsigned int PROTOCOL_TCP
cdef unsigned int FRAGMENT_HEADER
cdef unsigned int IPV6_BAD_LENGTH
cdef unsigned int IPV6_BAD_SOURCE
cdef unsigned int IPV6_BAD_VERSION
cdef unsigned int IPV6_DELIVERED
cdef unsigned int IPV6_FRAGMENT
cdef unsigned int IPV6_HEADER
cdef unsigned int IPV6_NOT_OURS
cdef unsigned int IPV6_SHORT
cdef unsigned int IPV6_TCP_TO_GROUP
cdef unsigned int IPV6_UNKNOWN_PROTOCOL
cdef unsigned int PROTOCOL_ICMPV6
cdef unsigned int NEIGHBOR_ADVERTISEMENT
cdef unsigned int NEXT_HEADER_FIELD
cdef unsigned int LINK_SCOPE
cdef int UNRECOGNIZED_NEXT_HEADER

cdef class IPv6(InternetProtocol):
    cdef readonly Internet internet
    cdef object random
    cdef bytes key
    cdef readonly list interfaces
    cdef readonly Timed reassembly
    cdef readonly list links
    cdef readonly Ipv6Output output
    cdef public bint in_fragments
    cdef Received received
    cdef NodeMemory memory
    cdef Ipv6Header header
    cdef readonly ExtensionHeaders extensions
    cdef ExtensionHeaders quoted_extensions
    cdef Ipv6Header _quoted_header
    cdef readonly unsigned int quoted_protocol
    cdef public Transport icmp
    cdef public object reporter
    cdef unsigned long long[::1] _outcomes
    cdef unsigned long long _received
    @cython.locals(
        header=Ipv6Header, available=cython.uint, outcome=cython.uint, length=cython.uint
    )
    cpdef void receive(
        self, IOBuf packet, Interface interface, bint link_group, bint checksum_valid, long long now
    ) except *
    cpdef void count(self, unsigned int outcome) noexcept
    cpdef void deliver_whole(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int offset,
        unsigned int next_header,
        unsigned int named_at,
        long long now,
    ) except *
    @cython.locals(received=Received)
    cpdef void describe(
        self, Ipv6Header header, unsigned long long start, Interface interface, bint checksum_valid
    ) except *
    @cython.locals(transport=Transport, outcome=cython.uint)
    cpdef void deliver(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int offset,
        unsigned int next_header,
        unsigned int named_at,
        long long now,
    ) except *
    @cython.locals(
        header=Ipv6Header,
        walked=ExtensionHeaders,
        outcome=cython.uint,
        at=cython.ulonglong,
        protocol=cython.uint,
        transport=Transport,
        error=IcmpError,
    )
    cpdef bint report_error(
        self,
        unsigned int error_type,
        unsigned int code,
        unsigned int mtu,
        unsigned long long quoted,
        unsigned int contiguous,
        Ipv6Link link,
        long long now,
    ) except -1
    @cython.locals(link=Ipv6Link, frame=IOBuf, start=cython.ulonglong, contiguous=cython.uint)
    cpdef void poll(self, long long now) except *
    @cython.locals(link=Ipv6Link, deadline=cython.longlong)
    cpdef long long next_deadline(self) except? -1
    cdef void _poll_link(self, Ipv6Link link, long long now) except *
    cdef void _leave(self, IOBuf packet, unsigned int outcome, long long now) except *
    cpdef void report_problem(
        self, IOBuf packet, unsigned int code, unsigned int pointer, bint even_to_group, long long now
    ) except *
    cdef Transport _transport(self, unsigned int next_header)
    cdef bint _may_tell_conflict(self, Ipv6Header header, unsigned long long contiguous) noexcept
    @cython.locals(high=cython.ulonglong, low=cython.ulonglong, is_ours=cython.bint)
    cdef unsigned int _check(
        self, Ipv6Header header, unsigned int contiguous, unsigned int available, Ipv6Link link, bint link_group
    ) noexcept
    cdef bint _is_first_fragment(self, unsigned long long at) noexcept
