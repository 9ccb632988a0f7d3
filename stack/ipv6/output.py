"""The way out for IPv6: which next hop leads to an address (RFC 4861 section 5.2); ``Ipv6Path`` sends there.

A path's source is an address of the interface that it leaves by (the strong host model). It looks its next hop up
again when the neighbour is gone, or when addresses, prefixes or routers of the link have changed.
"""

import random

from ebbrt.iobuf import IOBuf, allocate
from stack.constants import ETHERNET_HEADER, PROTOCOL_TCP
from stack.internet import Internet
from stack.ipv6.constants import (
    ETHERTYPE_IPV6,
    FRAGMENT,
    FRAGMENT_HEADER,
    IPV6_HEADER,
    LINK_AND_IPV6_HEADERS,
    LONGEST_PAYLOAD,
)
from stack.ipv6.link import Ipv6Link, group_mac, is_group, is_host
from stack.ipv6.selection import select_source
from stack.neighbour import Neighbour
from stack.transport import Path, Received
from stack.wire.checksum import address_sum, start_checksum
from stack.wire.ethernet import EthernetHeader
from stack.wire.ipv6 import Ipv6Header

MOST_PATHS = 4096  # kept for those who ask again; a holder of a path keeps it anyway


class Ipv6Output:
    """What goes out by IPv6, of one stack. links, random: as in IPv6."""

    def __init__(self, internet: Internet, links: list[Ipv6Link], random: random.Random) -> None:
        self.internet = internet
        self.links = links
        self.random = random
        self.ethernet = EthernetHeader(internet.allocator.memory)
        self.header = Ipv6Header(internet.allocator.memory)
        self.nobody = Neighbour(0, 0)
        self._paths: dict[tuple[tuple[int, int] | None, tuple[int, int]], Ipv6Path] = {}
        self.sent = 0
        self.no_route = 0
        self.too_long = 0
        self.device_full = 0
        self.no_memory = 0
        self.fragmented = 0
        self.fragments_sent = 0

    def path(self, source: tuple[int, int] | None, destination: tuple[int, int]) -> "Ipv6Path":
        """The way to an address, from one of ours or from the one that fits best."""
        path = self._paths.get((source, destination))
        if path is None or (source is None and path.is_outdated()):
            link = self._link_to(destination) if source is None else self._link_of(source)
            chosen = source or select_source(link.addresses if link is not None else [], destination)
            path = self._paths.get((chosen, destination))
            if path is None or path.link is not link:
                path = Ipv6Path(self, link, chosen, destination)
                self._keep(chosen, destination, path)
            self._keep(source, destination, path)
        return path

    def known_path(self, source: tuple[int, int], destination: tuple[int, int]) -> "Ipv6Path | None":
        """The path between these addresses if anybody has asked for it."""
        return self._paths.get((source, destination))

    def reply_path(self, received: Received) -> "Ipv6Path":
        """The way back for a single packet: from the address that was asked, or to a group from one of ours."""
        destination = received.source_high, received.source_low
        link = received.interface.link6
        assert link is not None
        source: tuple[int, int] | None = (received.destination_high, received.destination_low)
        if received.to_group:
            source = select_source(link.addresses, destination)
        return self._paths.get((source, destination)) or Ipv6Path(self, link, source, destination, True)

    def next_hop(self, link: Ipv6Link | None, path: Path, for_reply: bool) -> Neighbour:
        """Where on ``link`` packets go; ``nobody`` without a way, or when their source is no address of ours.

        for_reply: a single packet is to be sent there, because somebody there may have sent one.
        """
        high, low = path.destination_high, path.destination_low
        if link is None or not link.has(path.source_high, path.source_low):
            return self.nobody
        if is_group(high):
            everybody = Neighbour(high, low)
            everybody.set_permanent(group_mac(low))
            return everybody
        if not is_host(high, low) or link.address(high, low) is not None:
            return self.nobody  # no loopback
        if not link.is_on_link(high, low):
            router = link.routers.choose()
            if router is None:
                return self.nobody
            high, low = router
        if for_reply:
            return link.neighbours.lookup_for_reply(high, low) or self.nobody
        return link.neighbours.lookup(high, low)

    def statistics(self) -> dict[str, int]:
        """Packets sent, and those that could not be."""
        return {
            "sent": self.sent,
            "send_no_route": self.no_route,
            "send_too_long": self.too_long,
            "send_device_full": self.device_full,
            "send_no_memory": self.no_memory,
            "sent_in_fragments": self.fragmented,
            "sent_fragments": self.fragments_sent,
        }

    def _keep(self, source: tuple[int, int] | None, destination: tuple[int, int], path: "Ipv6Path") -> None:
        if len(self._paths) >= MOST_PATHS:
            del self._paths[next(iter(self._paths))]
        self._paths[source, destination] = path

    def _link_of(self, source: tuple[int, int]) -> Ipv6Link | None:
        """The link on which that is our address."""
        for link in self.links:
            if link.has(source[0], source[1]):
                return link
        return None

    def _link_to(self, destination: tuple[int, int]) -> Ipv6Link | None:
        """The link that leads there: where it is on the link, else where there is a router, else the first."""
        on_link = [link for link in self.links if link.is_on_link(destination[0], destination[1])]
        with_router = [link for link in self.links if link.routers.choose() is not None]
        return (on_link + with_router + self.links + [None])[0]


