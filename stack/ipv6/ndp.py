"""Neighbor Discovery between neighbours (RFC 4861 section 7): how IPv6 fills its neighbour cache.

As anybody on the link may say anything, every message is checked as sections 7.1.1 and 7.1.2 say, an advertisement
changes entries that exist and never makes one, and a solicitation makes one only if it asks for an address of ours.
The table is bounded, and evicts those first that nobody sends to: a flood (RFC 6583) does not displace neighbours in
use. Read ``stack.neighbour`` first. Messages come from ``icmpv6``; the rest of the protocol is in ``routers``.
"""

import random

from stack.constants import ETHERNET_HEADER, RESOLVING
from stack.ipv6.constants import ALL_NODES, ALL_NODES_HIGH, TENTATIVE
from stack.ipv6.link import Ipv6Address, Ipv6Link, group_mac, is_host, solicited_node
from stack.ipv6.selection import select_source
from stack.neighbour import Neighbour, NeighbourTable
from stack.transport import Received
from stack.wire import discovery
from stack.wire.discovery import NEIGHBOR_LENGTH, OVERRIDE, ROUTER, SOLICITED
from stack.wire.ipv6 import Ipv6Header

REACHABLE_TIME = 30_000  # milliseconds, of which half to one and a half are taken (section 10, section 6.3.2)
PROBE_DELAY = 5_000_000_000  # nanoseconds (section 10, DELAY_FIRST_PROBE_TIME)
MILLISECOND = 1_000_000

UNSPECIFIED = (0, 0)
ALL_NODES_ADDRESS = (ALL_NODES_HIGH, ALL_NODES)


