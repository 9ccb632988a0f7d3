import cython

from ebbrt.clock cimport Clock
from ebbrt.iobuf cimport IOBuf
from ebbrt.messenger.frames cimport FrameReader
from ebbrt.messenger.peer cimport Peer
from ebbrt.network cimport TcpConnection, TcpHandler

cdef unsigned int FAILURE
cdef unsigned int FRAME_HEADER
cdef unsigned int MESSAGE
cdef unsigned int PIECE_COST
cdef unsigned int PING
cdef unsigned int START

cdef class Link(TcpHandler):
    cdef readonly object owner
    cdef readonly object handshake
    cdef public long long deadline
    cdef readonly Peer peer
    cdef readonly bint started
    cdef FrameReader _reader
    cdef object _deliveries
    cdef Clock _clock
    cdef bytes _early
    cdef bint _open
    cpdef void connected(self) except *
    @cython.locals(rest=IOBuf, reader=FrameReader)
    cpdef void receive(self, IOBuf data) except *
    cpdef void send_window_opened(self) except *
    cpdef void peer_closed(self) except *
    cpdef void closed(self, str reason) except *
    @cython.locals(connection=TcpConnection)
    cpdef void fail(self, str problem) except *
    cdef void _end(self, str problem) except *
    cpdef void use(self, Peer peer) except *
    cdef void _say(self, bytes data) except *
    @cython.locals(step=cython.uint, rest=IOBuf, early=bytes)
    cdef IOBuf _shake_hands(self, IOBuf data)
    @cython.locals(reader=FrameReader, peer=Peer, data=IOBuf, kind=cython.uint, cost=cython.uint, outcome=str)
    cdef void _take_frame(self) except *
