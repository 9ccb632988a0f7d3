import cython

from ebbrt.iobuf cimport IOBuf
from ebbrt.network cimport TcpHandler
from stack.tcp.reassembly cimport last_piece
from stack.tcp.tcb cimport Tcb

@cython.locals(handler=TcpHandler)
cpdef void deliver(Tcb connection, IOBuf chain) except *
@cython.locals(handler=TcpHandler, chain=IOBuf)
cpdef void flush(Tcb connection) except *
cpdef void drop_held(Tcb connection) noexcept
@cython.locals(handler=TcpHandler)
cpdef void tell_connected(Tcb connection) except *
@cython.locals(handler=TcpHandler)
cpdef void tell_window_opened(Tcb connection) except *
@cython.locals(handler=TcpHandler)
cpdef void tell_peer_closed(Tcb connection) except *
@cython.locals(handler=TcpHandler)
cpdef void tell_closed(Tcb connection, str reason) except *
