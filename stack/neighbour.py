"""The neighbour cache of one version of IP on one interface (RFC 4861 section 7.3; RFC 1122 section 2.3.2).

A ``Neighbour`` is one machine on our link. Whoever sends to it holds on to the object, so that sending needs no
lookup: while ``now`` is before ``usable_until``, frames go out to ``mac`` at once. Otherwise they come to
``NeighbourTable.send``, the slow path:

    RESOLVING   nothing known: frames wait in a bounded queue; requests go to all, ``retransmit_time`` apart
    REACHABLE   ``mac`` is known; when it has grown old (RFC 4861 says STALE then), the next frame sent starts ...
    DELAY       ... a time in which something else may confirm it (none in ARP), and after that
    PROBING     the old ``mac`` is still used, while requests go to it alone (RFC 1122 section 2.3.2.1, unicast poll)
    GONE        unanswered, or evicted to make room: out of the table; a holder asks the table again

ARP (``stack.ipv4.arp``) and Neighbor Discovery (``stack.ipv6.ndp``) are its subclasses, and say how to ask and whom to
believe. The table has a limit, above which the entries that nobody sends to go first. Those that nothing is known of
have a smaller one, and so have the frames that wait: a flood of packets from addresses that nobody has makes us look
for each, and must not displace who is there. Single answers to such packets (``lookup_for_reply``) may make us look
for half as many, so that those who mean to send there are left room (RFC 6583).
"""

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.netdevice import EthernetDevice
from stack.constants import DELAY, GONE, PROBING, REACHABLE, RESOLVING
from stack.timed import Due
from stack.wire.ethernet import EthernetHeader

MOST_NEIGHBOURS = 1024
MOST_RESOLVING = 256  # of them without an address yet; beyond, the oldest of these goes
MOST_WAITING = 1024  # frames, for all of them together; likewise
MOST_QUEUED = 64  # frames waiting for one neighbour; the oldest goes first (RFC 1122 section 2.3.2.2)
MOST_REQUESTS = 3
RETRANSMIT_TIME = 1_000_000_000  # at most one request a second (RFC 1122 section 2.3.2.1, RFC 4861 section 10)
REACHABLE_TIME = 60_000_000_000  # a minute (RFC 1122 section 2.3.2.1)


class Neighbour:
    """One machine on the link, or a way to many (the gateway, the broadcast address)."""

    def __init__(self, high: int, low: int) -> None:
        self.high = high
        self.low = low
        self.mac = 0
        self.usable_until = 0  # nanoseconds
        self.used = False  # sent to since the table last looked for room
        self.state = RESOLVING
        self.requests = 0
        self.retry_at = FOREVER
        self.is_router = False  # in IPv6: as its advertisements say
        self.queue: list[WaitingFrame] = []

    def set_permanent(self, mac: int) -> None:
        """Let it be at ``mac`` for ever, without asking: for an entry outside the table."""
        self.mac = mac
        self.state = REACHABLE
        self.usable_until = FOREVER

    def is_gone(self) -> bool:
        """Whether the table has dropped it: a holder that wants the fast path back asks for another."""
        return self.state == GONE

    def waiting(self) -> IOBuf | None:
        """The first of the frames that wait for it, if any do."""
        return self.queue[0].frame if self.queue else None


