import cython

from ebbrt.iobuf cimport IOBuf, allocate
from ebbrt.memory cimport MemoryAllocator
from stack.error_limit cimport ErrorLimit
from stack.internet cimport Internet
from stack.ipv4.ipv4 cimport IPv4
from stack.ipv4.path cimport Ipv4Path
from stack.transport cimport IcmpError, Received, Transport
from stack.wire.checksum cimport chain_sum, memory_sum, update
from stack.wire.icmp cimport IcmpHeader

cdef unsigned int ERROR_TOO_BIG
cdef unsigned int ICMP_ECHO_REPLY
cdef unsigned int ICMP_ECHO_REQUEST
cdef unsigned int ICMP_HEADER
cdef unsigned int ICMP_PARAMETER_PROBLEM
cdef unsigned int ICMP_TIME_EXCEEDED
cdef unsigned int ICMP_UNREACHABLE
cdef unsigned int IPV4_HEADER
cdef unsigned int MASK32
cdef unsigned int PROTOCOL_ICMP
cdef unsigned int UNREACHABLE_TOO_BIG
cdef unsigned int IPV4_PROTOCOL_FIELD
cdef unsigned int QUOTED_PAYLOAD

cdef class Icmp(Transport):
    cdef IPv4 ip
    cdef Internet internet
    cdef MemoryAllocator allocator
    cdef IcmpHeader _header
    cdef ErrorLimit _error_limit
    cdef unsigned long long received
    cdef unsigned long long too_short
    cdef unsigned long long bad_checksum
    cdef unsigned long long echo_requests_answered
    cdef unsigned long long echo_requests_dropped
    cdef unsigned long long echo_to_broadcast
    cdef unsigned long long echo_replies
    cdef unsigned long long errors_delivered
    cdef unsigned long long errors_not_ours
    cdef unsigned long long unknown_type
    cdef unsigned long long errors_sent
    cdef unsigned long long errors_limited
    cdef unsigned long long errors_about_broadcast
    cdef unsigned long long errors_about_errors
    cdef unsigned long long errors_dropped
    @cython.locals(
        header=IcmpHeader,
        message_type=cython.uint,
        code=cython.uint,
        too_big=cython.bint,
        mtu=cython.uint,
        quoted=cython.ulonglong,
        contiguous=cython.uint,
    )
    cpdef void receive_segment(self, IOBuf packet, unsigned int length, Received received, long long now) except *
    cpdef void icmp_error(self, IcmpError error, long long now) except *
    @cython.locals(received=Received, quoted=cython.uint, length=cython.uint, error=IOBuf, options=bytes)
    cpdef void send_error(
        self, unsigned int error_type, unsigned int code, unsigned int rest, IOBuf packet, long long now
    ) except *
    @cython.locals(
        reply=IOBuf, header=IcmpHeader, code=cython.uint, checksum=cython.uint, rest=cython.uint, options=bytes
    )
    cdef void _answer_echo(self, IOBuf request, unsigned int length, Received received, long long now) except *
    cdef bytes _options(self, Received received, long long now)
    @cython.locals(path=Ipv4Path)
    cdef bint _send_back(
        self, IOBuf message, unsigned int length, bytes options, unsigned int traffic_class, long long now
    ) except -1
    cdef bint _is_error(self, IOBuf packet, Received received) noexcept
