from ebbrt.events.handlers cimport TimerSource
from ebbrt.iobuf cimport IOBuf
from ebbrt.network cimport NetworkManager, TcpConnection, TcpHandler, UdpHandler, UdpSocket
from stack.stack cimport Stack

cdef class StackTimers(TimerSource):
    cdef Stack stack
    cpdef long long next_deadline(self) except? -1
    cpdef void expire(self, long long now) except *

cdef class StackNetworkManager(NetworkManager):
    cdef readonly Stack stack
    cpdef void listen(self, unsigned int port, object accept, unsigned int backlog=?, unsigned int fast_open=?) except *
    cpdef TcpConnection connect(self, str address, unsigned int port, TcpHandler handler, IOBuf fast_open=?)
    cpdef UdpSocket bind_udp(self, unsigned int port, UdpHandler handler)
