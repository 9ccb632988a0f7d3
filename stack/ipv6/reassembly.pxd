import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport NodeMemory
from stack.ipv6.extension cimport ExtensionHeaders, FragmentHeader
from stack.timed cimport Timed
from stack.transport cimport Received
from stack.wire.ipv6 cimport Ipv6Header

cdef unsigned int ECN
cdef unsigned int FRAGMENT_HEADER
cdef unsigned int IPV6_BAD_EXTENSION
cdef unsigned int IPV6_DELIVERED
cdef unsigned int IPV6_FRAGMENT
cdef unsigned int IPV6_HEADER
cdef unsigned int LEAST_TRANSPORT_HEADER
cdef unsigned int NEXT_HEADER_FIELD

cdef class Reassembly(Timed):
    cdef object ip
    cdef ExtensionHeaders extensions
    cdef Received received
    cdef NodeMemory memory
    cdef Ipv6Header _header
    cdef FragmentHeader _fragment
    cdef object _fragments
    @cython.locals(
        fragment=FragmentHeader,
        extensions=ExtensionHeaders,
        at=cython.uint,
        outcome=cython.uint,
        header_length=cython.uint,
    )
    cpdef void take(self, IOBuf packet, unsigned int length, long long now) except *
    @cython.locals(extensions=ExtensionHeaders, outcome=cython.uint)
    cdef bint _has_whole_header(self, IOBuf packet, unsigned int header_length) except -1
    @cython.locals(received=Received, fragment=FragmentHeader)
    cdef void _keep(self, IOBuf packet, unsigned int header_length, long long now) except *
    @cython.locals(
        headers=IOBuf, packet=IOBuf, header_length=cython.uint, header=Ipv6Header, extensions=ExtensionHeaders
    )
    cdef void _finish(self, object datagram, long long now) except *
    @cython.locals(start=cython.ulonglong, next_header=cython.uint)
    cdef void _deliver(
        self, IOBuf packet, unsigned int header_length, unsigned int length, unsigned int named_at, long long now
    ) except *
