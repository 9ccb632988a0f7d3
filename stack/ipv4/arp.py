"""ARP (RFC 826; RFC 1122 section 2.3.2): how IPv4 fills its neighbour cache.

Any machine can send ARP, so what it may do is bounded: a reply changes entries that exist and never makes one, a
request makes one only if it asks for our address (we are about to answer it). Who else claims our address is
``stack.ipv4.address_claim``'s to deal with. Read ``stack.neighbour`` first.
"""

from typing import TYPE_CHECKING

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.netdevice import EthernetDevice
from stack.constants import (
    ARP_LENGTH,
    ARP_REPLY,
    ARP_REQUEST,
    BROADCAST_MAC,
    ETHERNET_HEADER,
    ETHERTYPE_ARP,
    IPV4_MAPPED_PREFIX,
    LIMITED_BROADCAST,
    MASK32,
)
from stack.neighbour import Neighbour, NeighbourTable
from stack.wire.arp import ArpPacket

if TYPE_CHECKING:
    from stack.ipv4.address_claim import AddressClaim


class Arp(NeighbourTable):
    """The neighbours of one interface with IPv4 address ``address``, or 0; ``mask`` tells who is on the link.

    on_link: others who are there too: routers outside of our network.
    candidate: an address that we probe for, or 0. claim: who is to know of conflicts, if anybody.
    """

    def __init__(self, allocator: MemoryAllocator, device: EthernetDevice) -> None:
        NeighbourTable.__init__(self, allocator, device)
        self.address = 0
        self.mask = LIMITED_BROADCAST
        self.on_link: set[int] = set()
        self.candidate = 0
        self.claim: AddressClaim | None = None
        self._arp = ArpPacket(allocator.memory)
        # Each received packet is counted in ``received`` and in one of the next six.
        self.received = 0
        self.malformed = 0
        self.bad_sender = 0
        self.address_conflicts = 0
        self.requests_answered = 0
        self.replies_used = 0
        self.ignored = 0

    def neighbour(self, address: int) -> Neighbour:
        """The neighbour with that IPv4 address, as ``lookup`` says."""
        return self.lookup(0, IPV4_MAPPED_PREFIX | address)

    def solicit(self, neighbour: Neighbour, to_all: bool, now: int) -> None:
        """See NeighbourTable."""
        to = BROADCAST_MAC if to_all else neighbour.mac
        self._transmit(ARP_REQUEST, self.address, to, 0, neighbour.low & MASK32)

    def neighbour_for_reply(self, address: int) -> Neighbour | None:
        """The same for a single reply, as ``lookup_for_reply`` says."""
        return self.lookup_for_reply(0, IPV4_MAPPED_PREFIX | address)

    def probe(self, address: int) -> None:
        """Ask whether anybody has an address that we would like to have (RFC 5227 section 2.1.1)."""
        self._transmit(ARP_REQUEST, 0, BROADCAST_MAC, 0, address)

    def announce(self) -> None:
        """Say that our address is ours (RFC 5227 section 2.3)."""
        self._transmit(ARP_REQUEST, self.address, BROADCAST_MAC, 0, self.address)

    def receive(self, packet: IOBuf, now: int, to_answer: bool) -> bool:
        """Take a received ARP packet: RFC 826's "packet reception", with the bounds named above.

        to_answer: requests are answered; else another core of this node has done that. Returns whether the packet was
        in order.
        """
        self.received += 1
        arp = self._arp.at(packet.start)
        if not arp.is_valid(packet.length) or not ARP_REQUEST <= arp.operation() <= ARP_REPLY:
            self.malformed += 1
            return False
        mac = arp.sender_mac()
        sender = arp.sender_address()
        target = arp.target_address()
        for_us = target == self.address and to_answer and self.address != 0
        is_request = arp.operation() == ARP_REQUEST
        if self._is_conflict(mac, sender, target):
            self.address_conflicts += 1
            if self.claim is not None:
                self.claim.conflict(mac, now)
            return True
        is_probe = sender == 0 and is_request  # somebody asks before taking an address (RFC 5227 section 2.1.1)
        if mac == 0 or mac >> 40 & 1 or mac == self.mac or not (is_probe or self._is_host_on_link(sender)):
            self.bad_sender += 1
            return False
        known = None if is_probe else self.find(0, IPV4_MAPPED_PREFIX | sender)
        if known is not None or (for_us and is_request and not is_probe):
            self.learn(self.neighbour(sender), mac, True, now)
        if for_us and is_request:
            self.requests_answered += 1
            self._transmit(ARP_REPLY, self.address, mac, mac, sender)
        elif known is not None:
            self.replies_used += 1
        else:
            self.ignored += 1
        return True

    def statistics(self) -> dict[str, int]:
        """Received packets by outcome; requests sent; frames that waited, and those that waited in vain."""
        return {
            "received": self.received,
            "malformed": self.malformed,
            "bad_sender": self.bad_sender,
            "address_conflicts": self.address_conflicts,
            "requests_answered": self.requests_answered,
            "replies_used": self.replies_used,
            "ignored": self.ignored,
            **self.cache_statistics(),
        }

    def _is_conflict(self, mac: int, sender: int, target: int) -> bool:
        """Whether another host has our address, or has or wants the one we probe for (RFC 5227, 2.1.1 and 2.4)."""
        if mac == self.mac:
            return False
        if sender == 0:
            return self.candidate != 0 and target == self.candidate
        return sender == self.address or sender == self.candidate

    def _is_host_on_link(self, address: int) -> bool:
        if (address ^ self.address) & self.mask:
            return address in self.on_link
        # All zeros and all ones are no hosts, except where the prefix leaves no room for them (RFC 3021).
        host_bits = self.mask ^ LIMITED_BROADCAST
        host = address & host_bits
        return host_bits <= 1 or (host != 0 and host != host_bits)

    def _transmit(self, operation: int, sender: int, to: int, target_mac: int, target_address: int) -> None:
        """Send one ARP packet to the link address ``to``; ``sender``: our address, or 0."""
        packet = allocate(self.allocator, ARP_LENGTH, self.device.headroom + ETHERNET_HEADER)
        if packet is None:
            self.no_memory += 1
            return
        self._arp.at(packet.start).write(operation, self.mac, sender, target_mac, target_address)
        packet.retreat(ETHERNET_HEADER)
        self.ethernet.at(packet.start).write(to, self.mac, ETHERTYPE_ARP)
        if not self.device.transmit(packet, 0, 0, 0):
            self.frames_dropped_device_full += 1
