"""IPv4 (RFC 791; RFC 1122 section 3): validates and delivers what came in, and sends for the transports.

Received packets are checked, stripped of the link's padding and of their header, and handed to the ``Transport``
registered for their protocol. To send, a transport gives a chain whose first piece owns ``headroom`` bytes; IPv4 puts
its own and the Ethernet header there, has the checksum completed by the device or completes it, and gives the frame to
the device, or to the neighbour table when the next hop is not known. Fragments are dropped and counted; we never make
any, and set DF.
"""

from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING

from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.netdevice import EthernetDevice
from stack.constants import (
    BROADCAST_MAC,
    ETHERNET_HEADER,
    ETHERTYPE_IPV4,
    ICMP_UNREACHABLE,
    IPV4_BAD_SOURCE,
    IPV4_DELIVERED,
    IPV4_FRAGMENT,
    IPV4_HEADER,
    IPV4_LONGEST,
    IPV4_NOT_OURS,
    IPV4_OUTCOMES,
    IPV4_TCP_TO_BROADCAST,
    IPV4_UNKNOWN_PROTOCOL,
    LIMITED_BROADCAST,
    LINK_AND_IPV4_HEADERS,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    UNREACHABLE_HOST,
)
from stack.neighbour import Neighbour, NeighbourTable
from stack.transport import Transport
from stack.wire.checksum import chain_sum, fold, pseudo_header_sum
from stack.wire.ethernet import EthernetHeader
from stack.wire.ipv4 import Ipv4Header

if TYPE_CHECKING:
    from stack.steering import Steering


