import cython

from drivers.virtio.device cimport NetDevice
from drivers.virtio.virtqueue cimport DriverQueue, QueueLayout
from ebbrt.events.event_manager cimport EventManager
from ebbrt.events.handlers cimport IdleHandler, InterruptHandler
from ebbrt.events.timers cimport Timer
from ebbrt.iobuf cimport IOBuf, allocate, view
from ebbrt.memory cimport Buffer, MemoryAllocator, NodeMemory
from ebbrt.netdevice cimport EthernetDevice, FrameHandler

cdef unsigned int EMPTY
cdef unsigned int NET_HEADER_LENGTH
cdef unsigned int RECEIVEQ
cdef unsigned int TRANSMITQ
cdef unsigned int VIRTIO_NET_HDR_F_DATA_VALID
cdef unsigned int VIRTIO_NET_HDR_F_NEEDS_CSUM
cdef unsigned int VIRTIO_NET_HDR_GSO_NONE
cdef unsigned int VIRTIO_NET_HDR_GSO_TCPV4
cdef unsigned int VIRTIO_NET_HDR_GSO_TCPV6
cdef unsigned int VIRTQ_DESC_F_INDIRECT
cdef unsigned int VIRTQ_DESC_F_NEXT
cdef unsigned int VIRTQ_DESC_F_WRITE
cdef unsigned int SMALL_BUFFER
cdef unsigned int LARGE_BUFFER
cdef unsigned int LARGE_POSTED
cdef unsigned int LARGE_FROM
cdef unsigned int SMALL_BELOW
cdef unsigned int MOST_MOVED
cdef unsigned int FRAMES_PER_POLL
cdef unsigned int SENDS_PER_NOTIFICATION

cdef class ReceiveInterrupt(InterruptHandler):
    cdef VirtioNet driver

cdef class TransmitInterrupt(InterruptHandler):
    pass

cdef class ReceivePoll(IdleHandler):
    cdef VirtioNet driver

cdef class VirtioNet(EthernetDevice):
    cdef readonly NetDevice device
    cdef readonly MemoryAllocator allocator
    cdef readonly NodeMemory memory
    cdef EventManager _events
    cdef bint _trust_checksums
    cdef Buffer _receive_area
    cdef Buffer _transmit_area
    cdef DriverQueue _receive
    cdef DriverQueue _transmit
    cdef QueueLayout _receive_layout
    cdef QueueLayout _transmit_layout
    cdef unsigned int _buffer_size
    cdef unsigned int _to_post
    cdef unsigned int _posted_bytes
    cdef unsigned long long _bytes_then
    cdef unsigned long long _frames_then
    cdef list _posted
    cdef list _sent
    cdef list _tables
    cdef ReceivePoll _poll
    cdef FrameHandler _handler
    cdef bint _polling
    cdef bint _draining
    cdef unsigned int _unpublished
    cdef void _publish_sends(self) except *
    cdef readonly unsigned long long rx_frames
    cdef readonly unsigned long long rx_bytes
    cdef readonly unsigned long long rx_dropped
    cdef readonly unsigned long long rx_moved
    cdef readonly unsigned long long tx_frames
    cdef readonly unsigned long long tx_bytes
    cdef readonly unsigned long long tx_ring_full
    cdef readonly unsigned long long tx_no_memory
    cdef readonly unsigned long long refill_failures
    cdef Timer _refill_timer
    cpdef void start_polling(self) except *
    cdef void _stop_polling(self) except *
    cpdef void poll(self) except *
    cdef void _drain(self) except *
    @cython.locals(frame=IOBuf, flags=cython.uint)
    cdef void _deliver(self) except *
    @cython.locals(
        first=IOBuf, last=IOBuf, piece=IOBuf, wanted=cython.uint, head=cython.uint, buffer=Buffer, length=cython.uint,
        size=cython.uint,
    )
    cdef IOBuf _take_frame(self)
    cdef bint _is_half_empty(self) noexcept
    @cython.locals(copy=IOBuf)
    cdef IOBuf _moved(self, IOBuf frame)
    @cython.locals(frames=cython.ulonglong, average=cython.ulonglong)
    cdef void _choose_size(self) except *
    @cython.locals(buffer=Buffer, head=cython.uint)
    cdef void _refill(self) except *
    @cython.locals(following=IOBuf, head=cython.uint)
    cpdef bint transmit(
        self, IOBuf frame, unsigned int checksum_start, unsigned int checksum_offset, unsigned int segment_size
    ) except -1
    @cython.locals(at=cython.ulonglong, header_length=cython.uint, mem=NodeMemory, ipv6=cython.bint)
    cdef void _put_header(
        self, IOBuf frame, unsigned int checksum_start, unsigned int checksum_offset, unsigned int segment_size
    ) except *
    @cython.locals(
        count=cython.uint, number=cython.uint, piece=IOBuf, table=Buffer, at=cython.ulonglong, head=cython.uint
    )
    cdef unsigned int _add_indirect(self, IOBuf frame) except? 0xFFFFFFFE
    @cython.locals(head=cython.uint)
    cdef void _reap(self) except *
