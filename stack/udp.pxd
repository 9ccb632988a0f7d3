import cython

from ebbrt.clock cimport Clock
from ebbrt.iobuf cimport IOBuf, allocate
from ebbrt.memory cimport MemoryAllocator
from ebbrt.network cimport UdpHandler, UdpSocket
from stack.internet cimport Internet
from stack.transport cimport IcmpError, Path, Received, Transport
from stack.wire.checksum cimport transport_sum
from stack.wire.udp cimport UdpHeader

cdef unsigned int ERROR_PORT
cdef unsigned int ERROR_TOO_BIG
cdef unsigned int IPV4_LONGEST
cdef unsigned int PROTOCOL_UDP
cdef unsigned int UDP_CHECKSUM_OFFSET
cdef unsigned int UDP_HEADER
cdef unsigned int FIRST_EPHEMERAL
cdef unsigned int LAST_PORT

cdef class Udp(Transport):
    cdef Internet internet
    cdef MemoryAllocator allocator
    cdef Clock clock
    cdef object random
    cdef dict _sockets
    cdef UdpHeader _header
    cdef bint _delivering
    cdef unsigned long long received
    cdef unsigned long long delivered
    cdef unsigned long long too_short
    cdef unsigned long long bad_length
    cdef unsigned long long bad_checksum
    cdef unsigned long long no_socket
    cdef unsigned long long handed_over
    cdef unsigned long long sent
    cdef unsigned long long send_dropped
    @cython.locals(header=UdpHeader, datagram_length=cython.uint, source_port=cython.uint, socket=StackUdpSocket)
    cpdef void receive_segment(self, IOBuf packet, unsigned int length, Received received, long long now) except *
    @cython.locals(socket=StackUdpSocket, path=Path)
    cpdef void icmp_error(self, IcmpError error, long long now) except *
    @cython.locals(path=Path, back=Path)
    cpdef bint send(self, unsigned int port, IOBuf data, object destination, unsigned int destination_port) except -1
    @cython.locals(received=Received, is_its_source=cython.bint)
    cdef bint _answers(self, object destination) except -1
    @cython.locals(length=cython.uint, header=IOBuf)
    cpdef bint send_on(self, Path path, unsigned int port, IOBuf data, unsigned int destination_port) except -1
    cpdef void unbind(self, unsigned int port) except *

cdef class StackUdpSocket(UdpSocket):
    cdef Udp udp
    cdef unsigned int port
    cdef UdpHandler handler
    cdef list _joined
    cpdef unsigned int local_port(self) except? 0xFFFFFFFF
    cpdef bint send(self, IOBuf data, str address, unsigned int port) except -1
    cpdef void close(self) except *
