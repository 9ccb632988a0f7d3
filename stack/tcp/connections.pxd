import cython

from ebbrt.network cimport TcpConnection
from stack.transport cimport Path

cdef unsigned long long MASK64
cdef unsigned long long GOLDEN
cdef unsigned int LEAST_BUCKETS

cdef class Flow(TcpConnection):
    cdef readonly Path path
    cdef readonly unsigned int remote_port
    cdef readonly unsigned int local_port
    cdef Flow following

cpdef bint joins(
    Path path,
    unsigned long long local_high,
    unsigned long long local_low,
    unsigned long long remote_high,
    unsigned long long remote_low,
) noexcept

cdef class Connections:
    cdef readonly unsigned int count
    cpdef Flow find(
        self,
        unsigned long long local_high,
        unsigned long long local_low,
        unsigned int local_port,
        unsigned long long remote_high,
        unsigned long long remote_low,
        unsigned int remote_port,
    )
    cpdef void insert(self, Flow flow) except *
    cpdef void remove(self, Flow flow) except *
    cpdef list flows(self)

cdef class ConnectionTable(Connections):
    cdef unsigned long long _seed
    cdef unsigned int _mask
    cdef list _buckets
    @cython.locals(flow=Flow)
    cpdef Flow find(
        self,
        unsigned long long local_high,
        unsigned long long local_low,
        unsigned int local_port,
        unsigned long long remote_high,
        unsigned long long remote_low,
        unsigned int remote_port,
    )
    cpdef void insert(self, Flow flow) except *
    @cython.locals(index=cython.uint, previous=Flow, current=Flow)
    cpdef void remove(self, Flow flow) except *
    @cython.locals(flows=list, flow=Flow)
    cpdef list flows(self)
    @cython.locals(flows=list, flow=Flow)
    cdef void _grow(self) except *
    @cython.locals(index=cython.uint)
    cdef void _link(self, Flow flow) except *
    @cython.locals(path=Path)
    cdef unsigned int _index(self, Flow flow) noexcept
    @cython.locals(mixed=cython.ulonglong)
    cdef unsigned int _hash(
        self,
        unsigned long long remote_high,
        unsigned long long remote_low,
        unsigned int remote_port,
        unsigned int local_port,
    ) noexcept
