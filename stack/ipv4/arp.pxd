import cython

from ebbrt.iobuf cimport IOBuf, allocate
from stack.neighbour cimport Neighbour, NeighbourTable
from stack.wire.arp cimport ArpPacket

cdef unsigned int ARP_LENGTH
cdef unsigned int ARP_REPLY
cdef unsigned int ARP_REQUEST
cdef unsigned long long BROADCAST_MAC
cdef unsigned int ETHERNET_HEADER
cdef unsigned int ETHERTYPE_ARP
cdef unsigned long long IPV4_MAPPED_PREFIX
cdef unsigned int LIMITED_BROADCAST
cdef unsigned int MASK32

cdef class Arp(NeighbourTable):
    cdef public unsigned int address
    cdef public unsigned int mask
    cdef public set on_link
    cdef public unsigned int candidate
    cdef public object claim
    cdef ArpPacket _arp
    cdef unsigned long long received
    cdef unsigned long long malformed
    cdef unsigned long long bad_sender
    cdef unsigned long long address_conflicts
    cdef unsigned long long requests_answered
    cdef unsigned long long replies_used
    cdef unsigned long long ignored
    cpdef Neighbour neighbour(self, unsigned int address)
    cpdef Neighbour neighbour_for_reply(self, unsigned int address)
    cpdef void probe(self, unsigned int address) except *
    cpdef void announce(self) except *
    @cython.locals(to=cython.ulonglong)
    cpdef void solicit(self, Neighbour neighbour, bint to_all, long long now) except *
    @cython.locals(
        arp=ArpPacket,
        mac=cython.ulonglong,
        sender=cython.uint,
        target=cython.uint,
        for_us=cython.bint,
        is_request=cython.bint,
        is_probe=cython.bint,
        known=Neighbour,
    )
    cpdef bint receive(self, IOBuf packet, long long now, bint to_answer) except -1
    cdef bint _is_conflict(self, unsigned long long mac, unsigned int sender, unsigned int target) noexcept
    @cython.locals(host_bits=cython.uint, host=cython.uint)
    cdef bint _is_host_on_link(self, unsigned int address) noexcept
    @cython.locals(packet=IOBuf)
    cdef void _transmit(
        self,
        unsigned int operation,
        unsigned int sender,
        unsigned long long to,
        unsigned long long target_mac,
        unsigned int target_address,
    ) except *
