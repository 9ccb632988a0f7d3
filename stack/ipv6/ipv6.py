"""IPv6 (RFC 8200): validates and delivers what came in.

Received packets are checked, stripped of the link's padding and of their headers (``extension``), put together when
they came in fragments (``reassembly``), and handed to the ``Transport`` registered for what they carry. What goes out
goes through an ``Ipv6Path`` (``output``). What each interface has of IPv6 is its ``Ipv6Link``.
"""

import random
from typing import Protocol

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf
from ebbrt.netdevice import EthernetDevice
from stack.address import halves
from stack.constants import ETHERNET_HEADER, PROTOCOL_ICMP, PROTOCOL_TCP
from stack.interface import Interface, InternetProtocol
from stack.internet import Internet
from stack.ipv6.autoconfiguration import Autoconfiguration
from stack.ipv6.constants import (
    ADDRESS_UNREACHABLE,
    DESTINATION_UNREACHABLE,
    FRAGMENT_HEADER,
    IPV6_BAD_LENGTH,
    IPV6_BAD_SOURCE,
    IPV6_BAD_VERSION,
    IPV6_DELIVERED,
    IPV6_FRAGMENT,
    IPV6_HEADER,
    IPV6_NOT_OURS,
    IPV6_OUTCOMES,
    IPV6_SHORT,
    IPV6_TCP_TO_GROUP,
    IPV6_UNKNOWN_PROTOCOL,
    NEIGHBOR_ADVERTISEMENT,
    NEXT_HEADER_FIELD,
    PARAMETER_PROBLEM,
    PROTOCOL_ICMPV6,
    SILENT,
    UNRECOGNIZED_NEXT_HEADER,
)
from stack.ipv6.errors import error_kind
from stack.ipv6.extension import ExtensionHeaders
from stack.ipv6.link import Ipv6Link, is_group, is_host
from stack.ipv6.mld import Mld
from stack.ipv6.ndp import Ndp
from stack.ipv6.output import Ipv6Output
from stack.ipv6.reassembly import Reassembly
from stack.ipv6.routers import Routers
from stack.ipv6.settings import Ipv6Settings
from stack.transport import Transport
from stack.wire.checksum import address_sum
from stack.wire.ipv6 import Ipv6Header

LINK_SCOPE = 2  # of groups: the least that comes by a link (RFC 4291 section 2.7)


class ErrorReporter(Protocol):
    """Who sends errors for IPv6: ``Icmpv6``."""

    def send_error(
        self, error_type: int, code: int, parameter: int, packet: IOBuf, even_to_group: bool, now: int
    ) -> None:
        """Report the packet that is being delivered, of which ``packet`` is what is behind its headers."""


