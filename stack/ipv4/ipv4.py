"""IPv4 (RFC 791; RFC 1122 section 3): validates and delivers what came in, and sends for the transports.

Received packets are checked, stripped of the link's padding and of their header, and handed to the ``Transport``
registered for their protocol. To send, a transport asks for an ``Ipv4Path`` and gives it a chain whose first piece
owns ``headroom`` bytes; the path puts IPv4's and the Ethernet header there, has the checksum completed by the device
or completes it, and gives the frame to the device, or to the neighbour table when the next hop is not known. Fragments
are dropped and counted; we never make any, and set DF.
"""

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf
from stack.address import mapped
from stack.constants import (
    BROADCAST_MAC,
    ERROR_PARAMETER,
    ERROR_PORT,
    ERROR_PROHIBITED,
    ERROR_PROTOCOL,
    ERROR_TIME_EXCEEDED,
    ERROR_TOO_BIG,
    ERROR_UNREACHABLE,
    ETHERNET_HEADER,
    ETHERTYPE_IPV4,
    ICMP_PARAMETER_PROBLEM,
    ICMP_TIME_EXCEEDED,
    ICMP_UNREACHABLE,
    IPV4_BAD_SOURCE,
    IPV4_DELIVERED,
    IPV4_FRAGMENT,
    IPV4_HEADER,
    IPV4_LONGEST,
    IPV4_MAPPED_PREFIX,
    IPV4_NOT_OURS,
    IPV4_OUTCOMES,
    IPV4_TCP_TO_BROADCAST,
    IPV4_UNKNOWN_PROTOCOL,
    LIMITED_BROADCAST,
    LINK_AND_IPV4_HEADERS,
    MASK32,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    UNREACHABLE_HOST,
    UNREACHABLE_PORT,
    UNREACHABLE_PROTOCOL,
    UNREACHABLE_TOO_BIG,
)
from stack.interface import Interface, InternetProtocol
from stack.internet import Internet
from stack.neighbour import Neighbour
from stack.routes import RouteTable
from stack.transport import Path, Transport
from stack.wire.checksum import address_sum, chain_sum, fold, pseudo_header_sum
from stack.wire.ethernet import EthernetHeader
from stack.wire.ipv4 import Ipv4Header

MOST_PATHS = 4096  # kept for those who ask again; a holder of a path keeps it anyway
PROHIBITED_CODES = frozenset((9, 10, 13))  # by an administrator (RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1)


class IPv4(InternetProtocol):
    """IPv4 on all interfaces of a stack.

    identification: the first packet's, any 16-bit number.
    """

    def __init__(
        self, internet: Internet, interfaces: list[Interface], routes: RouteTable, identification: int
    ) -> None:
        self.internet = internet
        self.interfaces = interfaces
        self.routes = routes
        self.received = internet.received
        self.memory = internet.allocator.memory
        self.identification = identification
        self.ethernet = EthernetHeader(self.memory)
        self.header = Ipv4Header(self.memory)
        self._quoted_header = Ipv4Header(self.memory)
        self._unknown_protocol: Transport | None = None
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

    def register_unknown(self, transport: Transport) -> None:
        """Deliver packets of protocols that nobody has registered for to ``transport``."""
        self._unknown_protocol = transport

    def path(self, source: tuple[int, int] | None, destination: tuple[int, int]) -> "Ipv4Path":
        """The way to a mapped address, from a mapped address of ours or from the interface's that leads there."""
        to = destination[1] & MASK32
        from_ = 0 if source is None else source[1] & MASK32
        key = from_ << 32 | to
        path = self._paths.get(key)
        if path is None:
            if not from_:
                from_ = self._source_for(to)
            if len(self._paths) >= MOST_PATHS:
                del self._paths[next(iter(self._paths))]
            path = self._paths[key] = Ipv4Path(self, mapped(from_), destination)
        return path

    def next_hop(self, interface: Interface, destination: int) -> Neighbour:
        """Where on ``interface`` packets for ``destination`` go; ``nobody`` without a way."""
        if destination == LIMITED_BROADCAST or destination == interface.ipv4_broadcast:
            return self.everybody
        if destination == interface.ipv4_address or destination >> 28 == 0xE:
            return self.nobody  # neither loopback nor multicast
        if (destination ^ interface.ipv4_address) & interface.ipv4_mask == 0:
            return interface.arp.neighbour(destination)
        route = self.routes.find(destination)
        if route is not None and route.interface is interface:
            return interface.arp.neighbour(route.gateway)
        return self.nobody

    def interface_of(self, address: int) -> Interface:
        """The interface that has the IPv4 address; the first one when none has it."""
        for interface in self.interfaces:
            if interface.ipv4_address == address:
                return interface
        return self.interfaces[0]

    def receive(self, packet: IOBuf, interface: Interface, link_group: bool, checksum_valid: bool, now: int) -> None:
        """See InternetProtocol."""
        self._received += 1
        header = self.header.at(packet.start)
        available = packet.length if packet.next is None else packet.chain_length()
        outcome = header.check(packet.length, available)
        if outcome == IPV4_DELIVERED:
            outcome = self._check_addresses(header, interface, link_group)
        if outcome != IPV4_DELIVERED:
            self._outcomes[outcome] += 1
            return
        length = header.total_length()
        protocol = header.protocol()
        if length < available:
            packet.truncate_chain(length)
        received = self.received
        received.version = 4
        received.interface = interface
        received.start = packet.start
        received.header_length = header.header_length()
        received.source_high = received.destination_high = 0
        received.source_low = IPV4_MAPPED_PREFIX | header.source()
        received.destination_low = IPV4_MAPPED_PREFIX | header.destination()
        received.address_sum = address_sum(header.source()) + address_sum(header.destination())
        received.hop_limit = header.time_to_live()
        received.traffic_class = header.type_of_service()
        received.checksum_valid = checksum_valid
        length -= received.header_length
        packet.advance(received.header_length)
        while packet.length == 0 and packet.next is not None:
            packet = packet.next
        transport = self.internet.transport(protocol)
        if transport is None:
            self._outcomes[IPV4_UNKNOWN_PROTOCOL] += 1
            transport = self._unknown_protocol
            if transport is None:
                return
        elif protocol == PROTOCOL_TCP and received.to_group:
            self._outcomes[IPV4_TCP_TO_BROADCAST] += 1  # RFC 1122 section 4.2.3.10
            return
        else:
            self._outcomes[IPV4_DELIVERED] += 1
        transport.receive_segment(packet, length, received, now)

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

    def statistics(self) -> dict[str, int]:
        """Received packets and what became of them; sent ones, and those that could not be."""
        counters = {"received": self._received}
        for outcome in range(len(IPV4_OUTCOMES)):
            counters[IPV4_OUTCOMES[outcome]] = self._outcomes[outcome]
        counters["sent"] = self.sent
        counters["send_no_route"] = self.no_route
        counters["send_too_long"] = self.too_long
        counters["send_device_full"] = self.device_full
        return counters

    def _check_addresses(self, header: Ipv4Header, interface: Interface, link_group: bool) -> int:
        """The outcome of a well-formed packet for its addresses; notes whether it is a broadcast."""
        destination = header.destination()
        to_group = destination == LIMITED_BROADCAST or destination == interface.ipv4_broadcast
        self.received.to_group = to_group
        if not to_group and (destination != interface.ipv4_address or link_group):
            return IPV4_NOT_OURS  # a unicast address in a link broadcast: RFC 1122 section 3.3.6
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

    def _source_for(self, destination: int) -> int:
        """Our address on the interface that leads there."""
        for interface in self.interfaces:
            if (destination ^ interface.ipv4_address) & interface.ipv4_mask == 0:
                return interface.ipv4_address
        route = self.routes.find(destination)
        return (self.interfaces[0] if route is None else route.interface).ipv4_address


