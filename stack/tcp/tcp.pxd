import cython

from ebbrt.iobuf cimport IOBuf
from stack.tcp.engine cimport Counters, Engine
from stack.tcp.expiry cimport poll
from stack.tcp.input cimport segment_arrives
from stack.tcp.segment cimport Segment
from stack.transport cimport IcmpError, Path, Received, Transport

cdef class Tcp(Transport):
    cdef readonly Engine engine
    cdef Segment _segment
    cdef public object ports
    cpdef void receive_segment(self, IOBuf packet, unsigned int length, Received received, long long now) except *
    cpdef void icmp_error(self, IcmpError error, long long now) except *
    cpdef void poll(self, long long now) except *
    cpdef long long next_deadline(self) except? -1
    @cython.locals(counters=Counters)
    cpdef dict statistics(self)