class Ndp(NeighbourTable):
    """The neighbours of one link.

    random: draws the reachable time.
    """

    def __init__(self, link: Ipv6Link, random: random.Random) -> None:
        NeighbourTable.__init__(self, link.allocator, link.device)
        self.link = link
        self.random = random
        self._header = Ipv6Header(link.allocator.memory)
        self.probe_delay = PROBE_DELAY
        self.set_reachable_time(REACHABLE_TIME)
        # Each received message is counted in one of these.
        self.invalid = 0
        self.not_for_us = 0
        self.address_conflicts = 0
        self.duplicates_found = 0
        self.solicitations_answered = 0
        self.advertisements_used = 0
        self.advertisements_ignored = 0

    def set_reachable_time(self, milliseconds: int) -> None:
        """From now on, answers are good for about so long (section 6.3.2)."""
        self.reachable_time = int(milliseconds * MILLISECOND * self.random.uniform(0.5, 1.5))

    def solicit(self, neighbour: Neighbour, to_all: bool, now: int) -> None:
        """See NeighbourTable; section 7.2.2."""
        target = neighbour.high, neighbour.low
        source = self._source_for(neighbour)
        if source is None:
            return
        to = solicited_node(neighbour.low) if to_all else target
        mac = group_mac(to[1]) if to_all else neighbour.mac
        self.link.send_control(source, to, mac, discovery.solicitation(target, self.link.mac))

    def receive_solicitation(self, message: bytes, received: Received, now: int, to_answer: bool) -> bool:
        """Take a neighbor solicitation (section 7.2.3); whether it was in order.

        to_answer: else another core of this node has answered it.
        """
        source = received.source_high, received.source_low
        options = discovery.options(message[NEIGHBOR_LENGTH:]) if len(message) >= NEIGHBOR_LENGTH else None
        if options is None or not self._is_valid_solicitation(message, source, received, options):
            self.invalid += 1
            return False
        _, high, low = discovery.neighbor(message)
        address = self.link.address(high, low)
        if address is None:
            self.not_for_us += 1
            return True
        if address.state == TENTATIVE:
            if source == UNSPECIFIED:  # RFC 4862 section 5.4.3: another one is about to take it
                self._duplicate(address, 0, now)
            return True
        if source == UNSPECIFIED:  # somebody wants our address: tell everybody that it is taken
            if to_answer:
                self.advertise(address)
            return True
        if options.source_mac:
            neighbour = self.lookup(*source)
            if neighbour.state == RESOLVING or neighbour.mac != options.source_mac:
                self.learn(neighbour, options.source_mac, False, now)
        if to_answer:
            self._answer(address, source, now)
        return True

    def receive_advertisement(self, message: bytes, received: Received, now: int) -> bool:
        """Take a neighbor advertisement (section 7.2.5); whether it was in order."""
        options = discovery.options(message[NEIGHBOR_LENGTH:]) if len(message) >= NEIGHBOR_LENGTH else None
        if options is None or not _is_discovery(message, received) or not _may_be_mac(options.target_mac):
            self.invalid += 1
            return False
        flags, high, low = discovery.neighbor(message)
        if not is_host(high, low) or (received.to_group and flags & SOLICITED):
            self.invalid += 1
            return False
        ours = self.link.address(high, low)
        if ours is not None:
            if ours.state == TENTATIVE:
                self._duplicate(ours, options.target_mac, now)
            elif options.target_mac == self.link.mac:  # a network has brought our own back
                self.advertisements_ignored += 1
            else:
                self.address_conflicts += 1
                self.link.autoconfiguration.watcher.address_conflict(ours, options.target_mac)
            return True
        neighbour = self.find(high, low)
        if neighbour is None or (neighbour.state == RESOLVING and not options.target_mac):
            self.advertisements_ignored += 1
            return True
        self._update(neighbour, flags, options.target_mac, now)
        return True

    def advertise(self, address: Ipv6Address) -> None:
        """Tell everybody that we have the address (section 7.2.4)."""
        self.solicitations_answered += 1
        message = discovery.advertisement(address.pair(), OVERRIDE, self.link.mac)
        self.link.send_control(address.pair(), ALL_NODES_ADDRESS, group_mac(ALL_NODES), message)

    def statistics(self) -> dict[str, int]:
        """Received messages by outcome; the neighbour cache's."""
        return {
            "invalid": self.invalid,
            "not_for_us": self.not_for_us,
            "address_conflicts": self.address_conflicts,
            "duplicates_found": self.duplicates_found,
            "solicitations_answered": self.solicitations_answered,
            "advertisements_used": self.advertisements_used,
            "advertisements_ignored": self.advertisements_ignored,
            **self.cache_statistics(),
        }

    def _is_valid_solicitation(
        self, message: bytes, source: tuple[int, int], received: Received, options: discovery.Options
    ) -> bool:
        """Section 7.1.1."""
        _, high, low = discovery.neighbor(message)
        if not _is_discovery(message, received) or not is_host(high, low) or not _may_be_mac(options.source_mac):
            return False
        if source != UNSPECIFIED:
            return True
        to = received.destination_high, received.destination_low
        return to == solicited_node(low) and not options.source_mac

    def _update(self, neighbour: Neighbour, flags: int, mac: int, now: int) -> None:
        """Section 7.2.5: what an advertisement says of a neighbour that we know of."""
        if neighbour.state != RESOLVING and mac and mac != neighbour.mac and not flags & OVERRIDE:
            self.doubt(neighbour)
            self.advertisements_ignored += 1
            return
        self.advertisements_used += 1
        was_router = neighbour.is_router
        neighbour.is_router = flags & ROUTER != 0
        if flags & SOLICITED or neighbour.state == RESOLVING or (mac and mac != neighbour.mac):
            self.learn(neighbour, mac or neighbour.mac, flags & SOLICITED != 0, now)
        if was_router and not neighbour.is_router:
            self.link.routers.remove(neighbour.high, neighbour.low)

    def gave_up(self, neighbour: Neighbour, now: int) -> None:
        """See NeighbourTable: another router, if it was one (section 6.3.6)."""
        self.link.routers.unreachable(neighbour.high, neighbour.low)

    def _answer(self, address: Ipv6Address, to: tuple[int, int], now: int) -> None:
        """Section 7.2.4: tell ``to`` that we have the address."""
        neighbour = self.lookup_for_reply(*to)
        if neighbour is None:
            return
        self.solicitations_answered += 1
        used = neighbour.used
        message = discovery.advertisement(address.pair(), OVERRIDE | SOLICITED, self.link.mac)
        frame = self.link.control_frame(address.pair(), to, neighbour.mac, message)
        if frame is not None and not self.send(neighbour, frame, 0, 0, 0, now):
            self.frames_dropped_device_full += 1
        neighbour.used = used  # who only asks us must not displace those we talk to

    def _duplicate(self, address: Ipv6Address, mac: int, now: int) -> None:
        self.duplicates_found += 1
        self.link.autoconfiguration.duplicated(address, mac, now)

    def _source_for(self, neighbour: Neighbour) -> tuple[int, int] | None:
        """Section 7.2.2: the source of the packet that waits, else the address of ours that fits."""
        frame = neighbour.waiting()
        if frame is not None:
            header = self._header.at(frame.start + ETHERNET_HEADER)
            return header.source_high(), header.source_low()
        return select_source(self.link.addresses, (neighbour.high, neighbour.low))


def _is_discovery(message: bytes, received: Received) -> bool:
    """What holds of all these messages: they have passed no router, and their code is 0."""
    return received.hop_limit == 255 and message[1] == 0


def _may_be_mac(mac: int) -> bool:
    """Whether a link address can be a machine's; 0 is none at all, and may be."""
    return not mac >> 40 & 1
