"""IPv4 (RFC 791; RFC 1122 section 3): validates and delivers what came in, and finds the way for what goes out.

Received packets are checked, stripped of the link's padding and of their header, and handed to the ``Transport``
registered for their protocol. Fragments are put together (``reassembly``). To send, a transport asks for an
``Ipv4Path`` (``path``), which sends.
"""

from ipaddress import IPv4Interface
from typing import TYPE_CHECKING, Any

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf
from stack.address import mapped
from stack.constants import (
    BROADCAST_MAC,
    DHCP_CLIENT_PORT,
    ERROR_PARAMETER,
    ERROR_PORT,
    ERROR_PROHIBITED,
    ERROR_PROTOCOL,
    ERROR_TIME_EXCEEDED,
    ERROR_TOO_BIG,
    ERROR_UNREACHABLE,
    ETHERNET_HEADER,
    GROUP_MAC,
    ICMP_PARAMETER_PROBLEM,
    ICMP_TIME_EXCEEDED,
    ICMP_UNREACHABLE,
    IPV4_BAD_OPTION,
    IPV4_BAD_SOURCE,
    IPV4_DELIVERED,
    IPV4_FRAGMENT,
    IPV4_HEADER,
    IPV4_MAPPED_PREFIX,
    IPV4_NOT_OURS,
    IPV4_OUTCOMES,
    IPV4_TCP_TO_GROUP,
    IPV4_UNKNOWN_PROTOCOL,
    LIMITED_BROADCAST,
    MASK32,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    UDP_HEADER,
    UNREACHABLE_HOST,
    UNREACHABLE_PORT,
    UNREACHABLE_PROTOCOL,
    UNREACHABLE_TOO_BIG,
)
from stack.interface import Interface, InternetProtocol
from stack.internet import Internet
from stack.ipv4.identification import Identifications
from stack.ipv4.path import Ipv4Path
from stack.ipv4.reassembly import Reassembly
from stack.neighbour import Neighbour
from stack.routes import RouteTable
from stack.wire.checksum import address_sum
from stack.wire.ethernet import EthernetHeader
from stack.wire.ipv4 import Ipv4Header

if TYPE_CHECKING:
    from stack.ipv4.icmp import Icmp
    from stack.ipv4.igmp import Igmp

MOST_PATHS = 4096  # kept for those who ask again; a holder of a path keeps it anyway
PROHIBITED_CODES = frozenset((9, 10, 13))  # by an administrator (RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1)


