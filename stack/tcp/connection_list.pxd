import cython

from stack.tcp.connections cimport Connections, Flow, joins

cdef class ConnectionList(Connections):
    cdef Flow _head
    @cython.locals(flow=Flow, previous=Flow)
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
    @cython.locals(previous=Flow, current=Flow)
    cpdef void remove(self, Flow flow) except *
    @cython.locals(flows=list, flow=Flow)
    cpdef list flows(self)
