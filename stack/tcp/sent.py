"""What is in flight: one record for each segment sent and not acknowledged, and what is known of it.

A record says where its bytes begin, when they were last sent, and what became of them: selectively acknowledged
(RFC 2018), lost, or neither, which is in flight. It may stand for several segments that the device cut from one; a
selective acknowledgment or a retransmission of a part splits it. Neighbours that are both acknowledged are joined,
so that a walk over the records costs by the number of holes, not by the size of the window.

Records lie in arrays, sorted by sequence number and without gaps: a record ends where the next begins. A connection
with but one segment in flight has no records (``Tcb.last_send`` is that one's time); with the second it gets some, and
with nothing in flight they go back to the engine. All this is bounded: beyond ``MOST_RECORDS`` segments share one, and
of a peer that acknowledges every other byte further blocks are ignored.

Besides, this counts what the acknowledgment under way has delivered, as RACK, PRR and F-RTO want to know it
(``stack.tcp.rack``, ``prr``, ``recovery``): ``begin`` comes before the other methods of an acknowledgment.
"""

from ebbrt.constants import FOREVER
from stack.tcp.constants import FOLLOWS, LEAST_RECORDS, LOST, MASK32, MOST_RECORDS, RESENT, SACKED
from stack.tcp.sequence import seq_le, seq_lt


