import cython

from ebbrt.iobuf cimport IOBuf
from stack.tcp.engine cimport Counters, Engine
from stack.tcp.expiry cimport poll
from stack.tcp.input cimport segment_arrives
from stack.tcp.segment cimport Segment
from stack.tcp.tcb cimport Tcb
from stack.transport cimport Transport

cdef class Tcp(Transport):
    cdef readonly Engine engine
    cdef Segment _segment
    cdef unsigned int _first_port
    cdef unsigned int _last_port
    cpdef void receive_segment(
        self,
        IOBuf packet,
        unsigned int length,
        unsigned int source,
        unsigned int destination,
        bint checksum_valid,
        long long now,
    ) except *
    @cython.locals(connection=Tcb)
    cpdef void icmp_error(
        self,
        unsigned int error_type,
        unsigned int code,
        unsigned int source_port,
        unsigned int destination,
        unsigned int destination_port,
        unsigned int sequence,
        long long now,
    ) except *
    cpdef void poll(self, long long now) except *
    cpdef long long next_deadline(self) except? -1
    @cython.locals(counters=Counters)
    cpdef dict statistics(self)
