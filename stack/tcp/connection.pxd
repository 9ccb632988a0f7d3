import cython

from ebbrt.iobuf cimport IOBuf
from stack.tcp.autotune cimport send_room
from stack.tcp.delivery cimport flush
from stack.tcp.lifecycle cimport end, transition
from stack.tcp.output cimport output
from stack.tcp.segment_output cimport receive_window, send_reset
from stack.tcp.tcb cimport Tcb

cdef unsigned int MASK32
cdef unsigned int CLOSE_WAIT
cdef unsigned int ESTABLISHED
cdef unsigned int LISTEN
cdef unsigned int SYN_RECEIVED
cdef unsigned int SYN_SENT
cdef unsigned int TIME_WAIT

cdef class Connection(Tcb):
    cpdef bint send(self, IOBuf data) except -1
    @cython.locals(window=cython.uint)
    cpdef unsigned int send_window(self) except? 0xFFFFFFFF
    cpdef void disable_nagle(self) except *
    cpdef void pause(self) except *
    @cython.locals(connection=Connection, known=cython.uint)
    cpdef void resume(self) except *
    cpdef void close(self) except *
    cpdef void abort(self) except *
    cpdef tuple remote(self)
