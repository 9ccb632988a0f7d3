"""The neighbour cache, and ARP, which fills it (RFC 826; RFC 1122 section 2.3.2).

A ``Neighbour`` is one machine on our link. Whoever sends to it holds on to the object, so that sending needs no
lookup: while ``now`` is before ``usable_until``, frames go out to ``mac`` at once. Otherwise they come to
``NeighbourTable.send``, the slow path:

    RESOLVING   nothing known: frames wait in a bounded queue; requests are broadcast, a second apart
    REACHABLE   ``mac`` is known; when it has grown old, the next frame sent starts PROBING
    PROBING     the old ``mac`` is still used, while requests go to it alone (RFC 1122 section 2.3.2.1, unicast poll)
    GONE        unanswered, or evicted to make room: out of the table; a holder asks the table again

Any machine can send ARP, so what it may do is bounded: a reply changes entries that exist and never makes one, a
request makes one only if it asks for our address (we are about to answer it), and the table has a limit, above which
the entries that nobody sends to go first.
"""

from ebbrt.constants import FOREVER
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
    LIMITED_BROADCAST,
)
from stack.wire.arp import ArpPacket
from stack.wire.ethernet import EthernetHeader

RESOLVING = 0
REACHABLE = 1
PROBING = 2
GONE = 3

MOST_NEIGHBOURS = 1024
MOST_QUEUED = 64  # frames waiting for one neighbour; the oldest goes first (RFC 1122 section 2.3.2.2)
MOST_REQUESTS = 3
REQUEST_INTERVAL = 1_000_000_000  # at most one request a second (RFC 1122 section 2.3.2.1)
REACHABLE_TIME = 60_000_000_000  # a minute (RFC 1122 section 2.3.2.1)


