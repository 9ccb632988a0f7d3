import cython

from ebbrt.memory cimport MemoryAllocator
from ebbrt.netdevice cimport EthernetDevice
from stack.neighbour cimport NeighbourTable
from stack.timed cimport Due
from stack.wire.ethernet cimport EthernetHeader
from stack.wire.ipv6 cimport Ipv6Header

cdef unsigned int TENTATIVE
cdef unsigned int IPV4_MAPPED
cdef unsigned int ALL_NODES
cdef unsigned long long ALL_NODES_HIGH
cdef unsigned long long LINK_LOCAL

cdef class Ipv6Address:
    cdef readonly unsigned long long high
    cdef readonly unsigned long long low
    cdef readonly unsigned int prefix_length
    cdef public unsigned int state
    cdef public long long preferred_until
    cdef public long long valid_until
    cdef public bint temporary
    cdef public bint automatic
    cdef public unsigned int attempt
    cdef public long long created_at
    cdef public bint renewed
    cdef public unsigned int probes_left
    cdef public long long probe_at

cdef class Group:
    cdef readonly unsigned long long high
    cdef readonly unsigned long long low
    cdef public unsigned int members

cdef class Prefix:
    cdef readonly unsigned long long high
    cdef readonly unsigned long long low
    cdef readonly unsigned long long high_mask
    cdef readonly unsigned long long low_mask
    cdef readonly unsigned int length
    cdef public long long valid_until
    cdef readonly bint fixed

cdef class Ipv6Link:
    cdef readonly unsigned int index
    cdef readonly MemoryAllocator allocator
    cdef readonly EthernetDevice device
    cdef readonly unsigned long long mac
    cdef public unsigned int hop_limit
    cdef public unsigned int mtu
    cdef readonly list addresses
    cdef readonly list groups
    cdef readonly list prefixes
    cdef public unsigned int generation
    cdef public long long deadline
    cdef public Due due
    cdef public object autoconfiguration
    cdef public object routers
    cdef public object mld
    cdef public NeighbourTable neighbours
    cdef readonly unsigned long long control_sent
    cdef readonly unsigned long long control_dropped
    cdef EthernetHeader _ethernet
    cdef Ipv6Header _header
    @cython.locals(address=Ipv6Address)
    cpdef Ipv6Address address(self, unsigned long long high, unsigned long long low)
    @cython.locals(address=Ipv6Address)
    cpdef bint has(self, unsigned long long high, unsigned long long low) noexcept
    @cython.locals(group=Group)
    cpdef bint listens_to(self, unsigned long long high, unsigned long long low) noexcept
    @cython.locals(prefix=Prefix)
    cpdef bint is_on_link(self, unsigned long long high, unsigned long long low) noexcept

cpdef bint is_group(unsigned long long high) noexcept
cpdef bint is_host(unsigned long long high, unsigned long long low) noexcept
