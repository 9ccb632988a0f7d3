"""Putting fragments together, for both versions of IP (RFC 791 section 3.2, RFC 815, RFC 8200 section 4.5).

``Fragments`` keeps what has come of each datagram, by a key that the version of IP chooses, as the very buffers it
came in: nothing is copied, a complete datagram is the chain of its parts. The parts of a datagram must fit together
exactly. One that overlaps another condemns the whole datagram, and what still comes of it (RFC 5722, RFC 8200; Linux
does so for IPv4 too): no sender makes such, and no filter before us can have seen what we would. Only an exact
repetition is no overlap, but a duplicate, and dropped.

Anyone can send fragments, so what they may keep alive is bounded, for one datagram and for all, in bytes of the
*buffers* they pin and with a charge for our own records; the oldest datagram makes room. Each has its time.
"""

from bisect import bisect_left

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf

IPV4_TIMEOUT = 30_000_000_000  # nanoseconds; not RFC 1122's 60 s: identifications come round sooner (RFC 4963)
IPV6_TIMEOUT = 60_000_000_000  # RFC 8200 section 4.5
MOST_PINNED = 4 << 20  # bytes, by all datagrams: Linux's ipfrag_high_thresh
MOST_PINNED_EACH = 256 << 10  # by one: the longest there is, in fragments of 300 bytes and buffers of 512
CHARGE = 256  # bytes that we count for our own records: each datagram's, each fragment's
LONGEST = 65535  # bytes of a datagram behind IPv4's header, or of IPv6's payload, at most
UNIT = 8  # bytes in which offsets are counted

NOT_ECT = 0
CONGESTION_EXPERIENCED = 3
PROTOCOL_TCP = 6
TCP_HEADER = 20


class Fragment:
    """One part of a datagram: ``payload`` is its bytes [start, end)."""

    def __init__(self, start: int, end: int, payload: IOBuf) -> None:
        self.start = start
        self.end = end
        self.payload = payload


class Datagram:
    """A datagram in the making; when ``take`` returns it, complete.

    header: view of the headers of its first fragment, up to the payload; None until that has come.
    payload: the chain behind the headers, ``length`` bytes. ecn: the two bits that the whole datagram has got.
    """

    def __init__(self, key: tuple[int, ...], expires_at: int) -> None:
        self.key = key
        self.expires_at = expires_at
        self.header: IOBuf | None = None
        self.length = -1  # until the last fragment has come
        self.ecn = NOT_ECT
        self.condemned = False
        self.cost = CHARGE
        self._have = 0
        self._fragments: list[Fragment] = []  # by their place
        self._codepoints = 0  # a bit for each value of the ECN field that was seen

    @property
    def payload(self) -> IOBuf:
        """The chain of all parts; to be asked for once, of a complete datagram."""
        chain = self._fragments[0].payload
        last = chain
        for fragment in self._fragments[1:]:
            last.append(fragment.payload)
            last = fragment.payload
        self._fragments = []
        return chain

    def first_fragment(self) -> IOBuf | None:
        """The first fragment as it came, from its headers on: what an error quotes; None when it never came."""
        if self.header is None or not self._fragments:
            return None
        packet = self.header.clone_view()
        packet.next = self._fragments[0].payload
        return packet

    def fits(self, start: int, end: int, more: bool) -> bool:
        """Whether the part [start, end) is where none has been yet, and agrees with what is known of the length."""
        if not more and ((self.length >= 0 and self.length != end) or self._last_end() > end):
            return False
        if more and self.length >= 0 and end >= self.length:
            return False
        at = bisect_left(self._fragments, start, key=lambda fragment: fragment.start)
        if at > 0 and self._fragments[at - 1].end > start:
            return False
        return at == len(self._fragments) or self._fragments[at].start >= end

    def has(self, start: int, end: int, more: bool) -> bool:
        """Whether exactly this part has come already."""
        at = bisect_left(self._fragments, start, key=lambda fragment: fragment.start)
        if at == len(self._fragments) or (self._fragments[at].start, self._fragments[at].end) != (start, end):
            return False
        return more != (self.length == end)

    def add(self, fragment: Fragment, more: bool, ecn: int) -> None:
        """Keep a part that ``fits``."""
        at = bisect_left(self._fragments, fragment.start, key=lambda other: other.start)
        self._fragments.insert(at, fragment)
        self._have += fragment.end - fragment.start
        self._codepoints |= 1 << ecn
        if fragment.start == 0:
            self.ecn = ecn
        if not more:
            self.length = fragment.end

    def is_complete(self) -> bool:
        """Whether all of it is there: parts never overlap, so counting is enough."""
        return self._have == self.length

    def settle_ecn(self) -> bool:
        """Find the ECN field of the whole (RFC 3168 section 5.3); False: it must be dropped."""
        if self._codepoints >> CONGESTION_EXPERIENCED & 1:
            self.ecn = CONGESTION_EXPERIENCED
            return not self._codepoints >> NOT_ECT & 1
        return True

    def condemn(self) -> None:
        """Let go of all parts; what still comes is dropped."""
        self.condemned = True
        self.header = None
        self.cost = CHARGE
        self._fragments = []

    def _last_end(self) -> int:
        return self._fragments[-1].end if self._fragments else 0


