import cython

from ebbrt.clock cimport Clock
from ebbrt.iobuf cimport IOBuf
from ebbrt.netdevice cimport EthernetDevice, FrameHandler
from ebbrt.network cimport NetworkManager, TcpConnection, TcpHandler

cdef unsigned int APPLICATION
cdef unsigned int DRIVER
cdef unsigned int LOOP
cdef unsigned int STACK

cdef class Stopwatch:
    cdef readonly Clock clock
    cdef unsigned int _layer
    cdef long long _since
    cdef unsigned long long[::1] _nanoseconds
    cdef unsigned long long[::1] _entries
    @cython.locals(previous=cython.uint)
    cpdef unsigned int enter(self, unsigned int layer) except? 99
    @cython.locals(now=cython.longlong)
    cpdef void leave(self, unsigned int layer) except *

cdef class TimedFrameHandler(FrameHandler):
    cdef FrameHandler _handler
    cdef Stopwatch _stopwatch

cdef class TimedDevice(EthernetDevice):
    cdef EthernetDevice _device
    cdef Stopwatch _stopwatch

cdef class TimedConnection(TcpConnection):
    cdef TcpConnection _connection
    cdef Stopwatch _stopwatch

cdef class TimedHandler(TcpHandler):
    cdef TcpHandler _handler
    cdef Stopwatch _stopwatch

cdef class TimedNetwork(NetworkManager):
    cdef NetworkManager _network
    cdef Stopwatch _stopwatch
