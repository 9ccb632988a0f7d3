import cython

from ebbrt.clock cimport Clock
from ebbrt.iobuf cimport IOBuf
from ebbrt.netdevice cimport EthernetDevice, FrameHandler
from stack.ipv4.arp cimport Arp
from stack.ipv6.link cimport Ipv6Link
from stack.wire.ethernet cimport EthernetHeader

cdef unsigned int ETHERNET_HEADER
cdef unsigned int ETHERTYPE_ARP
cdef unsigned int ETHERTYPE_IPV4
cdef unsigned int ETHERTYPE_IPV6
cdef unsigned int LIMITED_BROADCAST

cdef class InternetProtocol:
    cpdef void receive(
        self, IOBuf packet, Interface interface, bint link_group, bint checksum_valid, long long now
    ) except *

cdef class Interface(FrameHandler):
    cdef readonly unsigned int index
    cdef readonly EthernetDevice device
    cdef readonly Clock clock
    cdef readonly unsigned long long mac
    cdef readonly InternetProtocol ipv4
    cdef readonly InternetProtocol ipv6
    cdef public Ipv6Link link6
    cdef readonly unsigned int ipv4_address
    cdef readonly unsigned int ipv4_mask
    cdef readonly unsigned int ipv4_broadcast
    cdef readonly Arp arp
    cdef readonly set ipv4_groups
    cdef public object steering
    cdef EthernetHeader _ethernet
    cdef unsigned long long _received
    cdef unsigned long long _too_short
    cdef unsigned long long _not_for_us
    cdef unsigned long long _unknown_ethertype
    cdef unsigned long long _arp
    cdef unsigned long long _ipv4
    cdef unsigned long long _ipv6
    @cython.locals(
        now=cython.longlong,
        ethernet=EthernetHeader,
        destination=cython.ulonglong,
        to_group=cython.bint,
        ethertype=cython.uint,
    )
    cpdef void receive_frame(self, IOBuf frame, bint checksum_valid) except *