class IPv4(InternetProtocol):
    """IPv4 on all interfaces of a stack.

    identifications: of packets that may be cut up. icmp: what errors are reported with. igmp: knows of groups.
    """

    def __init__(
        self, internet: Internet, interfaces: list[Interface], routes: RouteTable, identifications: Identifications
    ) -> None:
        self.internet = internet
        self.interfaces = interfaces
        self.routes = routes
        self.received = internet.received
        self.memory = internet.allocator.memory
        self.identifications = identifications
        self.ethernet = EthernetHeader(self.memory)
        self.header = Ipv4Header(self.memory)
        self._quoted_header = Ipv4Header(self.memory)
        self.icmp: Icmp = None  # type: ignore[assignment]  # it puts itself here, as does the next
        self.igmp: Igmp = None  # type: ignore[assignment]
        self.reassembly = Reassembly(self, self.memory)
        self._paths: dict[int, Ipv4Path] = {}
        self.everybody = Neighbour(0, IPV4_MAPPED_PREFIX | LIMITED_BROADCAST)
        self.everybody.set_permanent(BROADCAST_MAC)
        self.nobody = Neighbour(0, IPV4_MAPPED_PREFIX)
        # How many received packets came to which end; the index is one of the IPV4_ outcomes.
        self._outcomes = memoryview(bytearray(8 * len(IPV4_OUTCOMES))).cast("Q")
        self._received = 0
        self.sent = 0
        self.no_route = 0
        self.too_long = 0
        self.device_full = 0
        self.no_memory = 0
        self.fragmented = 0
        self.fragments_sent = 0

    def path(self, source: tuple[int, int] | None, destination: tuple[int, int]) -> Ipv4Path:
        """The way to a mapped address, from a mapped address of ours or from the interface's that leads there."""
        to = destination[1] & MASK32
        from_ = 0 if source is None else source[1] & MASK32
        key = from_ << 32 | to
        path = self._paths.get(key)
        if path is None:
            if not from_:
                from_ = self.interface_for(to).ipv4_address
            path = self._paths.get(from_ << 32 | to)
            if path is None:
                path = Ipv4Path(self, self.interface_of(from_), mapped(from_), destination)
                self._keep(from_ << 32 | to, path)
            self._keep(key, path)
        return path

    def known_path(self, source: tuple[int, int], destination: tuple[int, int]) -> Ipv4Path | None:
        """The path between these mapped addresses if anybody has asked for it."""
        return self._paths.get((source[1] & MASK32) << 32 | destination[1] & MASK32)

    def reply_path(self) -> Ipv4Path:
        """See ``Internet.reply_path``."""
        received = self.received
        path = self._paths.get((received.destination_low & MASK32) << 32 | received.source_low & MASK32)
        if path is None:
            source, destination = (0, received.destination_low), (0, received.source_low)
            path = Ipv4Path(self, received.interface, source, destination, True)
        return path

    def path_on(self, interface: Interface, destination: tuple[int, int]) -> Ipv4Path:
        """The way to a mapped address from ``interface``, whose address may be none: for who is just getting one."""
        return Ipv4Path(self, interface, mapped(interface.ipv4_address), destination)

    def set_address(self, interface: Interface, address: IPv4Interface | None) -> None:
        """Give an interface an address, or none: paths from what it had before lead nowhere any more."""
        interface.set_ipv4(address)
        self._paths.clear()
        self.routes.change()

    def next_hop(self, interface: Interface, destination: int, for_reply: bool) -> Neighbour:
        """Where on ``interface`` packets for ``destination`` go; ``nobody`` without a way.

        for_reply: a single packet is to be sent there, because somebody there may have sent one.
        """
        if destination == LIMITED_BROADCAST or destination == interface.ipv4_broadcast:
            return self.everybody
        if destination >> 28 == 0xE:
            group = Neighbour(0, IPV4_MAPPED_PREFIX | destination)
            group.set_permanent(GROUP_MAC | destination & 0x7FFFFF)
            return group
        if destination == interface.ipv4_address:
            return self.nobody  # there is no loopback
        route = self.routes.find(destination, interface)
        on_link = (destination ^ interface.ipv4_address) & interface.ipv4_mask == 0
        if on_link and (route is None or interface.ipv4_mask >= route.mask):
            hop = destination
        elif route is None:
            return self.nobody
        else:
            hop = route.gateway
        neighbour = interface.arp.neighbour_for_reply(hop) if for_reply else interface.arp.neighbour(hop)
        return self.nobody if neighbour is None else neighbour

    def interface_of(self, address: int) -> Interface:
        """The interface that has the IPv4 address; the first one when none has it."""
        for interface in self.interfaces:
            if interface.ipv4_address == address:
                return interface
        return self.interfaces[0]

    def interface_for(self, destination: int) -> Interface:
        """The interface that leads to an IPv4 address, by the longest prefix; the first one when none does."""
        best: Interface | None = None
        mask = 0
        for interface in self.interfaces:
            if (destination ^ interface.ipv4_address) & interface.ipv4_mask == 0 and interface.ipv4_mask > mask:
                best = interface
                mask = interface.ipv4_mask
        route = self.routes.find(destination)
        if route is not None and (best is None or route.mask > mask):
            best = route.interface
        return self.interfaces[0] if best is None else best

    def receive(self, packet: IOBuf, interface: Interface, link_group: bool, checksum_valid: bool, now: int) -> None:
        """See InternetProtocol."""
        self._received += 1
        header = self.header.at(packet.start)
        available = packet.length if packet.next is None else packet.chain_length()
        outcome = header.check(packet.length, available)
        if outcome == IPV4_DELIVERED:
            outcome = self._check_addresses(header, packet.length, interface, link_group)
        if outcome != IPV4_DELIVERED:
            self._outcomes[outcome] += 1
            if outcome == IPV4_FRAGMENT:
                self._receive_fragment(packet, available, interface, link_group, now)
            elif (
                outcome == IPV4_BAD_OPTION
                and self._check_addresses(header, packet.length, interface, link_group) == IPV4_DELIVERED
            ):
                self.send_error(ICMP_PARAMETER_PROBLEM, 0, header.bad_option << 24, packet, interface, now)
            return
        length = header.total_length()
        protocol = header.protocol()
        if length < available:
            packet.truncate_chain(length)
        received = self.received
        self._describe(header, interface)
        received.checksum_valid = checksum_valid
        length -= received.header_length
        packet.advance(received.header_length)
        while packet.length == 0 and packet.next is not None:
            packet = packet.next
        transport = self.internet.transport(protocol)
        if transport is None:
            self._outcomes[IPV4_UNKNOWN_PROTOCOL] += 1
            self.icmp.send_error(ICMP_UNREACHABLE, UNREACHABLE_PROTOCOL, 0, packet, now)  # RFC 1122 section 3.2.2.1
            return
        if protocol == PROTOCOL_TCP and received.to_group:
            self._outcomes[IPV4_TCP_TO_GROUP] += 1  # RFC 1122 section 4.2.3.10
            return
        self._outcomes[IPV4_DELIVERED] += 1
        transport.receive_segment(packet, length, received, now)

    def send_error(self, error_type: int, code: int, rest: int, packet: IOBuf, interface: Interface, now: int) -> None:
        """Report a packet that is not being delivered to its sender; its header, where ``packet`` starts, is good.

        error_type, code, rest: ICMP's, ``rest`` being the last 4 bytes of its header.
        """
        header = self.header.at(packet.start)
        destination = header.destination()
        self.received.to_group = destination != interface.ipv4_address
        self._describe(header, interface)
        quoted = packet.advance_chain(header.header_length())
        if quoted is not None:
            self.icmp.send_error(error_type, code, rest, quoted, now)

    def report_error(
        self, error_type: int, code: int, mtu: int, quoted: int, contiguous: int, interface: Interface, now: int
    ) -> bool:
        """Tell the transport that sent it about a packet that was not delivered; False when it was none of ours.

        error_type, code, mtu: ICMP's. quoted: offset in node memory of the packet's IPv4 header, with ``contiguous``
        bytes behind it, of which the transport is told the first 8 behind the header.
        """
        header = self._quoted_header.at(quoted)
        if contiguous < IPV4_HEADER + 8 or header.version() != 4:
            return False
        header_length = header.header_length()
        if header_length < IPV4_HEADER or header_length + 8 > contiguous:
            return False
        transport = self.internet.transport(header.protocol())
        if header.source() != interface.ipv4_address or header.fragment_offset() != 0 or transport is None:
            return False
        ports = header.payload_double_word(0)
        error = self.internet.error
        error.kind = error_kind(error_type, code)
        error.mtu = mtu
        error.length = header.total_length()
        error.local_high = error.remote_high = 0
        error.local_low = IPV4_MAPPED_PREFIX | header.source()
        error.remote_low = IPV4_MAPPED_PREFIX | header.destination()
        error.local_port = ports >> 16
        error.remote_port = ports & 0xFFFF
        error.sequence = header.payload_double_word(4)
        transport.icmp_error(error, now)
        return True

    def poll(self, now: int) -> None:
        """Do what is due: ARP's requests, and the news of hosts that did not answer them."""
        for interface in self.interfaces:
            for frame in interface.arp.poll(now):
                start = frame.start + ETHERNET_HEADER
                contiguous = frame.length - ETHERNET_HEADER
                self.report_error(ICMP_UNREACHABLE, UNREACHABLE_HOST, 0, start, contiguous, interface, now)

    def next_deadline(self) -> int:
        """When ``poll`` is due, at the latest, in nanoseconds; or FOREVER."""
        deadline = FOREVER
        for interface in self.interfaces:
            deadline = min(deadline, interface.arp.next_deadline())
        return deadline

    def statistics(self) -> dict[str, Any]:
        """Received packets and what became of them; sent ones, fragments among them, and those that could not be.

        A packet that was put together is counted as received once more, beside its fragments.
        """
        counters = {"received": self._received}
        for outcome in range(len(IPV4_OUTCOMES)):
            counters[IPV4_OUTCOMES[outcome]] = self._outcomes[outcome]
        counters["sent"] = self.sent
        counters["send_no_route"] = self.no_route
        counters["send_too_long"] = self.too_long
        counters["send_device_full"] = self.device_full
        counters["send_no_memory"] = self.no_memory
        counters["sent_in_fragments"] = self.fragmented
        counters["sent_fragments"] = self.fragments_sent
        return counters

    def _keep(self, key: int, path: Ipv4Path) -> None:
        if len(self._paths) >= MOST_PATHS:
            del self._paths[next(iter(self._paths))]
        self._paths[key] = path

    def _describe(self, header: Ipv4Header, interface: Interface) -> None:
        """Say in ``received`` what the header says."""
        received = self.received
        received.version = 4
        received.interface = interface
        received.start = header.offset
        received.header_length = header.header_length()
        received.source_high = received.destination_high = 0
        received.source_low = IPV4_MAPPED_PREFIX | header.source()
        received.destination_low = IPV4_MAPPED_PREFIX | header.destination()
        received.address_sum = address_sum(header.source()) + address_sum(header.destination())
        received.hop_limit = header.time_to_live()
        received.traffic_class = header.type_of_service()

    def _receive_fragment(
        self, packet: IOBuf, available: int, interface: Interface, link_group: bool, now: int
    ) -> None:
        """Take a fragment of ``available`` bytes, with padding; and the packet that it has completed, if it has."""
        if self.header.total_length() < available:
            packet.truncate_chain(self.header.total_length())
        whole = self.reassembly.take(packet, interface, now)
        if whole is not None:
            self.receive(whole, interface, link_group, False, now)

    def _check_addresses(self, header: Ipv4Header, contiguous: int, interface: Interface, link_group: bool) -> int:
        """The outcome of a well-formed packet for its addresses; notes whether it is for us alone.

        contiguous: bytes of it in one piece from the header on.
        """
        destination = header.destination()
        to_group = False
        if destination != interface.ipv4_address:
            to_group = (
                destination == LIMITED_BROADCAST
                or destination == interface.ipv4_broadcast
                or (destination >> 28 == 0xE and destination in interface.ipv4_groups)
            )
            if not to_group:
                if interface.ipv4_address != 0 or link_group or not self._is_for_dhcp(header, contiguous):
                    return IPV4_NOT_OURS
                to_group = True  # it is for an address that is not ours, yet: no error about it may be sent
        elif link_group or destination == 0:
            return IPV4_NOT_OURS  # a unicast address in a link broadcast: RFC 1122 section 3.3.6
        self.received.to_group = to_group
        source = header.source()
        network = source >> 24
        # RFC 1122 section 3.2.1.3: none of these is the address of another host.
        if network == 0 or network == 127 or network >= 224:
            return IPV4_BAD_SOURCE
        if source == interface.ipv4_address or source == interface.ipv4_broadcast:
            return IPV4_BAD_SOURCE
        if header.is_fragment():
            return IPV4_FRAGMENT
        return IPV4_DELIVERED

    def _is_for_us(self, header: Ipv4Header, contiguous: int, interface: Interface, link_group: bool) -> bool:
        return self._check_addresses(header, contiguous, interface, link_group) == IPV4_DELIVERED

    def _is_for_dhcp(self, header: Ipv4Header, contiguous: int) -> bool:
        """Whether a packet is for a DHCP client: its server may send to the address it offers (RFC 2131 4.1)."""
        if header.protocol() != PROTOCOL_UDP or header.header_length() + UDP_HEADER > contiguous:
            return False
        return header.payload_double_word(0) & 0xFFFF == DHCP_CLIENT_PORT


def error_kind(error_type: int, code: int) -> int:
    """What an ICMP error says, in the words both versions share."""
    if error_type == ICMP_TIME_EXCEEDED:
        return ERROR_TIME_EXCEEDED
    if error_type == ICMP_PARAMETER_PROBLEM:
        return ERROR_PARAMETER
    if code == UNREACHABLE_PROTOCOL:
        return ERROR_PROTOCOL
    if code == UNREACHABLE_PORT:
        return ERROR_PORT
    if code == UNREACHABLE_TOO_BIG:
        return ERROR_TOO_BIG
    return ERROR_PROHIBITED if code in PROHIBITED_CODES else ERROR_UNREACHABLE
