import cython

from ebbrt.iobuf cimport IOBuf, allocate
from ebbrt.memory cimport MemoryAllocator
from stack.error_limit cimport ErrorLimit
from stack.internet cimport Internet
from stack.ipv6.ipv6 cimport IPv6
from stack.ipv6.link cimport Ipv6Link
from stack.transport cimport IcmpError, Path, Received, Transport
from stack.wire.checksum cimport transport_sum
from stack.wire.icmp cimport IcmpHeader

cdef unsigned int ERROR_TOO_BIG
cdef unsigned int ICMP_HEADER
cdef unsigned int ECHO_REPLY
cdef unsigned int ECHO_REQUEST
cdef unsigned int FIRST_INFORMATIONAL
cdef unsigned int PACKET_TOO_BIG
cdef unsigned int PROTOCOL_ICMPV6
cdef unsigned int REDIRECT
cdef unsigned int LISTENER_QUERY
cdef unsigned int MOST_QUOTED
cdef unsigned int CHECKSUM_OFFSET

cdef class Icmpv6(Transport):
    cdef IPv6 ip
    cdef Internet internet
    cdef MemoryAllocator allocator
    cdef IcmpHeader _header
    cdef ErrorLimit _error_limit
    cdef unsigned long long received
    cdef unsigned long long too_short
    cdef unsigned long long bad_checksum
    cdef unsigned long long echo_requests_answered
    cdef unsigned long long echo_requests_dropped
    cdef unsigned long long echo_replies
    cdef unsigned long long errors_delivered
    cdef unsigned long long errors_not_ours
    cdef unsigned long long about_link
    cdef unsigned long long in_fragments
    cdef unsigned long long unknown_type
    cdef unsigned long long errors_sent
    cdef unsigned long long errors_limited
    cdef unsigned long long errors_forbidden
    cdef unsigned long long errors_dropped
    @cython.locals(header=IcmpHeader, message_type=cython.uint)
    cpdef void receive_segment(self, IOBuf packet, unsigned int length, Received received, long long now) except *
    cpdef void icmp_error(self, IcmpError error, long long now) except *
    @cython.locals(received=Received, quoted=cython.uint, error=IOBuf)
    cpdef void send_error(
        self,
        unsigned int error_type,
        unsigned int code,
        unsigned int parameter,
        IOBuf packet,
        bint even_to_group,
        long long now,
    ) except *
    @cython.locals(header=IcmpHeader, rest=cython.uint, reply=IOBuf)
    cdef void _answer_echo(self, IOBuf request, unsigned int length, Received received, long long now) except *
    @cython.locals(path=Path)
    cdef bint _send_back(self, IOBuf message, unsigned int length, unsigned int traffic_class, long long now) except -1
    @cython.locals(
        header=IcmpHeader,
        code=cython.uint,
        mtu=cython.uint,
        quoted=cython.ulonglong,
        contiguous=cython.uint,
        link=Ipv6Link,
    )
    cdef void _take_error(
        self, unsigned int message_type, IOBuf packet, Received received, long long now
    ) except *
    @cython.locals(link=Ipv6Link, to_answer=cython.bint, in_order=cython.bint)
    cdef void _take_link_message(
        self, unsigned int message_type, IOBuf packet, Received received, long long now
    ) except *