class Ipv6Path(Path):
    """The way from one of our IPv6 addresses to another address. ``link`` None, or no source: it leads nowhere."""

    def __init__(
        self,
        output: Ipv6Output,
        link: Ipv6Link | None,
        source: tuple[int, int] | None,
        destination: tuple[int, int],
        for_reply: bool = False,
    ) -> None:
        Path.__init__(self, 6, source or (0, 0), destination)
        self.output = output
        self.link = link
        self.address_sum = (
            address_sum(self.source_high)
            + address_sum(self.source_low)
            + address_sum(self.destination_high)
            + address_sum(self.destination_low)
        )
        self.header_length = IPV6_HEADER
        self.headroom = output.internet.headroom
        self.generation = 0
        self.checksum_offload = False
        if link is not None:
            self.generation = link.generation
            self.mtu = link.mtu
            self.largest_segment = link.device.largest_segment if link.device.segments_ipv6 else 0
            self.checksum_offload = link.device.checksum_offload
        self.neighbour = output.next_hop(link, self, for_reply)

    def is_outdated(self) -> bool:
        """Whether the link has changed since the way was looked up."""
        return self.link is None or self.generation != self.link.generation

    def leads_to_host(self) -> bool:
        """See Path."""
        self._look_again()
        return self.neighbour is not self.output.nobody and not is_group(self.destination_high)

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
        output = self.output
        link = self.link
        if self.neighbour.is_gone() or (link is not None and self.generation != link.generation):
            self._look_again()
        neighbour = self.neighbour
        if link is None or neighbour is output.nobody:
            output.no_route += 1
            return False
        if packet.headroom() < self.headroom:
            raise ValueError(f"{packet.headroom()} bytes of headroom before a packet, not {self.headroom}")
        if length + IPV6_HEADER > (self.mtu if segment_size == 0 else LONGEST_PAYLOAD):
            return self._send_fragments(packet, length, protocol, checksum_offset, traffic_class, now)
        checksum_start = 0
        if checksum_offset:
            start_checksum(packet, length, protocol, self.address_sum, checksum_offset, self.checksum_offload)
            checksum_start = LINK_AND_IPV6_HEADERS if self.checksum_offload else 0
        return self._transmit(
            packet, length, protocol, checksum_start, checksum_offset, segment_size, traffic_class, now
        )

    def _send_fragments(
        self, packet: IOBuf, length: int, protocol: int, checksum_offset: int, traffic_class: int, now: int
    ) -> bool:
        """Cut a packet that is too long (RFC 8200 section 4.5); each fragment is a header before views of its data.

        The identification is a random number, which nobody can foresee (RFC 7739 section 5.2).
        """
        output = self.output
        if protocol == PROTOCOL_TCP or length > LONGEST_PAYLOAD:
            output.too_long += 1
            return False
        if now >= self.mtu_expires and self.renew_mtu(now):
            return self.send(packet, length, protocol, checksum_offset, 0, traffic_class, now)
        if checksum_offset:
            start_checksum(packet, length, protocol, self.address_sum, checksum_offset, False)
        output.fragmented += 1
        identification = output.random.getrandbits(32)
        most = (self.mtu - IPV6_HEADER - FRAGMENT_HEADER) & ~7
        start = 0
        while start < length:
            count = min(most, length - start)
            more = 1 if start + count < length else 0
            fragment = allocate(output.internet.allocator, FRAGMENT_HEADER, self.headroom)
            if fragment is None:
                output.no_memory += 1
                return False
            header = bytes((protocol, 0)) + (start | more).to_bytes(2, "big") + identification.to_bytes(4, "big")
            fragment.write(0, header)
            fragment.next = part_of(packet, start, count)
            output.fragments_sent += 1
            if not self._transmit(fragment, FRAGMENT_HEADER + count, FRAGMENT, 0, 0, 0, traffic_class, now):
                return False
            start += count
        return True

    def _transmit(
        self,
        packet: IOBuf,
        length: int,
        protocol: int,
        checksum_start: int,
        checksum_offset: int,
        segment_size: int,
        traffic_class: int,
        now: int,
    ) -> bool:
        """Put the headers on ``length`` bytes that begin with a header of kind ``protocol``, and send the frame."""
        output = self.output
        neighbour = self.neighbour
        link = self.link
        assert link is not None
        packet.retreat(LINK_AND_IPV6_HEADERS)
        output.ethernet.at(packet.start).write(neighbour.mac, link.mac, ETHERTYPE_IPV6)
        output.header.at(packet.start + ETHERNET_HEADER).write(
            length,
            protocol,
            link.hop_limit,
            traffic_class,
            self.source_high,
            self.source_low,
            self.destination_high,
            self.destination_low,
        )
        output.sent += 1
        if now < neighbour.usable_until:
            neighbour.used = True
            left = link.device.transmit(packet, checksum_start, checksum_offset, segment_size)
        else:
            left = link.neighbours.send(neighbour, packet, checksum_start, checksum_offset, segment_size, now)
        if not left:
            output.device_full += 1
        return left

    def _look_again(self) -> None:
        """Ask for the next hop again."""
        if self.link is not None:
            self.generation = self.link.generation
            self.set_link_mtu(self.link.mtu)
        self.neighbour = self.output.next_hop(self.link, self, False)


def part_of(chain: IOBuf, start: int, length: int) -> IOBuf:
    """Views of ``length`` bytes of a chain from ``start`` on."""
    piece: IOBuf | None = chain
    while piece is not None and start >= piece.length:
        start -= piece.length
        piece = piece.next
    assert piece is not None
    head = last = piece.slice(start, min(length, piece.length - start))
    length -= head.length
    piece = piece.next
    while piece is not None and length > 0:
        last.next = piece.slice(0, min(length, piece.length))
        last = last.next
        length -= last.length
        piece = piece.next
    return head