class Fragments:
    """The datagrams of one version of IP, of which some fragments have come.

    timeout: nanoseconds from a datagram's first fragment to come until it is given up. most_pinned: bytes for all.
    """

    def __init__(self, timeout: int, most_pinned: int = MOST_PINNED) -> None:
        self.timeout = timeout
        self.most_pinned = most_pinned
        self.pinned = 0
        self._datagrams: dict[tuple[int, ...], Datagram] = {}  # oldest first, and so by time of expiry
        # Each fragment is counted in ``received``, and in one of these unless it was kept.
        self.received = 0
        self.malformed = 0
        self.tiny = 0
        self.duplicates = 0
        self.overlaps = 0
        self.of_condemned = 0
        self.too_costly = 0
        # Each datagram ends in one of these.
        self.reassembled = 0
        self.bad_ecn = 0
        self.expired = 0
        self.evicted = 0

    def take(
        self,
        key: tuple[int, ...],
        packet: IOBuf,
        header_length: int,
        offset: int,
        length: int,
        more: bool,
        protocol: int,
        ecn: int,
        now: int,
    ) -> Datagram | None:
        """Take one fragment; the datagram that it has completed, or None. The packet is ours from here on.

        key: what tells datagrams apart: the interface's index, addresses, identification, in IPv4 the protocol too.
        packet: chain from the IP header on, without padding; ``header_length`` bytes of headers in its first piece
            (in IPv6 with the fragment header), then ``length`` bytes of the datagram from ``offset`` on (in bytes).
        protocol: what the datagram carries; ecn: the ECN field. That offset, length and headers together are no longer
            than a packet of its version may be is for the caller to see to.
        """
        self.received += 1
        end = offset + length
        if length == 0 or offset % UNIT or end > LONGEST or (more and length % UNIT):
            self.malformed += 1
            return None
        if is_tiny(protocol, offset, length):
            self.tiny += 1
            return None
        datagram = self._datagrams.get(key)
        if datagram is None:
            datagram = Datagram(key, now + self.timeout)
            self._datagrams[key] = datagram
            self._charge(datagram, CHARGE)
        if datagram.condemned:
            self.of_condemned += 1
            return None
        if datagram.has(offset, end, more):
            self.duplicates += 1
            return None
        if not datagram.fits(offset, end, more):
            self.overlaps += 1
            self._condemn(datagram)
            return None
        cost = packet.pinned() + CHARGE
        if datagram.cost + cost > MOST_PINNED_EACH:
            self.too_costly += 1
            self._condemn(datagram)
            return None
        self._keep(datagram, packet, header_length, Fragment(offset, end, packet), more, ecn, cost)
        return self._finish(datagram) if datagram.is_complete() else None

    def poll(self, now: int) -> list[Datagram]:
        """Give up what has had its time; those whose sender may be told (RFC 1122 section 3.3.2), if any."""
        late: list[Datagram] = []
        while self._datagrams:
            datagram = next(iter(self._datagrams.values()))
            if datagram.expires_at > now:
                break
            self._forget(datagram)
            if not datagram.condemned:
                self.expired += 1
                if datagram.header is not None:
                    late.append(datagram)
        return late

    def next_deadline(self) -> int:
        """When ``poll`` is due, in nanoseconds, or FOREVER."""
        return next(iter(self._datagrams.values())).expires_at if self._datagrams else FOREVER

    def clear(self) -> None:
        """Forget everything, silently."""
        self._datagrams.clear()
        self.pinned = 0

    def statistics(self) -> dict[str, int]:
        """Fragments by what became of them; datagrams by how they ended, and those in the making."""
        return {
            "received": self.received,
            "malformed": self.malformed,
            "tiny": self.tiny,
            "duplicates": self.duplicates,
            "overlaps": self.overlaps,
            "of_condemned": self.of_condemned,
            "too_costly": self.too_costly,
            "reassembled": self.reassembled,
            "bad_ecn": self.bad_ecn,
            "expired": self.expired,
            "evicted": self.evicted,
            "datagrams": len(self._datagrams),
            "pinned_bytes": self.pinned,
        }

    def _keep(
        self,
        datagram: Datagram,
        packet: IOBuf,
        header_length: int,
        fragment: Fragment,
        more: bool,
        ecn: int,
        cost: int,
    ) -> None:
        if fragment.start == 0:
            datagram.header = packet.slice(0, header_length)
        payload = packet.advance_chain(header_length)
        assert payload is not None
        while payload.length == 0 and payload.next is not None:
            payload = payload.next
        fragment.payload = payload
        datagram.cost += cost
        datagram.add(fragment, more, ecn)
        self._charge(datagram, cost)

    def _charge(self, datagram: Datagram, cost: int) -> None:
        """Count what ``datagram`` pins anew, and evict the oldest others until all of them fit."""
        self.pinned += cost
        while self.pinned > self.most_pinned:
            oldest = next(iter(self._datagrams.values()))
            if oldest is datagram:
                break  # a single one is bounded by itself
            self._forget(oldest)
            self.evicted += 1

    def _condemn(self, datagram: Datagram) -> None:
        self.pinned -= datagram.cost - CHARGE
        datagram.condemn()

    def _finish(self, datagram: Datagram) -> Datagram | None:
        self._forget(datagram)
        if not datagram.settle_ecn():
            self.bad_ecn += 1
            return None
        self.reassembled += 1
        return datagram

    def _forget(self, datagram: Datagram) -> None:
        del self._datagrams[datagram.key]
        self.pinned -= datagram.cost


def is_tiny(protocol: int, offset: int, length: int) -> bool:
    """Whether a fragment splits TCP's header, as only attackers of filters do (RFC 1858 section 3.2.2, RFC 3128)."""
    return protocol == PROTOCOL_TCP and (length < TCP_HEADER if offset == 0 else offset < TCP_HEADER)