class IPv4:
    """IPv4 on one interface.

    headroom: bytes the first piece of a packet given to ``send`` must own before the transport header.
    address: our own. mtu: the longest packet, with IPv4's header. checksum_offload: the device completes TCP's and
    UDP's checksums. largest_segment: most payload bytes ``send`` takes with a ``segment_size``; 0: none.
    identification: the first packet's, any 16-bit number.
    received_start, received_header_length, received_source, received_broadcast: about the packet that is being
    delivered, valid until the transport returns: the offset of its header in node memory, and so on.
    steering: the way to the other cores of the node; None on a node of one.
    """

    def __init__(
        self,
        allocator: MemoryAllocator,
        device: EthernetDevice,
        interface: IPv4Interface,
        gateway: IPv4Address | None,
        identification: int,
    ) -> None:
        network = interface.network
        if gateway is not None and gateway not in network:
            raise ValueError(f"the gateway {gateway} is not in the interface's network {network}")
        self.device = device
        self.headroom = device.headroom + LINK_AND_IPV4_HEADERS
        self.address = int(interface.ip)
        self.mtu = device.mtu
        self.checksum_offload = device.checksum_offload
        self.largest_segment = device.largest_segment
        self.neighbours = NeighbourTable(allocator, device, int(interface.ip), int(interface.netmask))
        self.received_start = 0
        self.received_header_length = 0
        self.received_source = 0
        self.received_broadcast = False
        self.steering: Steering | None = None
        self._memory = allocator.memory
        self._mac = int.from_bytes(device.mac, "big")
        self._mask = int(interface.netmask)
        # Networks of one or two addresses have no broadcast address of their own (RFC 3021).
        self._broadcast = int(network.broadcast_address) if network.prefixlen < 31 else LIMITED_BROADCAST
        self._gateway = 0 if gateway is None else int(gateway)
        self._identification = identification
        self._transports: list[Transport | None] = [None] * 256
        self._unknown_protocol: Transport | None = None
        self._everybody = Neighbour(LIMITED_BROADCAST)
        self._everybody.set_permanent(BROADCAST_MAC)
        self._nobody = Neighbour(0)
        self._ethernet = EthernetHeader(self._memory)
        self._header = Ipv4Header(self._memory)
        self._quoted_header = Ipv4Header(self._memory)
        # How many received packets came to which end; the index is one of the IPV4_ outcomes.
        self._outcomes = memoryview(bytearray(8 * len(IPV4_OUTCOMES))).cast("Q")
        self._received = 0
        self._sent = 0
        self._no_route = 0
        self._too_long = 0
        self._device_full = 0

    def register(self, protocol: int, transport: Transport) -> None:
        """Deliver packets of ``protocol`` (0 to 255) to ``transport``."""
        self._transports[protocol] = transport

    def register_unknown(self, transport: Transport) -> None:
        """Deliver packets of every other protocol to ``transport``."""
        self._unknown_protocol = transport

    def neighbour(self, destination: int) -> Neighbour:
        """The next hop to ``destination``, for ``send``. It may be kept: ``send`` replaces one that is gone."""
        if destination == LIMITED_BROADCAST or destination == self._broadcast:
            return self._everybody
        if destination == self.address or destination >> 28 == 0xE:
            return self._nobody  # neither loopback nor multicast
        if (destination ^ self.address) & self._mask == 0:
            return self.neighbours.lookup(destination)
        if self._gateway:
            return self.neighbours.lookup(self._gateway)
        return self._nobody

    def is_host(self, destination: int) -> bool:
        """Whether ``destination`` may be one other host that packets can be sent to: no group, and there is a way."""
        neighbour = self.neighbour(destination)
        return neighbour is not self._everybody and neighbour is not self._nobody

    def send(
        self,
        packet: IOBuf,
        length: int,
        protocol: int,
        destination: int,
        neighbour: Neighbour | None,
        checksum_offset: int,
        segment_size: int,
        now: int,
    ) -> bool:
        """Send a transport's packet; False, counted, when it could not leave (no route, too long, device full).

        packet: chain from the transport header on, ``length`` bytes in all; its first piece owns ``headroom`` bytes
            before them, where the headers are written. The chain is used up: to send again, make another.
        neighbour: what ``neighbour(destination)`` gave, or None.
        checksum_offset: of the checksum field, now zero, in the transport header; 0: the packet needs none.
        segment_size: the device cuts the payload into TCP segments of this size; 0: it does not.
        Raises ValueError when the headroom is missing: the caller's mistake.
        """
        if neighbour is None or neighbour.is_gone():
            neighbour = self.neighbour(destination)
        if neighbour is self._nobody:
            self._no_route += 1
            return False
        total_length = length + IPV4_HEADER
        if total_length > (self.mtu if segment_size == 0 else IPV4_LONGEST):
            self._too_long += 1
            return False
        if packet.headroom() < self.headroom:
            raise ValueError(f"{packet.headroom()} bytes of headroom before a packet, not {self.headroom}")
        checksum_start = 0
        if checksum_offset:
            checksum_start = self._start_checksum(packet, length, protocol, destination, checksum_offset)
        self._identification = (self._identification + 1) & 0xFFFF
        packet.retreat(LINK_AND_IPV4_HEADERS)
        self._ethernet.at(packet.start).write(neighbour.mac, self._mac, ETHERTYPE_IPV4)
        self._header.at(packet.start + ETHERNET_HEADER).write(
            total_length, self._identification, protocol, self.address, destination
        )
        self._sent += 1
        if now < neighbour.usable_until:
            neighbour.used = True
            left = self.device.transmit(packet, checksum_start, checksum_offset, segment_size)
        else:
            left = self.neighbours.send(neighbour, packet, checksum_start, checksum_offset, segment_size, now)
        if not left:
            self._device_full += 1
        return left

    def receive(self, packet: IOBuf, link_broadcast: bool, checksum_valid: bool, now: int) -> None:
        """Take a received packet: a chain whose first piece starts at the IPv4 header, and holds all of it.

        link_broadcast: the frame was sent to a group of link addresses.
        """
        self._received += 1
        header = self._header.at(packet.start)
        available = packet.length if packet.next is None else packet.chain_length()
        outcome = header.check(packet.length, available)
        if outcome == IPV4_DELIVERED:
            outcome = self._check_addresses(header, link_broadcast)
        if outcome != IPV4_DELIVERED:
            self._outcomes[outcome] += 1
            return
        length = header.total_length()
        protocol = header.protocol()
        destination = header.destination()
        if length < available:
            packet.truncate_chain(length)
        self.received_start = packet.start
        self.received_header_length = header.header_length()
        self.received_source = header.source()
        length -= self.received_header_length
        packet.advance(self.received_header_length)
        while packet.length == 0 and packet.next is not None:
            packet = packet.next
        transport = self._transports[protocol]
        if transport is None:
            self._outcomes[IPV4_UNKNOWN_PROTOCOL] += 1
            transport = self._unknown_protocol
            if transport is None:
                return
        elif protocol == PROTOCOL_TCP and self.received_broadcast:
            self._outcomes[IPV4_TCP_TO_BROADCAST] += 1  # RFC 1122 section 4.2.3.10
            return
        else:
            self._outcomes[IPV4_DELIVERED] += 1
        transport.receive_segment(packet, length, self.received_source, destination, checksum_valid, now)

    def report_error(self, error_type: int, code: int, quoted: int, contiguous: int, now: int) -> bool:
        """Tell the transport that sent it about a packet that was not delivered; False when it was none of ours.

        quoted: offset in node memory of the packet's IPv4 header, with ``contiguous`` bytes behind it, of which the
        transport is told the first 8 behind the header.
        """
        header = self._quoted_header.at(quoted)
        if contiguous < IPV4_HEADER + 8 or header.version() != 4:
            return False
        header_length = header.header_length()
        if header_length < IPV4_HEADER or header_length + 8 > contiguous:
            return False
        transport = self._transports[header.protocol()]
        if header.source() != self.address or header.fragment_offset() != 0 or transport is None:
            return False
        ports = header.payload_double_word(0)
        transport.icmp_error(
            error_type,
            code,
            ports >> 16,
            header.destination(),
            ports & 0xFFFF,
            header.payload_double_word(4),
            now,
        )
        return True

    def poll(self, now: int) -> None:
        """Do what is due: ARP's requests, and the news of hosts that did not answer them."""
        for frame in self.neighbours.poll(now):
            self.report_error(
                ICMP_UNREACHABLE, UNREACHABLE_HOST, frame.start + ETHERNET_HEADER, frame.length - ETHERNET_HEADER, now
            )

    def next_deadline(self) -> int:
        """When ``poll`` is due, at the latest, in nanoseconds; or FOREVER."""
        return self.neighbours.next_deadline()

    def statistics(self) -> dict[str, int]:
        """Received packets and what became of them; sent ones, and those that could not be."""
        counters = {"received": self._received}
        for outcome in range(len(IPV4_OUTCOMES)):
            counters[IPV4_OUTCOMES[outcome]] = self._outcomes[outcome]
        counters["sent"] = self._sent
        counters["send_no_route"] = self._no_route
        counters["send_too_long"] = self._too_long
        counters["send_device_full"] = self._device_full
        return counters

    def _check_addresses(self, header: Ipv4Header, link_broadcast: bool) -> int:
        """The outcome of a well-formed packet for its addresses; notes whether it is a broadcast."""
        destination = header.destination()
        self.received_broadcast = destination == LIMITED_BROADCAST or destination == self._broadcast
        if not self.received_broadcast and (destination != self.address or link_broadcast):
            return IPV4_NOT_OURS  # a unicast address in a link broadcast: RFC 1122 section 3.3.6
        source = header.source()
        network = source >> 24
        # RFC 1122 section 3.2.1.3: none of these is the address of another host.
        if network == 0 or network == 127 or network >= 224 or source == self.address or source == self._broadcast:
            return IPV4_BAD_SOURCE
        if header.is_fragment():
            return IPV4_FRAGMENT
        return IPV4_DELIVERED

    def _start_checksum(
        self, packet: IOBuf, length: int, protocol: int, destination: int, checksum_offset: int
    ) -> int:
        """Fill in the transport's checksum, or its start for the device: where in the frame that is to go on, or 0."""
        total = pseudo_header_sum(self.address, destination, protocol, length)
        if not self.checksum_offload:
            total = 0xFFFF ^ fold(total + chain_sum(packet, length))
            if total == 0 and protocol == PROTOCOL_UDP:
                total = 0xFFFF  # zero means "none" (RFC 768)
        at = packet.start + checksum_offset
        self._memory.mem[at] = total >> 8
        self._memory.mem[at + 1] = total & 0xFF
        return LINK_AND_IPV4_HEADERS if self.checksum_offload else 0
