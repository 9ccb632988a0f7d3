"""IPv6's side of reassembly: the fragment header, and which fragments belong together (RFC 8200 section 4.5).

What is complete goes back to ``IPv6.deliver``, without its fragment header: the packet is the first fragment's headers
and everybody's data. ``stack.fragments`` keeps what is not. On a node of several cores each has its own, for the
reason that IPv4's says.
"""

from typing import TYPE_CHECKING

from ebbrt.iobuf import IOBuf
from ebbrt.memory import NodeMemory
from stack.fragments import IPV6_TIMEOUT, Datagram, Fragments
from stack.ipv6.constants import (
    FRAGMENT_HEADER,
    INCOMPLETE_HEADER_CHAIN,
    IPV6_BAD_EXTENSION,
    IPV6_DELIVERED,
    IPV6_FRAGMENT,
    IPV6_HEADER,
    NEXT_HEADER_FIELD,
    REASSEMBLY_TIMEOUT,
    SILENT,
    TIME_EXCEEDED,
)
from stack.ipv6.extension import FragmentHeader
from stack.timed import Timed
from stack.wire.ipv6 import Ipv6Header

if TYPE_CHECKING:
    from stack.ipv6.ipv6 import IPv6

ECN = 3  # the two bits of it in the traffic class (RFC 3168)
LEAST_TRANSPORT_HEADER = 8  # bytes: UDP's and ICMPv6's; TCP's is looked at in ``stack.fragments``


class Reassembly(Timed):
    """The datagrams of which an ``IPv6`` has some fragments."""

    def __init__(self, ip: "IPv6", memory: NodeMemory) -> None:
        Timed.__init__(self)
        self.ip = ip
        self.extensions = ip.extensions
        self.received = ip.internet.received
        self.memory = memory
        self._header = Ipv6Header(memory)
        self._fragment = FragmentHeader(memory)
        self._fragments = Fragments(IPV6_TIMEOUT)

    def take(self, packet: IOBuf, length: int, now: int) -> None:
        """Take a fragment of ``length`` bytes, whose fragment header is where the walk has ended; count its outcome.

        One that is the whole packet, "atomic", is never put together with others (RFC 6946 section 4): it is delivered
        as it lies, its fragment header being one more header on the way to the transport.
        """
        fragment = self._fragment
        extensions = self.extensions
        at = extensions.offset
        header_length = at + FRAGMENT_HEADER
        outcome = fragment.read(packet.start, packet.length, at, length)
        if outcome != IPV6_DELIVERED:
            self.ip.count(outcome)
            if fragment.code != SILENT:
                self.ip.report_problem(packet, fragment.code, fragment.pointer, False, now)
        elif fragment.is_atomic():
            self.received.checksum_valid = False  # what the device said of it was of a fragment
            self.ip.deliver(packet, length, header_length, fragment.next_header, at, now)
        elif fragment.start == 0 and not self._has_whole_header(packet, header_length):
            self.ip.count(IPV6_FRAGMENT)
            self.ip.report_problem(packet, INCOMPLETE_HEADER_CHAIN, 0, False, now)  # RFC 7112 section 5
        else:
            self.ip.count(IPV6_FRAGMENT)
            self._keep(packet, header_length, now)

    def poll(self, now: int) -> None:
        """Give up what has waited too long, and tell those whose first fragment came (RFC 8200 section 4.5)."""
        for datagram in self._fragments.poll(now):
            packet = datagram.first_fragment()
            if packet is not None and self.ip.reporter is not None:
                interface = self.ip.interfaces[datagram.key[0]]
                self.ip.describe(self._header.at(packet.start), packet.start, interface, False)
                self.received.header_length = IPV6_HEADER
                packet.advance(IPV6_HEADER)
                self.ip.reporter.send_error(TIME_EXCEEDED, REASSEMBLY_TIMEOUT, 0, packet, False, now)
        self.wait_until(self._fragments.next_deadline())

    def statistics(self) -> dict[str, int]:
        """Fragments and datagrams by what became of them."""
        return self._fragments.statistics()

    def _has_whole_header(self, packet: IOBuf, header_length: int) -> bool:
        """Whether a first fragment has everything up to the transport's header, and that too."""
        extensions = self.extensions
        outcome = extensions.walk(packet.start, packet.length, header_length, self._fragment.next_header, 0, True)
        if outcome == IPV6_BAD_EXTENSION:
            return extensions.code != SILENT
        return outcome != IPV6_DELIVERED or extensions.offset + LEAST_TRANSPORT_HEADER <= packet.chain_length()

    def _keep(self, packet: IOBuf, header_length: int, now: int) -> None:
        """Put a fragment to its like, and deliver what they make if none is missing."""
        received = self.received
        fragment = self._fragment
        key = (
            received.interface.index,
            received.source_high,
            received.source_low,
            received.destination_high,
            received.destination_low,
            fragment.identification,
        )
        datagram = self._fragments.take(
            key,
            packet,
            header_length,
            fragment.start,
            fragment.length,
            fragment.more,
            fragment.next_header,
            received.traffic_class & ECN,
            now,
        )
        self.wait_until(self._fragments.next_deadline())
        if datagram is not None:
            self._finish(datagram, now)

    def _finish(self, datagram: Datagram, now: int) -> None:
        """All fragments are there: the packet is the first one's headers and everybody's data."""
        headers = datagram.header
        assert headers is not None  # it is complete
        packet = datagram.payload
        header_length = headers.length
        if packet.start == headers.start + header_length:
            packet.retreat(header_length)
        else:
            headers.next = packet
            packet = headers
        header = self._header.at(packet.start)
        extensions = self.extensions
        extensions.walk(packet.start, header_length, IPV6_HEADER, header.next_header(), NEXT_HEADER_FIELD, False)
        self.received.traffic_class = (header.traffic_class() & ~ECN) | datagram.ecn
        self._deliver(packet, header_length, header_length + datagram.length, extensions.pointer, now)

    def _deliver(self, packet: IOBuf, header_length: int, length: int, named_at: int, now: int) -> None:
        """Take the fragment header out of a packet that was put together, and deliver it.

        The headers before it move up to close the gap. What the device said of the checksum was of a fragment.
        """
        start = packet.start
        next_header = self.memory.mem[start + header_length - FRAGMENT_HEADER]
        self.memory.mem[start + named_at] = next_header
        before = self.memory.view(start, header_length - FRAGMENT_HEADER)
        self.memory.view(start + FRAGMENT_HEADER, header_length - FRAGMENT_HEADER)[:] = bytes(before)
        packet.advance(FRAGMENT_HEADER)
        length -= FRAGMENT_HEADER
        self._header.at(packet.start).set_payload_length(length - IPV6_HEADER)
        self.received.start = packet.start
        self.received.checksum_valid = False
        self.ip.deliver_whole(packet, length, header_length - FRAGMENT_HEADER, next_header, named_at, now)
