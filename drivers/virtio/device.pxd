import cython

from drivers.virtio.port cimport Port
from drivers.virtio.virtqueue cimport DeviceQueue, QueueLayout
from ebbrt.events.event_manager cimport EventManager
from ebbrt.events.handlers cimport InterruptHandler
from ebbrt.memory cimport NodeMemory
from ebbrt.syscalls cimport IoVector

cdef unsigned int DEVICE_READS
cdef unsigned int DEVICE_WRITES
cdef unsigned int LONGEST_FRAME
cdef unsigned int NET_HEADER_LENGTH
cdef unsigned int RECEIVEQ
cdef unsigned int TRANSMITQ
cdef unsigned int MOST_DISCARDED
cdef unsigned int MOST_PIECES
cdef unsigned int SMALL_ROOM
cdef unsigned int LARGE_ROOM
cdef unsigned int READS_BEFORE_SMALL
cdef int EAGAIN
cdef int EBADFD
cdef int EINTR

cdef class NetDevice(InterruptHandler):
    cdef readonly NodeMemory memory
    cdef readonly Port port
    cdef readonly unsigned int max_virtqueue_pairs
    cdef readonly bytes mac
    cdef readonly unsigned int mtu
    cdef readonly unsigned long long features
    cdef readonly unsigned long long driver_features
    cdef EventManager _events
    cdef unsigned long long _spill
    cdef IoVector _vector
    cdef IoVector _room_vector
    cdef unsigned int _offered
    cdef unsigned int _room
    cdef unsigned int _offer
    cdef unsigned int _small_reads
    cdef unsigned int _skip
    cdef list _interrupts
    cdef DeviceQueue _receive
    cdef DeviceQueue _transmit
    cdef readonly unsigned long long rx_frames
    cdef readonly unsigned long long rx_no_buffer
    cdef readonly unsigned long long rx_spilled
    cdef readonly unsigned long long rx_errors
    cdef readonly unsigned long long rx_discarded
    cdef readonly unsigned long long tx_frames
    cdef readonly unsigned long long tx_errors
    cdef readonly unsigned long long tx_blocked
    cdef readonly unsigned long long interrupts_raised
    cdef readonly bint unplugged
    cpdef void notify(self, unsigned int queue) except *
    cpdef void interrupt(self) except *
    @cython.locals(frames=cython.uint)
    cpdef unsigned int receive(self, unsigned int budget) except? 0xFFFFFFFF
    @cython.locals(length=cython.longlong)
    cdef bint _receive_frame(self, bint anyway) except -1
    @cython.locals(queue=DeviceQueue, available=cython.uint, skip=cython.uint)
    cdef void _offer_room(self) noexcept
    @cython.locals(
        queue=DeviceQueue, vector=IoVector, skip=cython.uint, first=cython.ulonglong, used=cython.uint,
        left=cython.uint, room=cython.uint, count=cython.uint, at=cython.ulonglong,
    )
    cdef void _give(self, unsigned int length) noexcept
    @cython.locals(
        queue=DeviceQueue, left=cython.uint, room=cython.uint, source=cython.ulonglong, index=cython.uint,
        available=cython.uint, count=cython.uint,
    )
    cdef void _receive_spilled(self, unsigned int length) except *
    @cython.locals(queue=DeviceQueue, head=cython.uint, pieces=cython.uint, result=cython.longlong)
    cpdef void transmit(self) except *
    cdef void _unplug(self) except *
    @cython.locals(
        queue=DeviceQueue, errors=cython.ulonglong, pieces=cython.uint, walked=cython.uint, skip=cython.uint
    )
    cdef unsigned int _map_chain(self, unsigned int head) except? 0xFFFFFFFF
