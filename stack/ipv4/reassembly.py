"""IPv4's side of reassembly: which fragments belong together, and the header of what they make (RFC 791 section 3.2).

What is complete goes through ``IPv4.receive`` like a packet that came whole: the first fragment's header, in the
buffer where it lies, has become that of the whole. So whoever quotes it or hands it to another core sees what the
transport sees.

On a node of several cores each has its own: Linux spreads fragments by their addresses only (its flow hash knows no
ports of a fragment), so that all of one datagram come to one core. The datagram they make is handed on from there
by its port, as any other is (``stack.steering``).
"""

from typing import TYPE_CHECKING

from ebbrt.iobuf import IOBuf
from ebbrt.memory import NodeMemory
from stack.constants import ICMP_TIME_EXCEEDED, IPV4_LONGEST, REASSEMBLY_TIME_EXCEEDED
from stack.fragments import IPV4_TIMEOUT, UNIT, Datagram, Fragments
from stack.interface import Interface
from stack.timed import Timed
from stack.wire.ipv4 import Ipv4Header

if TYPE_CHECKING:
    from stack.ipv4.ipv4 import IPv4

ECN_BITS = 3


class Reassembly(Timed):
    """The datagrams of which an ``IPv4`` has some fragments."""

    def __init__(self, ip: "IPv4", memory: NodeMemory) -> None:
        Timed.__init__(self)
        self.ip = ip
        self.too_long = 0
        self._header = Ipv4Header(memory)
        self._fragments = Fragments(IPV4_TIMEOUT)

    def take(self, packet: IOBuf, interface: Interface, now: int) -> IOBuf | None:
        """Take a fragment, a chain without padding whose header is in order; the whole packet when it completes one.

        The packet is ours from here on.
        """
        header = self._header.at(packet.start)
        header_length = header.header_length()
        offset = header.fragment_offset() * UNIT
        length = header.total_length() - header_length
        if header_length + offset + length > IPV4_LONGEST:
            self.too_long += 1  # "ping of death"
            return None
        protocol = header.protocol()
        key = (interface.index, header.source(), header.destination(), header.identification(), protocol)
        more = header.has_more_fragments()
        ecn = header.type_of_service() & ECN_BITS
        datagram = self._fragments.take(key, packet, header_length, offset, length, more, protocol, ecn, now)
        self.wait_until(self._fragments.next_deadline())
        return None if datagram is None else self._whole(datagram)

    def poll(self, now: int) -> None:
        """Give up what has had its time, and tell its sender if the first fragment is there (RFC 1122 3.3.2)."""
        for datagram in self._fragments.poll(now):
            packet = datagram.first_fragment()
            if packet is not None:
                interface = self.ip.interfaces[datagram.key[0]]
                self.ip.send_error(ICMP_TIME_EXCEEDED, REASSEMBLY_TIME_EXCEEDED, 0, packet, interface, now)
        self.wait_until(self._fragments.next_deadline())

    def statistics(self) -> dict[str, int]:
        """Fragments and datagrams by what became of them."""
        return {**self._fragments.statistics(), "too_long": self.too_long}

    def _whole(self, datagram: Datagram) -> IOBuf | None:
        packet = datagram.header
        assert packet is not None  # it is complete
        if packet.length + datagram.length > IPV4_LONGEST:
            self.too_long += 1  # the first fragment has more options than the others
            return None
        self._header.at(packet.start).become_whole(packet.length + datagram.length, datagram.ecn)
        packet.next = datagram.payload
        return packet