class Ipv4Path(Path):
    """The way from one of our IPv4 addresses to another; looked up again when the routes or the neighbour change."""

    def __init__(self, ip: IPv4, source: tuple[int, int], destination: tuple[int, int]) -> None:
        Path.__init__(self, 4, source, destination)
        self.ip = ip
        self.interface = ip.interface_of(source[1] & MASK32)
        self.device = self.interface.device
        self.source = source[1] & MASK32
        self.destination = destination[1] & MASK32
        self.address_sum = address_sum(self.source) + address_sum(self.destination)
        self.headroom = self.device.headroom + LINK_AND_IPV4_HEADERS
        self.header_length = IPV4_HEADER
        self.mtu = self.device.mtu
        self.largest_segment = self.device.largest_segment
        self.checksum_offload = self.device.checksum_offload
        self.generation = ip.routes.generation
        self.neighbour = ip.next_hop(self.interface, self.destination)

    def leads_to_host(self) -> bool:
        """See Path."""
        self._look_again()
        return self.neighbour is not self.ip.everybody and self.neighbour is not self.ip.nobody

    def send(
        self,
        packet: IOBuf,
        length: int,
        protocol: int,
        checksum_offset: int,
        segment_size: int,
        traffic_class: int,
        now: int,
    ) -> bool:
        """See Path."""
        ip = self.ip
        if self.neighbour.is_gone() or self.generation != ip.routes.generation:
            self._look_again()
        neighbour = self.neighbour
        if neighbour is ip.nobody:
            ip.no_route += 1
            return False
        total_length = length + IPV4_HEADER
        if total_length > (self.mtu if segment_size == 0 else IPV4_LONGEST):
            ip.too_long += 1
            return False
        if packet.headroom() < self.headroom:
            raise ValueError(f"{packet.headroom()} bytes of headroom before a packet, not {self.headroom}")
        checksum_start = 0
        if checksum_offset:
            checksum_start = self._start_checksum(packet, length, protocol, checksum_offset)
        ip.identification = (ip.identification + 1) & 0xFFFF
        packet.retreat(LINK_AND_IPV4_HEADERS)
        ip.ethernet.at(packet.start).write(neighbour.mac, self.interface.mac, ETHERTYPE_IPV4)
        ip.header.at(packet.start + ETHERNET_HEADER).write(
            total_length, ip.identification, protocol, self.source, self.destination, traffic_class, self.address_sum
        )
        ip.sent += 1
        if now < neighbour.usable_until:
            neighbour.used = True
            left = self.device.transmit(packet, checksum_start, checksum_offset, segment_size)
        else:
            left = self.interface.arp.send(neighbour, packet, checksum_start, checksum_offset, segment_size, now)
        if not left:
            ip.device_full += 1
        return left

    def _look_again(self) -> None:
        """Ask for the next hop again."""
        self.generation = self.ip.routes.generation
        self.neighbour = self.ip.next_hop(self.interface, self.destination)

    def _start_checksum(self, packet: IOBuf, length: int, protocol: int, checksum_offset: int) -> int:
        """Fill in the transport's checksum, or its start for the device: where in the frame that is to go on, or 0."""
        total = pseudo_header_sum(self.address_sum, protocol, length)
        if not self.checksum_offload:
            total = 0xFFFF ^ fold(total + chain_sum(packet, length))
            if total == 0 and protocol == PROTOCOL_UDP:
                total = 0xFFFF  # zero means "none" (RFC 768)
        at = packet.start + checksum_offset
        packet.memory.mem[at] = total >> 8
        packet.memory.mem[at + 1] = total & 0xFF
        return LINK_AND_IPV4_HEADERS if self.checksum_offload else 0


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