class IPv6(InternetProtocol):
    """IPv6 on all interfaces of a stack that have it.

    interfaces: the stack's. random: draws delays and identifications. key: secret; the same for all cores of a node.
    """

    def __init__(self, internet: Internet, interfaces: list[Interface], random: random.Random, key: bytes) -> None:
        self.internet = internet
        self.interfaces = interfaces
        self.random = random
        self.key = key
        self.links: list[Ipv6Link] = []
        self.output = Ipv6Output(internet, self.links, random)
        self.in_fragments = False  # whether the packet that is being delivered came so
        self.received = internet.received
        self.memory = internet.allocator.memory
        self.header = Ipv6Header(self.memory)
        self.extensions = ExtensionHeaders(self.memory)
        self.reassembly = Reassembly(self, self.memory)
        self.quoted_extensions = ExtensionHeaders(self.memory)
        self._quoted_header = Ipv6Header(self.memory)
        self.quoted_protocol = 0  # of the packet that the last error was about
        self.icmp: Transport | None = None
        self.reporter: ErrorReporter | None = None  # the same, as who sends errors
        # How many received packets came to which end; the index is one of the IPV6_ outcomes.
        self._outcomes = memoryview(bytearray(8 * len(IPV6_OUTCOMES))).cast("Q")
        self._received = 0

    def add_link(self, index: int, device: EthernetDevice, settings: Ipv6Settings) -> Ipv6Link:
        """Have IPv6 on the interface of that index, from when its ``up`` is called."""
        link = Ipv6Link(index, self.internet.allocator, device)
        link.neighbours = neighbours = Ndp(link, self.random)
        link.routers = Routers(link, neighbours, self.random, settings.automatic)
        link.mld = Mld(link, self.random)
        link.autoconfiguration = Autoconfiguration(link, neighbours, settings, self.random, self.key)
        self.links.append(link)
        if settings.gateway is not None:
            link.routers.add(*halves(int(settings.gateway)), FOREVER)
        return link

    def is_settled(self) -> bool:
        """Whether no address of ours is still being looked into."""
        return all(link.autoconfiguration.is_settled() for link in self.links)

    def receive(self, packet: IOBuf, interface: Interface, link_group: bool, checksum_valid: bool, now: int) -> None:
        """See InternetProtocol."""
        self._received += 1
        header = self.header.at(packet.start)
        available = packet.length if packet.next is None else packet.chain_length()
        outcome = self._check(header, packet.length, available, interface.link6, link_group)
        if outcome != IPV6_DELIVERED:
            self._outcomes[outcome] += 1
            return
        length = IPV6_HEADER + header.payload_length()
        if length < available:
            packet.truncate_chain(length)
        self.in_fragments = False
        self.describe(header, packet.start, interface, checksum_valid)
        self.deliver(packet, length, IPV6_HEADER, header.next_header(), NEXT_HEADER_FIELD, now)

    def count(self, outcome: int) -> None:
        """A packet that was received has come to this end, one of the IPV6_ outcomes."""
        self._outcomes[outcome] += 1

    def deliver_whole(
        self, packet: IOBuf, length: int, offset: int, next_header: int, named_at: int, now: int
    ) -> None:
        """As ``deliver``, a packet that was put together: it counts as received once more, beside its fragments."""
        self._received += 1
        self.deliver(packet, length, offset, next_header, named_at, now)

    def describe(self, header: Ipv6Header, start: int, interface: Interface, checksum_valid: bool) -> None:
        """Fill in ``received`` from the header of a packet at ``start`` that is to be delivered."""
        received = self.received
        received.version = 6
        received.interface = interface
        received.start = start
        received.source_high = header.source_high()
        received.source_low = header.source_low()
        received.destination_high = header.destination_high()
        received.destination_low = header.destination_low()
        received.address_sum = (
            address_sum(received.source_high)
            + address_sum(received.source_low)
            + address_sum(received.destination_high)
            + address_sum(received.destination_low)
        )
        received.hop_limit = header.hop_limit()
        received.traffic_class = header.traffic_class()
        received.to_group = is_group(received.destination_high)
        received.checksum_valid = checksum_valid

    def deliver(self, packet: IOBuf, length: int, offset: int, next_header: int, named_at: int, now: int) -> None:
        """Give what is at ``offset`` in a described packet of ``length`` bytes to its transport."""
        transport = self._transport(next_header)
        if transport is None:
            outcome = self.extensions.walk(
                packet.start, packet.length, offset, next_header, named_at, self.in_fragments
            )
            if outcome == IPV6_FRAGMENT and not self.in_fragments:
                self.in_fragments = True
                self.reassembly.take(packet, length, now)
                return
            if outcome != IPV6_DELIVERED:
                self._leave(packet, outcome, now)
                return
            offset = self.extensions.offset
            next_header = self.extensions.next_header
            transport = self._transport(next_header)
            if transport is None:
                self._outcomes[IPV6_UNKNOWN_PROTOCOL] += 1
                self.report_problem(packet, UNRECOGNIZED_NEXT_HEADER, self.extensions.pointer, False, now)
                return
        if next_header == PROTOCOL_TCP and self.received.to_group:
            self._outcomes[IPV6_TCP_TO_GROUP] += 1
            return
        if self.received.source_high == 0 and self.received.source_low == 0 and next_header != PROTOCOL_ICMPV6:
            self._outcomes[IPV6_BAD_SOURCE] += 1  # only Neighbor Discovery and MLD may come from nobody
            return
        self._outcomes[IPV6_DELIVERED] += 1
        self.received.header_length = offset
        packet.advance(offset)
        while packet.length == 0 and packet.next is not None:
            packet = packet.next
        transport.receive_segment(packet, length - offset, self.received, now)

    def report_error(
        self, error_type: int, code: int, mtu: int, quoted: int, contiguous: int, link: Ipv6Link, now: int
    ) -> bool:
        """Tell the transport that sent it about a packet that was not delivered; False when it was none of ours.

        error_type, code, mtu: ICMPv6's. quoted: offset in node memory of the packet's IPv6 header, of which
        ``contiguous`` bytes were quoted.
        """
        header = self._quoted_header.at(quoted)
        if (
            contiguous < IPV6_HEADER
            or header.version() != 6
            or not link.has(header.source_high(), header.source_low())
        ):
            return False
        walked = self.quoted_extensions
        outcome = walked.walk(quoted, contiguous, IPV6_HEADER, header.next_header(), NEXT_HEADER_FIELD, False)
        at = walked.offset
        protocol = walked.next_header
        if outcome == IPV6_FRAGMENT and at + FRAGMENT_HEADER <= contiguous and self._is_first_fragment(quoted + at):
            protocol = self.memory.mem[quoted + at]
            at += FRAGMENT_HEADER
        elif outcome != IPV6_DELIVERED:
            return False
        transport = self._transport(protocol)
        if transport is None or at + 8 > contiguous:
            return False
        mem = self.memory.mem
        at += quoted
        self.quoted_protocol = protocol
        error = self.internet.error
        error.kind = error_kind(error_type, code)
        error.mtu = mtu
        error.length = IPV6_HEADER + header.payload_length()
        error.local_high = header.source_high()
        error.local_low = header.source_low()
        error.remote_high = header.destination_high()
        error.remote_low = header.destination_low()
        error.local_port = mem[at] << 8 | mem[at + 1]
        error.remote_port = mem[at + 2] << 8 | mem[at + 3]
        error.sequence = mem[at + 4] << 24 | mem[at + 5] << 16 | mem[at + 6] << 8 | mem[at + 7]
        transport.icmp_error(error, now)
        return True

    def poll(self, now: int) -> None:
        """Do what is due on the links."""
        for link in self.links:
            if link.deadline <= now:
                self._poll_link(link, now)
            for frame in link.neighbours.poll(now):
                start = frame.start + ETHERNET_HEADER
                contiguous = frame.length - ETHERNET_HEADER
                self.report_error(DESTINATION_UNREACHABLE, ADDRESS_UNREACHABLE, 0, start, contiguous, link, now)

    def next_deadline(self) -> int:
        """When ``poll`` is due, at the latest, in nanoseconds; or FOREVER."""
        deadline = FOREVER
        for link in self.links:
            deadline = min(deadline, link.deadline, link.neighbours.next_deadline())
        return deadline

    def statistics(self) -> dict[str, int]:
        """Received packets and what became of them; sent ones, fragments among them, and those that could not be.

        A packet that was put together is counted as received once more, beside its fragments.
        """
        counters = {"received": self._received}
        for outcome in range(len(IPV6_OUTCOMES)):
            counters[IPV6_OUTCOMES[outcome]] = self._outcomes[outcome]
        return counters | self.output.statistics()

    def _poll_link(self, link: Ipv6Link, now: int) -> None:
        """What is due of addresses, routers and groups."""
        link.deadline = FOREVER
        link.autoconfiguration.poll(now)
        link.routers.poll(now)
        link.mld.poll(now)
        for part in (link.autoconfiguration, link.routers, link.mld):
            link.wait_until(part.next_deadline())

    def _leave(self, packet: IOBuf, outcome: int, now: int) -> None:
        """Drop a packet for what the walk over its extension headers found, and tell the sender if that is due."""
        self._outcomes[outcome] += 1
        if self.extensions.code != SILENT:
            self.report_problem(
                packet, self.extensions.code, self.extensions.pointer, self.extensions.even_to_group, now
            )

    def report_problem(self, packet: IOBuf, code: int, pointer: int, even_to_group: bool, now: int) -> None:
        """Send a "parameter problem" about a packet, a chain from its IPv6 header on."""
        if self.reporter is not None:
            self.received.header_length = IPV6_HEADER
            packet.advance(IPV6_HEADER)
            self.reporter.send_error(PARAMETER_PROBLEM, code, pointer, packet, even_to_group, now)

    def _transport(self, next_header: int) -> Transport | None:
        """Who takes packets of that kind: protocol 1, ICMP, is IPv4's alone."""
        if next_header == PROTOCOL_ICMPV6:
            return self.icmp
        return None if next_header == PROTOCOL_ICMP else self.internet.transport(next_header)

    def _may_tell_conflict(self, header: Ipv6Header, contiguous: int) -> bool:
        """Whether a packet from an address of ours is what another owner of it sends (RFC 4862 section 5.4.4)."""
        if header.next_header() != PROTOCOL_ICMPV6 or contiguous <= IPV6_HEADER:
            return False
        return header.mem[header.offset + IPV6_HEADER] == NEIGHBOR_ADVERTISEMENT

    def _check(
        self, header: Ipv6Header, contiguous: int, available: int, link: Ipv6Link | None, link_group: bool
    ) -> int:
        """The outcome of a received packet for its header alone."""
        if contiguous < IPV6_HEADER:
            return IPV6_SHORT
        if header.version() != 6:
            return IPV6_BAD_VERSION
        if IPV6_HEADER + header.payload_length() > available:
            return IPV6_BAD_LENGTH
        assert link is not None
        high = header.source_high()
        low = header.source_low()
        if not is_host(high, low) and (high != 0 or low != 0):
            return IPV6_BAD_SOURCE  # a group, loopback, or an IPv4-mapped address (RFC 4291 sections 2.5.3, 2.7)
        if link.has(high, low) and not self._may_tell_conflict(header, contiguous):
            return IPV6_BAD_SOURCE
        high = header.destination_high()
        low = header.destination_low()
        if is_group(high):
            is_ours = (high >> 48 & 0xF) >= LINK_SCOPE and link.listens_to(high, low)
        else:
            is_ours = not link_group and link.has(high, low)
        return IPV6_DELIVERED if is_ours else IPV6_NOT_OURS

    def _is_first_fragment(self, at: int) -> bool:
        """Whether the fragment header at ``at`` says that the transport header follows."""
        return self.memory.mem[at + 2] == 0 and self.memory.mem[at + 3] & 0xF8 == 0