class Sent:
    """The records of one connection, ``count`` of them, up to ``end``; times are nanoseconds.

    ``sacked_bytes`` and ``lost_bytes``: how much of the window is in these states. Without SACK ``sacked_bytes`` is
    what duplicate acknowledgments stand for. ``sacked_segments``: how many were marked since none was.
    ``highest``: the end of the highest bytes that the peer has acknowledged in either way (RACK.fack).
    Of the acknowledgment under way: ``delivered`` bytes; ``original``: some of them had been sent only once, the first
    of these up to ``original_end``, and ``reordered``: after higher ones; ``newest_time`` and ``newest_end`` of the
    last sent of them (-1: there are none), whose round trip took ``rtt``; ``ambiguous``: some had been sent again, so
    that it may be an earlier transmission that is answered (Karn), or a hole that was filled late.
    """

    def __init__(self) -> None:
        self._start = memoryview(bytearray(4 * LEAST_RECORDS)).cast("I")
        self._time = memoryview(bytearray(8 * LEAST_RECORDS)).cast("q")
        self._state = memoryview(bytearray(LEAST_RECORDS))
        self.capacity = LEAST_RECORDS
        self.clear(0)

    def clear(self, sequence: int) -> None:
        """Nothing is in flight, and ``sequence`` comes next."""
        self._first = 0
        self.count = 0
        self.end = sequence
        self.highest = sequence
        self.sacked_bytes = 0
        self.lost_bytes = 0
        self.sacked_segments = 0
        self._lost_from = sequence  # nothing before it is lost
        self.begin(0, 0, FOREVER)

    def append(self, end: int, now: int, resent: bool) -> None:
        """The bytes from ``self.end`` to ``end`` are sent."""
        if self.count < MOST_RECORDS:
            if self._first + self.count == self.capacity:
                self._make_room()
            at = self._first + self.count
            self._start[at] = self.end
            self._time[at] = now
            self._state[at] = RESENT if resent else 0
            self.count += 1
        self.end = end

    # An acknowledgment

    def begin(self, now: int, least_rtt: int, answered: int) -> None:
        """An acknowledgment arrives. least_rtt: the shortest round trip known.

        answered: the latest time at which what it answers can have been sent; FOREVER when it does not say.
        """
        self._now = now
        self._least_rtt = least_rtt
        self._answered = answered
        self.delivered = 0
        self.original = False
        self.original_end = 0
        self.reordered = False
        self.newest_time = -1
        self.newest_end = 0
        self.ambiguous = False
        self.rtt = 0

    def acknowledge(self, una: int) -> None:
        """Everything before ``una`` has arrived."""
        while self.count and seq_lt(self._start[self._first], una):
            first = self._first
            end = self._end(first)
            partly = seq_lt(una, end)
            if partly:
                end = una
            length = (end - self._start[first]) & MASK32
            if self._state[first] & SACKED:
                self.sacked_bytes -= length
            else:
                if self._state[first] & LOST:
                    self.lost_bytes -= length
                self._deliver(first, length, end)
            if partly:
                self._start[first] = una
            else:
                self._first += 1
                self.count -= 1
        if self.count == 0:
            self._first = 0
            self.end = una
        if self.sacked_bytes == 0:
            self.sacked_segments = 0

    def sack(self, left: int, right: int, mss: int) -> None:
        """[left, right), which lies between the acknowledgment and ``end``, has arrived."""
        self._answered = FOREVER  # a segment out of order is answered with the timestamp of one in order (RFC 7323)
        at = self._find(left)
        if self._start[at] != left:
            if not self._state[at] & SACKED and self._split(at, left):
                at = self._find(left)
            else:
                at += 1
        while at < self._first + self.count and seq_lt(self._start[at], right):
            if self._state[at] & SACKED:
                at += 1
                continue
            if seq_lt(right, self._end(at)):
                start = self._start[at]
                if not self._split(at, right):
                    return
                at = self._find(start)
            at = self._mark_sacked(at, mss) + 1

    def duplicate(self, mss: int, flight: int) -> None:
        """Without SACK: a duplicate acknowledgment says that some segment has arrived (RFC 5681 section 3.2)."""
        self.sacked_segments += 1
        if self.sacked_bytes + self.lost_bytes + mss < flight:
            self.sacked_bytes += mss
            self.delivered += mss

    def no_duplicates(self, count: int) -> None:
        """Without SACK: ``count`` bytes are acknowledged, among them those the duplicates stood for."""
        gone = min(count, self.sacked_bytes)
        self.sacked_bytes -= gone
        self.delivered -= min(gone, self.delivered)
        self.sacked_segments = 0

    # What is lost

    def lose_older(self, time: int, end: int, deadline: int) -> int:
        """RACK: what was sent before ``(time, end)``, and no later than ``deadline``, is lost.

        Of what was sent at one time that is what lies before ``end`` (RFC 8985 section 6.2), unless it was sent again:
        under virtual time many acknowledgments arrive, and are answered, at one instant.
        The latest time at which any of the rest of those was sent; -1: there is none.
        """
        latest = -1
        at = self._first
        last = self._first + self.count
        while at < last and seq_lt(self._start[at], self.highest):
            sent = self._time[at]
            if not self._state[at] & (SACKED | LOST):
                if sent < time or (sent == time and not self._state[at] & FOLLOWS and seq_lt(self._end(at), end)):
                    if sent <= deadline:
                        self._lose(at)
                    elif sent > latest:
                        latest = sent
            at += 1
        return latest

    def lose_first(self, mss: int) -> None:
        """Without SACK: the first segment is lost (RFC 6582)."""
        first = self._first
        if self.count == 0 or self._state[first] & LOST:
            return
        start = self._start[first]
        if (self._end(first) - start) & MASK32 > mss:
            self._split(first, (start + mss) & MASK32)
        self._lose(self._first)

    def lose_all(self) -> None:
        """A timeout: all that is not known to have arrived is lost (RFC 6675 section 5.1).

        A peer that has the first bytes and does not acknowledge them has forgotten them; then it may have forgotten
        everything (RFC 2018 section 8).
        """
        reneged = self.count != 0 and self._state[self._first] & SACKED
        at = self._first
        while at < self._first + self.count:
            if reneged:
                self._state[at] &= ~SACKED & 0xFF
            if not self._state[at] & (SACKED | LOST):
                self._lose(at)
            at += 1
        if reneged:
            self.sacked_bytes = 0
            self.sacked_segments = 0

    def keep_all(self) -> None:
        """It was a mistake: what is marked lost is in flight."""
        at = self._first
        while at < self._first + self.count:
            self._state[at] &= ~LOST & 0xFF
            at += 1
        self.lost_bytes = 0

    def lose_within(self, start: int, end: int) -> None:
        """What is still in flight of the bytes from ``start`` to ``end``, as it was first sent, is lost."""
        at = self._find(start)
        while at < self._first + self.count and seq_lt(self._start[at], end):
            if not self._state[at] & (SACKED | LOST | RESENT):
                self._lose(at)
            at += 1

    def lost_once_within(self, start: int, end: int) -> bool:
        """Whether all that is lost, which is something, lies from ``start`` to ``end`` and was sent only once."""
        left = self.lost_bytes
        at = self._first_lost()
        while left:
            if self._state[at] & LOST:
                following = self._end(at)
                if self._state[at] & RESENT or seq_lt(self._start[at], start) or seq_lt(end, following):
                    return False
                left -= (following - self._start[at]) & MASK32
            at += 1
        return True

    def lost_start(self) -> int:
        """The first sequence number that is lost; some are."""
        return self._start[self._first_lost()]

    def lost_length(self, most: int) -> int:
        """How many bytes in a row are lost from there on, at most ``most``."""
        at = self._first_lost()
        start = self._start[at]
        while at < self._first + self.count and self._state[at] & LOST:
            length = (self._end(at) - start) & MASK32
            if length >= most:
                return most
            at += 1
        return (self._start[at] - start) & MASK32 if at < self._first + self.count else (self.end - start) & MASK32

    def resend(self, length: int, now: int) -> None:
        """The first ``length`` bytes that are lost, which lie in a row, are sent again."""
        start = self.lost_start()
        end = (start + length) & MASK32
        state = RESENT | FOLLOWS if self._time[self._first + self.count - 1] == now else RESENT
        at = self._find(start)
        while at < self._first + self.count and seq_lt(self._start[at], end):
            if seq_lt(end, self._end(at)):
                start = self._start[at]
                self._split(at, end)
                at = self._find(start)
            self.lost_bytes -= (self._end(at) - self._start[at]) & MASK32
            self._state[at] = state
            self._time[at] = now
            at += 1

    def lose_last(self, mss: int) -> None:
        """Mark the last segment, so that it is sent again as a probe (RFC 8985 section 7.3)."""
        last = self._first + self.count - 1
        if (self.end - self._start[last]) & MASK32 > mss:
            self._split(last, (self.end - mss) & MASK32)
        self._lose(self._first + self.count - 1)

    def segments(self, mss: int, fin: bool, some: int, none: int) -> int:
        """In how many segments of at most ``mss`` bytes the records lie that have ``some`` bit, and none of ``none``.

        some: bits of a record's state; 0: all records. fin: the last byte of all is a FIN, which is no segment more.
        """
        count = 0
        for at in range(self._first, self._first + self.count):
            state = self._state[at]
            if (some == 0 or state & some) and not state & none:
                length = (self._end(at) - self._start[at]) & MASK32
                if fin and length > 1 and at + 1 == self._first + self.count:
                    length -= 1
                count += (length + mss - 1) // mss
        return count

    # The arrays

    def _end(self, at: int) -> int:
        return self._start[at + 1] if at + 1 < self._first + self.count else self.end

    def _find(self, sequence: int) -> int:
        """The record that ``sequence`` lies in, or the first one; there are some."""
        low = self._first
        high = self._first + self.count
        while high - low > 1:
            middle = (low + high) >> 1
            if seq_le(self._start[middle], sequence):
                low = middle
            else:
                high = middle
        return low

    def _first_lost(self) -> int:
        at = self._find(self._lost_from)
        while not self._state[at] & LOST:
            at += 1
        self._lost_from = self._start[at]
        return at

    def _lose(self, at: int) -> None:
        self._state[at] |= LOST
        self.lost_bytes += (self._end(at) - self._start[at]) & MASK32
        if self.lost_bytes == (self._end(at) - self._start[at]) & MASK32 or seq_lt(self._start[at], self._lost_from):
            self._lost_from = self._start[at]

    def _deliver(self, at: int, length: int, end: int) -> None:
        """``length`` bytes of record ``at``, up to ``end``, have arrived (RFC 8985 section 6.2, steps 2 and 3)."""
        self.delivered += length
        sent = self._time[at]
        resent = self._state[at] & RESENT != 0
        if resent:
            self.ambiguous = True
        else:
            if not self.original or seq_lt(end, self.original_end):
                self.original = True
                self.original_end = end
            if seq_lt(end, self.highest):
                self.reordered = True
        if seq_lt(self.highest, end):
            self.highest = end
        rtt = self._now - sent
        if resent and (sent > self._answered or rtt < self._least_rtt):
            return  # it is likely an earlier transmission that arrived
        if sent > self.newest_time or (sent == self.newest_time and seq_lt(self.newest_end, end)):
            self.newest_time = sent
            self.newest_end = end
            self.rtt = rtt

    def _mark_sacked(self, at: int, mss: int) -> int:
        """The whole record has arrived; the index at which it now is, joined with its neighbours."""
        end = self._end(at)
        length = (end - self._start[at]) & MASK32
        if self._state[at] & LOST:
            self.lost_bytes -= length
        self._deliver(at, length, end)
        self._state[at] = SACKED
        self.sacked_bytes += length
        self.sacked_segments += (length + mss - 1) // mss
        if at > self._first and self._state[at - 1] & SACKED:
            self._remove(at)
        if at + 1 < self._first + self.count and self._state[at + 1] & SACKED:
            at += 1
            self._remove(at)
        return at

    def _remove(self, at: int) -> None:
        """Record ``at`` becomes part of the one before it, which moves to ``at``."""
        while at > self._first:
            self._start[at] = self._start[at - 1]
            self._time[at] = self._time[at - 1]
            self._state[at] = self._state[at - 1]
            at -= 1
        self._first += 1
        self.count -= 1

    def _split(self, at: int, sequence: int) -> bool:
        """Two records of one, the second from ``sequence`` on; False when there are too many. Indices change."""
        if self.count >= MOST_RECORDS:
            return False
        if self._first == 0:
            if self.count == self.capacity:
                self._make_room()
            index = self._first + self.count
            while index > at:
                self._copy(index - 1, index)
                index -= 1
        else:
            self._first -= 1
            index = self._first
            while index < at:
                self._copy(index + 1, index)
                index += 1
            at -= 1
        self.count += 1
        self._start[at + 1] = sequence
        return True

    def _copy(self, source: int, to: int) -> None:
        self._start[to] = self._start[source]
        self._time[to] = self._time[source]
        self._state[to] = self._state[source]

    def _make_room(self) -> None:
        """One more record must fit behind the last: move them to the front of the arrays, or of larger ones."""
        start, time, state = self._start, self._time, self._state
        first = self._first
        if 2 * self.count > self.capacity:
            self.capacity *= 2
            self._start = memoryview(bytearray(4 * self.capacity)).cast("I")
            self._time = memoryview(bytearray(8 * self.capacity)).cast("q")
            self._state = memoryview(bytearray(self.capacity))
        for index in range(self.count):
            self._start[index] = start[first + index]
            self._time[index] = time[first + index]
            self._state[index] = state[first + index]
        self._first = 0
