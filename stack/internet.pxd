import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.memory cimport MemoryAllocator
from stack.transport cimport IcmpError, Path, Received, Transport

cdef class Internet:
    cdef readonly MemoryAllocator allocator
    cdef readonly Received received
    cdef readonly IcmpError error
    cdef public unsigned int headroom
    cdef public object steering
    cdef public object ipv4
    cdef public object ipv6
    cdef public object icmp
    cdef list _transports
    cpdef void register(self, unsigned int protocol, Transport transport) except *
    cpdef Transport transport(self, unsigned int protocol)
    cpdef Path path(self, object source, object destination)
    @cython.locals(local=tuple, remote=tuple)
    cpdef Path known_path(self, IcmpError error)
    cpdef void port_unreachable(self, IOBuf packet, long long now) except *
    cpdef Path path_back(self)
    cpdef Path reply_path(self)
