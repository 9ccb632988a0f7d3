import cython

from ebbrt.clock cimport Clock
from ebbrt.memory cimport MemoryAllocator
from stack.internet cimport Internet
from stack.ipv4.icmp cimport Icmp
from stack.ipv4.ipv4 cimport IPv4
from stack.ipv6.icmpv6 cimport Icmpv6
from stack.ipv6.ipv6 cimport IPv6
from stack.routes cimport RouteTable
from stack.tcp.tcp cimport Tcp
from stack.timed cimport Due, Timed
from stack.udp cimport Udp

cdef class Stack:
    cdef readonly MemoryAllocator allocator
    cdef readonly Clock clock
    cdef readonly list interfaces
    cdef readonly RouteTable routes
    cdef readonly Internet internet
    cdef readonly IPv4 ipv4
    cdef readonly Icmp icmp
    cdef readonly IPv6 ipv6
    cdef readonly Icmpv6 icmpv6
    cdef readonly Udp udp
    cdef readonly Tcp tcp
    cdef readonly Due due
    cdef list _timed
    cdef readonly object random
    cpdef void poll(self, long long now) except *
    @cython.locals(timed=Timed)
    cdef void _poll_rarer_parts(self, long long now) except *
    @cython.locals(timed=Timed)
    cdef void _ask_rarer_parts(self) except *
    @cython.locals(deadline=cython.longlong)
    cpdef long long next_deadline(self) except? -1
