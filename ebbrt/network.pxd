from ebbrt.iobuf cimport IOBuf

cdef class TcpHandler:
    cdef public TcpConnection connection
    cpdef void connected(self) except *
    cpdef void receive(self, IOBuf data) except *
    cpdef void send_window_opened(self) except *
    cpdef void peer_closed(self) except *
    cpdef void closed(self, str reason) except *

cdef class TcpConnection:
    cdef public TcpHandler handler
    cpdef bint send(self, IOBuf data) except -1
    cpdef unsigned int send_window(self) except? 0xFFFFFFFF
    cpdef void disable_nagle(self) except *
    cpdef object settings(self)
    cpdef void configure(self, object settings) except *
    cpdef dict info(self)
    cpdef void pause(self) except *
    cpdef void resume(self) except *
    cpdef void close(self) except *
    cpdef void abort(self) except *
    cpdef tuple remote(self)

cdef class UdpHandler:
    cdef public UdpSocket socket
    cpdef void receive(self, IOBuf data, str address, unsigned int port) except *
    cpdef void undelivered(self, str reason, str address, unsigned int port) except *

cdef class UdpSocket:
    cpdef unsigned int local_port(self) except? 0xFFFFFFFF
    cpdef bint send(self, IOBuf data, str address, unsigned int port) except -1
    cpdef void close(self) except *

cdef class NetworkManager:
    cpdef void listen(self, unsigned int port, object accept, unsigned int backlog=?) except *
    cpdef TcpConnection connect(self, str address, unsigned int port, TcpHandler handler)
    cpdef UdpSocket bind_udp(self, unsigned int port, UdpHandler handler)