class Neighbour:
    """One machine on the link, or a way to many (the gateway, the broadcast address)."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.mac = 0
        self.usable_until = 0  # nanoseconds
        self.used = False  # sent to since the table last looked for room
        self.state = RESOLVING
        self.requests = 0
        self.retry_at = FOREVER
        self.queue: list[WaitingFrame] = []

    def set_permanent(self, mac: int) -> None:
        """Let it be at ``mac`` for ever, without asking: for an entry outside the table."""
        self.mac = mac
        self.state = REACHABLE
        self.usable_until = FOREVER

    def is_gone(self) -> bool:
        """Whether the table has dropped it: a holder that wants the fast path back asks for another."""
        return self.state == GONE


class WaitingFrame:
    """A frame that waits for its destination address, and what the device is to be told about it."""

    def __init__(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> None:
        self.frame = frame
        self.checksum_start = checksum_start
        self.checksum_offset = checksum_offset
        self.segment_size = segment_size


class NeighbourTable:
    """The neighbours of one interface with IPv4 address ``address``; ``mask`` tells who is on the link."""

    def __init__(self, allocator: MemoryAllocator, device: EthernetDevice) -> None:
        self.allocator = allocator
        self.device = device
        self.address = 0
        self.mask = 0
        self.mac = int.from_bytes(device.mac, "big")
        self._neighbours: dict[int, Neighbour] = {}
        self._asking: dict[int, Neighbour] = {}  # those with an unanswered request
        self._deadline = FOREVER
        self._ethernet = EthernetHeader(allocator.memory)
        self._arp = ArpPacket(allocator.memory)
        # Each received packet is counted in ``received`` and in one of the next six.
        self.received = 0
        self.malformed = 0
        self.bad_sender = 0
        self.address_conflicts = 0
        self.requests_answered = 0
        self.replies_used = 0
        self.ignored = 0
        self.requests_sent = 0
        self.evicted = 0
        self.unreachable = 0
        self.frames_queued = 0
        self.frames_dropped_queue_full = 0
        self.frames_dropped_evicted = 0
        self.frames_dropped_unreachable = 0
        self.frames_dropped_device_full = 0
        self.no_memory = 0

    def lookup(self, address: int) -> Neighbour:
        """The neighbour with that address, which must be on the link; new ones are resolved when first sent to."""
        neighbour = self._neighbours.get(address)
        if neighbour is None:
            if len(self._neighbours) >= MOST_NEIGHBOURS:
                self._evict()
            neighbour = Neighbour(address)
            self._neighbours[address] = neighbour
        return neighbour

    def send(
        self,
        neighbour: Neighbour,
        frame: IOBuf,
        checksum_start: int,
        checksum_offset: int,
        segment_size: int,
        now: int,
    ) -> bool:
        """Send, or queue, a complete frame for a neighbour that is not GONE and past its ``usable_until``.

        False when the device had no room. The destination in the frame's Ethernet header is ``neighbour.mac``, or
        written when that is known.
        """
        neighbour.used = True
        if neighbour.state == RESOLVING:
            if len(neighbour.queue) >= MOST_QUEUED:
                neighbour.queue.pop(0)
                self.frames_dropped_queue_full += 1
            neighbour.queue.append(WaitingFrame(frame, checksum_start, checksum_offset, segment_size))
            self.frames_queued += 1
            if neighbour.requests == 0:
                self._ask(neighbour, now)
            return True
        if neighbour.state == REACHABLE:
            neighbour.state = PROBING
            self._ask(neighbour, now)
        return self.device.transmit(frame, checksum_start, checksum_offset, segment_size)

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
        for_us = arp.target_address() == self.address and to_answer
        is_request = arp.operation() == ARP_REQUEST
        if sender == self.address:
            self.address_conflicts += 1  # RFC 5227 section 2.4 (c): keep the address, and let people know
            return False
        is_probe = sender == 0 and is_request  # somebody asks before taking an address (RFC 5227 section 2.1.1)
        if mac == 0 or mac >> 40 & 1 or mac == self.mac or not (is_probe or self._is_host_on_link(sender)):
            self.bad_sender += 1
            return False
        known = None if is_probe else self._neighbours.get(sender)
        if known is not None or (for_us and is_request and not is_probe):
            self._learn(self.lookup(sender), mac, now)
        if for_us and is_request:
            self.requests_answered += 1
            self._transmit(ARP_REPLY, mac, mac, sender)
        elif known is not None:
            self.replies_used += 1
        else:
            self.ignored += 1
        return True

    def poll(self, now: int) -> list[IOBuf]:
        """Ask again, or give up, where it is time; the Ethernet frames given up, whose owners are to be told."""
        abandoned: list[IOBuf] = []
        if now < self._deadline:
            return abandoned
        self._deadline = FOREVER
        for neighbour in list(self._asking.values()):
            if neighbour.retry_at <= now and neighbour.requests >= MOST_REQUESTS:
                self.unreachable += 1
                self.frames_dropped_unreachable += len(neighbour.queue)
                abandoned += [waiting.frame for waiting in neighbour.queue]
                del self._neighbours[neighbour.address]
                self._forget(neighbour)
                continue
            if neighbour.retry_at <= now:
                self._ask(neighbour, now)
            self._deadline = min(self._deadline, neighbour.retry_at)
        return abandoned

    def next_deadline(self) -> int:
        """When ``poll`` is due, at the latest, in nanoseconds; or FOREVER."""
        return self._deadline

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
            "requests_sent": self.requests_sent,
            "neighbours": len(self._neighbours),
            "resolving": len(self._asking),
            "evicted": self.evicted,
            "unreachable": self.unreachable,
            "frames_queued": self.frames_queued,
            "frames_dropped_queue_full": self.frames_dropped_queue_full,
            "frames_dropped_evicted": self.frames_dropped_evicted,
            "frames_dropped_unreachable": self.frames_dropped_unreachable,
            "frames_dropped_device_full": self.frames_dropped_device_full,
            "no_memory": self.no_memory,
        }

    def _is_host_on_link(self, address: int) -> bool:
        if (address ^ self.address) & self.mask:
            return False
        # All zeros and all ones are no hosts, except where the prefix leaves no room for them (RFC 3021).
        host_bits = self.mask ^ LIMITED_BROADCAST
        host = address & host_bits
        return host_bits <= 1 or (host != 0 and host != host_bits)

    def _learn(self, neighbour: Neighbour, mac: int, now: int) -> None:
        """``neighbour`` is at ``mac``: what waited for that leaves."""
        neighbour.mac = mac
        neighbour.state = REACHABLE
        neighbour.usable_until = now + REACHABLE_TIME
        neighbour.requests = 0
        neighbour.retry_at = FOREVER
        self._asking.pop(neighbour.address, None)
        if not self._asking:
            self._deadline = FOREVER
        queue = neighbour.queue
        neighbour.queue = []
        for waiting in queue:
            self._ethernet.at(waiting.frame.start).set_destination(mac)
            if not self.device.transmit(
                waiting.frame, waiting.checksum_start, waiting.checksum_offset, waiting.segment_size
            ):
                self.frames_dropped_device_full += 1

    def _ask(self, neighbour: Neighbour, now: int) -> None:
        """Send the next request, and set the time of the one after it."""
        neighbour.requests += 1
        neighbour.retry_at = now + REQUEST_INTERVAL
        self._asking[neighbour.address] = neighbour
        self._deadline = min(self._deadline, neighbour.retry_at)
        self.requests_sent += 1
        to = neighbour.mac if neighbour.state == PROBING else BROADCAST_MAC
        self._transmit(ARP_REQUEST, to, 0, neighbour.address)

    def _evict(self) -> None:
        """Make room for one: the oldest entry that nobody has sent to since the last time round goes."""
        while True:
            address = next(iter(self._neighbours))
            neighbour = self._neighbours.pop(address)
            if not neighbour.used:
                break
            neighbour.used = False
            self._neighbours[address] = neighbour
        self.evicted += 1
        self.frames_dropped_evicted += len(neighbour.queue)
        self._forget(neighbour)

    def _forget(self, neighbour: Neighbour) -> None:
        """``neighbour`` is out of the table: its holders must not use it again."""
        neighbour.state = GONE
        neighbour.usable_until = 0
        neighbour.retry_at = FOREVER
        neighbour.queue = []
        self._asking.pop(neighbour.address, None)

    def _transmit(self, operation: int, to: int, target_mac: int, target_address: int) -> None:
        """Send one ARP packet of ours to the link address ``to``."""
        packet = allocate(self.allocator, ARP_LENGTH, self.device.headroom + ETHERNET_HEADER)
        if packet is None:
            self.no_memory += 1
            return
        self._arp.at(packet.start).write(operation, self.mac, self.address, target_mac, target_address)
        packet.retreat(ETHERNET_HEADER)
        self._ethernet.at(packet.start).write(to, self.mac, ETHERTYPE_ARP)
        if not self.device.transmit(packet, 0, 0, 0):
            self.frames_dropped_device_full += 1
