import cython

from ebbrt.iobuf cimport IOBuf, allocate
from ebbrt.memory cimport MemoryAllocator
from ebbrt.netdevice cimport EthernetDevice
from stack.wire.arp cimport ArpPacket
from stack.wire.ethernet cimport EthernetHeader

cdef long long FOREVER
cdef unsigned int ARP_LENGTH
cdef unsigned int ARP_REPLY
cdef unsigned int ARP_REQUEST
cdef unsigned long long BROADCAST_MAC
cdef unsigned int ETHERNET_HEADER
cdef unsigned int ETHERTYPE_ARP
cdef unsigned int LIMITED_BROADCAST
cdef unsigned int RESOLVING
cdef unsigned int REACHABLE
cdef unsigned int PROBING
cdef unsigned int GONE
cdef Py_ssize_t MOST_NEIGHBOURS
cdef Py_ssize_t MOST_QUEUED
cdef unsigned int MOST_REQUESTS
cdef long long REQUEST_INTERVAL
cdef long long REACHABLE_TIME

@cython.final
cdef class Neighbour:
    cdef readonly unsigned int address
    cdef readonly unsigned long long mac
    cdef public long long usable_until
    cdef public bint used
    cdef readonly unsigned int state
    cdef unsigned int requests
    cdef long long retry_at
    cdef list queue
    cpdef void set_permanent(self, unsigned long long mac) noexcept
    cpdef bint is_gone(self) noexcept

@cython.final
cdef class WaitingFrame:
    cdef readonly IOBuf frame
    cdef readonly unsigned int checksum_start
    cdef readonly unsigned int checksum_offset
    cdef readonly unsigned int segment_size

@cython.final
cdef class NeighbourTable:
    cdef MemoryAllocator allocator
    cdef EthernetDevice device
    cdef public unsigned int address
    cdef public unsigned int mask
    cdef unsigned long long mac
    cdef dict _neighbours
    cdef dict _asking
    cdef long long _deadline
    cdef EthernetHeader _ethernet
    cdef ArpPacket _arp
    cdef unsigned long long received
    cdef unsigned long long malformed
    cdef unsigned long long bad_sender
    cdef unsigned long long address_conflicts
    cdef unsigned long long requests_answered
    cdef unsigned long long replies_used
    cdef unsigned long long ignored
    cdef unsigned long long requests_sent
    cdef unsigned long long evicted
    cdef unsigned long long unreachable
    cdef unsigned long long frames_queued
    cdef unsigned long long frames_dropped_queue_full
    cdef unsigned long long frames_dropped_evicted
    cdef unsigned long long frames_dropped_unreachable
    cdef unsigned long long frames_dropped_device_full
    cdef unsigned long long no_memory
    @cython.locals(neighbour=Neighbour)
    cpdef Neighbour lookup(self, unsigned int address)
    cpdef bint send(
        self,
        Neighbour neighbour,
        IOBuf frame,
        unsigned int checksum_start,
        unsigned int checksum_offset,
        unsigned int segment_size,
        long long now,
    ) except -1
    @cython.locals(
        arp=ArpPacket,
        mac=cython.ulonglong,
        sender=cython.uint,
        for_us=cython.bint,
        is_request=cython.bint,
        is_probe=cython.bint,
        known=Neighbour,
    )
    cpdef bint receive(self, IOBuf packet, long long now, bint to_answer) except -1
    @cython.locals(neighbour=Neighbour, waiting=WaitingFrame)
    cpdef list poll(self, long long now)
    cpdef long long next_deadline(self) noexcept
    @cython.locals(host_bits=cython.uint, host=cython.uint)
    cdef bint _is_host_on_link(self, unsigned int address) noexcept
    @cython.locals(queue=list, waiting=WaitingFrame)
    cdef void _learn(self, Neighbour neighbour, unsigned long long mac, long long now) except *
    @cython.locals(to=cython.ulonglong)
    cdef void _ask(self, Neighbour neighbour, long long now) except *
    @cython.locals(neighbour=Neighbour)
    cdef void _evict(self) except *
    cdef void _forget(self, Neighbour neighbour) except *
    @cython.locals(packet=IOBuf)
    cdef void _transmit(
        self, unsigned int operation, unsigned long long to, unsigned long long target_mac, unsigned int target_address
    ) except *
