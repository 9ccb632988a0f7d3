"""The way out for IPv4: from one of our addresses to another host, a broadcast or a group (RFC 1122 section 3.3.1).

A transport gives ``Ipv4Path.send`` a chain whose first piece owns ``headroom`` bytes. The path puts IPv4's and the
Ethernet header there, has the checksum completed by the device or completes it, and gives the frame to the device, or
to the neighbour table when the next hop is not known. What fits in the path's MTU is sent with DF; longer packets of
all but TCP are sent in fragments (``fragmentation``). Which next hop it is, ``IPv4.next_hop`` says.
"""

from typing import TYPE_CHECKING

from ebbrt.iobuf import IOBuf
from stack.constants import (
    ETHERNET_HEADER,
    ETHERTYPE_IPV4,
    GROUP_TTL,
    IPV4_HEADER,
    IPV4_LONGEST,
    LINK_AND_IPV4_HEADERS,
    MASK32,
    PROTOCOL_TCP,
)
from stack.interface import Interface
from stack.ipv4.fragmentation import cut
from stack.transport import Path
from stack.wire.checksum import address_sum, start_checksum

if TYPE_CHECKING:
    from stack.ipv4.ipv4 import IPv4


class Ipv4Path(Path):
    """The way from one of our IPv4 addresses to another; looked up again when the routes or the neighbour change."""

    def __init__(
        self,
        ip: "IPv4",
        interface: Interface,
        source: tuple[int, int],
        destination: tuple[int, int],
        for_reply: bool = False,
    ) -> None:
        Path.__init__(self, 4, source, destination)
        self.ip = ip
        self.interface = interface
        self.device = self.interface.device
        self.source = source[1] & MASK32
        self.destination = destination[1] & MASK32
        self.to_group = self.destination >> 28 == 0xE
        self.address_sum = address_sum(self.source) + address_sum(self.destination)
        self.headroom = self.device.headroom + LINK_AND_IPV4_HEADERS
        self.header_length = IPV4_HEADER
        self.mtu = self.device.mtu
        self.largest_segment = self.device.largest_segment
        self.checksum_offload = self.device.checksum_offload
        self.generation = ip.routes.generation
        self.neighbour = ip.next_hop(self.interface, self.destination, for_reply)

    def leads_to_host(self) -> bool:
        """See Path."""
        self._look_again()
        return self.neighbour is not self.ip.everybody and self.neighbour is not self.ip.nobody and not self.to_group

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
        if self.neighbour is ip.nobody:
            ip.no_route += 1
            return False
        total_length = length + IPV4_HEADER
        if total_length > (self.mtu if segment_size == 0 else IPV4_LONGEST):
            return self._send_in_fragments(packet, length, protocol, checksum_offset, traffic_class, now, b"")
        if packet.headroom() < self.headroom:
            raise ValueError(f"{packet.headroom()} bytes of headroom before a packet, not {self.headroom}")
        checksum_start = 0
        if checksum_offset:
            start_checksum(packet, length, protocol, self.address_sum, checksum_offset, self.checksum_offload)
            checksum_start = LINK_AND_IPV4_HEADERS if self.checksum_offload else 0
        if self.may_be_cut:
            self._write_headers_to_be_cut(packet, total_length, protocol, traffic_class, now)
        else:
            self._write_headers(packet, total_length, 0, protocol, traffic_class)  # 0: see ``identification``
        ip.sent += 1
        return self._transmit(packet, checksum_start, checksum_offset, segment_size, now)

    def send_with_options(
        self, packet: IOBuf, length: int, protocol: int, options: bytes, traffic_class: int, now: int
    ) -> bool:
        """As ``send``, of a packet without a checksum to be completed, with ``options`` in IPv4's header.

        options: up to 40 bytes, in whole words; ``packet`` owns so many bytes of headroom more. Where it must be sent
        in fragments, the first has them: those that may be here are copied to no others (RFC 791 section 3.1).
        """
        ip = self.ip
        if self.neighbour.is_gone() or self.generation != ip.routes.generation:
            self._look_again()
        if self.neighbour is ip.nobody:
            ip.no_route += 1
            return False
        total_length = IPV4_HEADER + len(options) + length
        if total_length > self.mtu:
            return self._send_in_fragments(packet, length, protocol, 0, traffic_class, now, options)
        packet.retreat(len(options))
        packet.write(0, options)
        if self.may_be_cut:
            self._write_headers_to_be_cut(packet, total_length, protocol, traffic_class, now)
        else:
            self._write_headers(packet, total_length, 0, protocol, traffic_class)
        ip.header.add_options(len(options))
        ip.sent += 1
        return self._transmit(packet, 0, 0, 0, now)

    def _write_headers(
        self, packet: IOBuf, total_length: int, identification: int, protocol: int, traffic_class: int
    ) -> None:
        """Put IPv4's and the Ethernet header in front of ``packet``."""
        ip = self.ip
        packet.retreat(LINK_AND_IPV4_HEADERS)
        ip.ethernet.at(packet.start).write(self.neighbour.mac, self.interface.mac, ETHERTYPE_IPV4)
        ip.header.at(packet.start + ETHERNET_HEADER).write(
            total_length, identification, protocol, self.source, self.destination, traffic_class, self.address_sum
        )
        if self.to_group:
            ip.header.set_time_to_live(GROUP_TTL)

    def _write_headers_to_be_cut(
        self, packet: IOBuf, total_length: int, protocol: int, traffic_class: int, now: int
    ) -> None:
        """The same without DF: a router on the way carries less than we care to send (``PathMtu.may_be_cut``)."""
        if now >= self.mtu_expires:
            self.renew_mtu(now)
        identification = self.ip.identifications.next(self.source, self.destination)
        self._write_headers(packet, total_length, identification, protocol, traffic_class)
        self.ip.header.become_fragment(0, False)

    def _transmit(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int, now: int) -> bool:
        """Give a frame to the device, or to the neighbour table; False, counted, when the device is full."""
        neighbour = self.neighbour
        if now < neighbour.usable_until:
            neighbour.used = True
            left = self.device.transmit(frame, checksum_start, checksum_offset, segment_size)
        else:
            left = self.interface.arp.send(neighbour, frame, checksum_start, checksum_offset, segment_size, now)
        if not left:
            self.ip.device_full += 1
        return left

    def _send_in_fragments(
        self,
        packet: IOBuf,
        length: int,
        protocol: int,
        checksum_offset: int,
        traffic_class: int,
        now: int,
        options: bytes,
    ) -> bool:
        """Send what does not fit in the path's MTU; see Path.send. One fragment that cannot leave ends it."""
        ip = self.ip
        if now >= self.mtu_expires and self.renew_mtu(now):
            if options:
                return self.send_with_options(packet, length, protocol, options, traffic_class, now)
            return self.send(packet, length, protocol, checksum_offset, 0, traffic_class, now)
        header_length = IPV4_HEADER + len(options)
        if protocol == PROTOCOL_TCP or length + header_length > IPV4_LONGEST:
            ip.too_long += 1
            return False
        if checksum_offset:
            start_checksum(packet, length, protocol, self.address_sum, checksum_offset, False)
        parts = cut(ip.internet.allocator, packet, length, self.mtu - header_length, self.headroom + len(options))
        if parts is None:
            ip.no_memory += 1
            return False
        ip.fragmented += 1
        identification = ip.identifications.next(self.source, self.destination)
        for part in parts:
            frame = part.chain
            own = options if part.offset == 0 else b""
            frame.retreat(len(own))
            frame.write(0, own)
            total_length = IPV4_HEADER + len(own) + part.length
            self._write_headers(frame, total_length, identification, protocol, traffic_class)
            ip.header.become_fragment(part.offset >> 3, part.more)
            if own:
                ip.header.add_options(len(own))
            ip.sent += 1
            ip.fragments_sent += 1
            if not self._transmit(frame, 0, 0, 0, now):
                return False
        return True

    def _look_again(self) -> None:
        """Ask for the next hop again."""
        self.generation = self.ip.routes.generation
        if self.source == self.interface.ipv4_address:
            self.neighbour = self.ip.next_hop(self.interface, self.destination, False)
        else:
            self.neighbour = self.ip.nobody  # the address is ours no more
