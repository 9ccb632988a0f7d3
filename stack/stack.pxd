import cython

from ebbrt.clock cimport Clock
from ebbrt.iobuf cimport IOBuf
from ebbrt.netdevice cimport FrameHandler
from stack.icmp cimport Icmp
from stack.ipv4 cimport IPv4
from stack.tcp.tcp cimport Tcp
from stack.udp cimport Udp
from stack.wire.ethernet cimport EthernetHeader

cdef unsigned int ETHERNET_HEADER
cdef unsigned int ETHERTYPE_ARP
cdef unsigned int ETHERTYPE_IPV4
cdef unsigned int PROTOCOL_TCP

cdef class Stack(FrameHandler):
    cdef readonly Clock clock
    cdef readonly object interface
    cdef readonly IPv4 ip
    cdef readonly Icmp icmp
    cdef readonly Udp udp
    cdef readonly Tcp tcp
    cdef unsigned long long _mac
    cdef EthernetHeader _ethernet
    cdef unsigned long long _received
    cdef unsigned long long _too_short
    cdef unsigned long long _not_for_us
    cdef unsigned long long _unknown_ethertype
    cdef unsigned long long _arp
    cdef unsigned long long _ipv4
    @cython.locals(
        now=cython.longlong,
        ethernet=EthernetHeader,
        destination=cython.ulonglong,
        to_group=cython.bint,
        ethertype=cython.uint,
    )
    cpdef void receive_frame(self, IOBuf frame, bint checksum_valid) except *
    cpdef void poll(self, long long now) except *
    @cython.locals(deadline=cython.longlong, resolution=cython.longlong)
    cpdef long long next_deadline(self) except? -1