class WaitingFrame:
    """A frame that waits for its destination address, and what the device is to be told about it."""

    def __init__(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> None:
        self.frame = frame
        self.checksum_start = checksum_start
        self.checksum_offset = checksum_offset
        self.segment_size = segment_size


class NeighbourTable:
    """The neighbours on one interface, by address.

    reachable_time, retransmit_time, probe_delay: nanoseconds for which an answer is good, between two requests, and
    between the first frame to an old entry and the first request.
    """

    def __init__(self, allocator: MemoryAllocator, device: EthernetDevice) -> None:
        self.allocator = allocator
        self.device = device
        self.mac = int.from_bytes(device.mac, "big")
        self.reachable_time = REACHABLE_TIME
        self.retransmit_time = RETRANSMIT_TIME
        self.probe_delay = 0
        self._neighbours: dict[tuple[int, int], Neighbour] = {}
        self._resolving: dict[tuple[int, int], Neighbour] = {}  # oldest first
        self._waiting = 0  # frames in all queues
        self._asking: dict[tuple[int, int], Neighbour] = {}  # in DELAY, or with an unanswered request
        self._deadline = FOREVER
        self.due = Due()  # the stack's, once it has taken the table in
        self.ethernet = EthernetHeader(allocator.memory)
        self.requests_sent = 0
        self.replies_not_resolved = 0
        self.evicted = 0
        self.unreachable = 0
        self.frames_queued = 0
        self.frames_dropped_queue_full = 0
        self.frames_dropped_evicted = 0
        self.frames_dropped_unreachable = 0
        self.frames_dropped_device_full = 0
        self.no_memory = 0

    def solicit(self, neighbour: Neighbour, to_all: bool, now: int) -> None:
        """Send one request for the neighbour's link address: to everybody who may have it, or to ``mac`` alone."""
        raise NotImplementedError

    def lookup(self, high: int, low: int) -> Neighbour:
        """The neighbour with that address, which must be on the link; new ones are resolved when first sent to."""
        neighbour = self._neighbours.get((high, low))
        if neighbour is None:
            if len(self._resolving) >= MOST_RESOLVING:
                self._drop(next(iter(self._resolving.values())))
            elif len(self._neighbours) >= MOST_NEIGHBOURS:
                self._evict()
            neighbour = Neighbour(high, low)
            self._neighbours[high, low] = self._resolving[high, low] = neighbour
        return neighbour

    def lookup_for_reply(self, high: int, low: int) -> Neighbour | None:
        """The same for a single packet that answers one from there; None, counted, when too many are looked for."""
        neighbour = self._neighbours.get((high, low))
        if neighbour is not None:
            return neighbour
        if len(self._resolving) >= MOST_RESOLVING // 2:
            self.replies_not_resolved += 1
            return None
        return self.lookup(high, low)

    def find(self, high: int, low: int) -> Neighbour | None:
        """The neighbour with that address, if it is in the table."""
        return self._neighbours.get((high, low))

    def send(
        self,
        neighbour: Neighbour,
        frame: IOBuf,
        checksum_start: int,
        checksum_offset: int,
        segment_size: int,
        now: int,
    ) -> bool:
        """Send, or queue, a complete frame for a neighbour that is not GONE.

        False when the device had no room. The destination in the frame's Ethernet header is ``neighbour.mac``, or
        written when that is known.
        """
        neighbour.used = True
        if neighbour.state == RESOLVING:
            self._queue(neighbour, WaitingFrame(frame, checksum_start, checksum_offset, segment_size))
            if neighbour.requests == 0:
                self._ask(neighbour, now)
            return True
        if neighbour.state == REACHABLE and now >= neighbour.usable_until:
            if self.probe_delay:
                neighbour.state = DELAY
                neighbour.usable_until = now + self.probe_delay
                self._wait(neighbour, neighbour.usable_until)
            else:
                neighbour.state = PROBING
                self._ask(neighbour, now)
        return self.device.transmit(frame, checksum_start, checksum_offset, segment_size)

    def learn(self, neighbour: Neighbour, mac: int, confirmed: bool, now: int) -> None:
        """``neighbour`` is at ``mac``: what waited for that leaves.

        confirmed: it answered us, so that the way to it and back is known to work; else only somebody said so, and
        the next frame sent there makes us look (RFC 4861 section 7.2.3).
        """
        neighbour.mac = mac
        neighbour.state = REACHABLE
        neighbour.usable_until = now + self.reachable_time if confirmed else 0
        self._settle(neighbour)
        self._resolving.pop((neighbour.high, neighbour.low), None)
        queue = neighbour.queue
        neighbour.queue = []
        self._waiting -= len(queue)
        for waiting in queue:
            self.ethernet.at(waiting.frame.start).set_destination(mac)
            if not self.send(
                neighbour, waiting.frame, waiting.checksum_start, waiting.checksum_offset, waiting.segment_size, now
            ):
                self.frames_dropped_device_full += 1

    def doubt(self, neighbour: Neighbour) -> None:
        """What is known of ``neighbour`` may be wrong: the next frame sent to it makes us look."""
        if neighbour.state == REACHABLE:
            neighbour.usable_until = 0

    def poll(self, now: int) -> list[IOBuf]:
        """Ask again, or give up, where it is time; the Ethernet frames given up, whose owners are to be told."""
        abandoned: list[IOBuf] = []
        if now < self._deadline:
            return abandoned
        self._deadline = FOREVER
        for neighbour in list(self._asking.values()):
            if neighbour.retry_at <= now:
                if neighbour.requests >= MOST_REQUESTS:
                    self.unreachable += 1
                    self.frames_dropped_unreachable += len(neighbour.queue)
                    abandoned += [waiting.frame for waiting in neighbour.queue]
                    self._forget(neighbour)
                    self.gave_up(neighbour, now)
                    continue
                if neighbour.state == DELAY:
                    neighbour.state = PROBING
                self._ask(neighbour, now)
            self._deadline = min(self._deadline, neighbour.retry_at)
        return abandoned

    def gave_up(self, neighbour: Neighbour, now: int) -> None:
        """``neighbour`` did not answer, and is gone: for a subclass that wants to know."""

    def next_deadline(self) -> int:
        """When ``poll`` is due, at the latest, in nanoseconds; or FOREVER."""
        return self._deadline

    def cache_statistics(self) -> dict[str, int]:
        """Requests sent, the entries there are, and the frames that waited for one, or waited in vain."""
        return {
            "requests_sent": self.requests_sent,
            "neighbours": len(self._neighbours),
            "resolving": len(self._asking),
            "replies_not_resolved": self.replies_not_resolved,
            "evicted": self.evicted,
            "unreachable": self.unreachable,
            "frames_queued": self.frames_queued,
            "frames_dropped_queue_full": self.frames_dropped_queue_full,
            "frames_dropped_evicted": self.frames_dropped_evicted,
            "frames_dropped_unreachable": self.frames_dropped_unreachable,
            "frames_dropped_device_full": self.frames_dropped_device_full,
            "no_memory": self.no_memory,
        }

    def _ask(self, neighbour: Neighbour, now: int) -> None:
        """Send the next request, and set the time of the one after it."""
        neighbour.requests += 1
        self._wait(neighbour, now + self.retransmit_time)
        self.requests_sent += 1
        self.solicit(neighbour, neighbour.state == RESOLVING, now)

    def _wait(self, neighbour: Neighbour, until: int) -> None:
        """Look at ``neighbour`` again at ``until``."""
        neighbour.retry_at = until
        self._asking[neighbour.high, neighbour.low] = neighbour
        self._deadline = min(self._deadline, until)
        self.due.at(until)

    def _settle(self, neighbour: Neighbour) -> None:
        """Nothing is waited for any more."""
        neighbour.requests = 0
        neighbour.retry_at = FOREVER
        self._asking.pop((neighbour.high, neighbour.low), None)
        if not self._asking:
            self._deadline = FOREVER
            self.due.stale = True

    def _queue(self, neighbour: Neighbour, frame: WaitingFrame) -> None:
        """Let ``frame`` wait until ``neighbour`` is resolved."""
        if len(neighbour.queue) >= MOST_QUEUED:
            neighbour.queue.pop(0)
            self._waiting -= 1
            self.frames_dropped_queue_full += 1
        elif self._waiting >= MOST_WAITING:
            for other in self._resolving.values():
                if other.queue and other is not neighbour:
                    self._drop(other)
                    break
        neighbour.queue.append(frame)
        self._waiting += 1
        self.frames_queued += 1

    def _evict(self) -> None:
        """Make room for one: the oldest entry that nobody has sent to since the last time round goes."""
        while True:
            key = next(iter(self._neighbours))
            neighbour = self._neighbours[key]
            if not neighbour.used:
                break
            neighbour.used = False
            del self._neighbours[key]
            self._neighbours[key] = neighbour
        self._drop(neighbour)

    def _drop(self, neighbour: Neighbour) -> None:
        """Take ``neighbour`` out of the table, and what waits for it."""
        self.evicted += 1
        self.frames_dropped_evicted += len(neighbour.queue)
        self._forget(neighbour)

    def _forget(self, neighbour: Neighbour) -> None:
        """``neighbour`` is out of the table: its holders must not use it again."""
        key = neighbour.high, neighbour.low
        del self._neighbours[key]
        self._resolving.pop(key, None)
        self._asking.pop(key, None)
        self._waiting -= len(neighbour.queue)
        neighbour.state = GONE
        neighbour.usable_until = 0
        neighbour.retry_at = FOREVER
        neighbour.queue = []
