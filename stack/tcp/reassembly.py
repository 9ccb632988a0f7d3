"""Received data that lies beyond a hole: kept until the hole is filled, within a bound on the memory it pins.

Ranges are kept sorted and apart; one that touches its neighbour joins it, so there are as many as there are holes.
Bytes that are already there win over later copies of them: a peer cannot change what it has sent. A received view pins
its whole buffer however few bytes it shows, so it is buffers that are counted (``pinned``).

The ranges are also what a selective acknowledgment reports (RFC 2018 section 4): the one that changed last comes
first, so that each is reported several times while others come in. Before them goes, once, what arrived twice
(RFC 2883).
"""

from ebbrt.iobuf import IOBuf
from stack.constants import MOST_SACK_BLOCKS
from stack.tcp.constants import MASK32, MOST_HOLES
from stack.tcp.sequence import seq_le, seq_lt


class Range:
    """Contiguous bytes [start, end) in sequence space, the chain that holds them, and the memory that pins."""

    def __init__(self, start: int, end: int, chain: IOBuf, last: IOBuf, pinned: int) -> None:
        self.start = start
        self.end = end
        self.chain = chain
        self.last = last
        self.pinned = pinned


class Reassembly:
    """The out-of-order ranges of one connection."""

    def __init__(self) -> None:
        self._ranges: list[Range] = []
        self.pinned = 0
        self._recent: list[Range] = []  # those that changed last, the latest first: at most what an option holds
        self.duplicate_start = 0  # [start, end) arrived twice, and was not yet reported; nothing: both the same
        self.duplicate_end = 0
        self.to_report = False  # whether there is any of it

    def insert(self, start: int, length: int, chain: IOBuf) -> bool:
        """Keep ``length`` bytes that begin at ``start``; False when nothing of them was new, or holes are too many.

        What overlaps kept ranges is cut off. Of bytes that surround a kept range only those before it are taken:
        the peer sends the rest again.
        """
        end = (start + length) & MASK32
        index = self._index_after(start)
        if index > 0:
            before = self._ranges[index - 1]
            if seq_lt(start, before.end):
                self._touch(before)
                if seq_le(end, before.end):
                    self.duplicate(start, end)
                    return False
                self.duplicate(start, before.end)
                rest = chain.advance_chain((before.end - start) & MASK32)
                assert rest is not None
                chain = rest
                start = before.end
        if index < len(self._ranges):
            after = self._ranges[index]
            if seq_le(after.start, start):
                return False
            if seq_lt(after.start, end):
                self._also_duplicate(after.start, end if seq_lt(end, after.end) else after.end)
                end = after.start
                chain.truncate_chain((end - start) & MASK32)
        return self._place(index, start, end, chain)

    def take(self, rcv_nxt: int) -> Range | None:
        """The range that continues at ``rcv_nxt``, cut to begin there, or None; ranges that lie behind are dropped.

        What of a range lies before ``rcv_nxt`` has just arrived for the second time.
        """
        while self._ranges:
            first = self._ranges[0]
            if seq_lt(rcv_nxt, first.start):
                return None
            self._forget(first)
            self._ranges.pop(0)
            self.pinned -= first.pinned
            if seq_lt(first.start, rcv_nxt):
                self._also_duplicate(first.start, rcv_nxt if seq_lt(rcv_nxt, first.end) else first.end)
            self.to_report = bool(self._ranges) or self.duplicate_start != self.duplicate_end
            if seq_lt(rcv_nxt, first.end):
                rest = first.chain.advance_chain((rcv_nxt - first.start) & MASK32)
                assert rest is not None
                first.chain = rest
                first.start = rcv_nxt
                return first
        return None

    def is_empty(self) -> bool:
        """Whether there is no hole."""
        return not self._ranges

    def clear(self) -> None:
        """Forget everything."""
        self._ranges.clear()
        self._recent.clear()
        self.pinned = 0
        self.reported()

    def duplicate(self, start: int, end: int) -> None:
        """[start, end) arrived for the second time: the next acknowledgment says so."""
        self.duplicate_start = start
        self.duplicate_end = end
        self.to_report = True

    def _also_duplicate(self, start: int, end: int) -> None:
        """So did [start, end), of the same segment; of several parts the first is told (RFC 2883 section 4.2.3)."""
        if self.duplicate_start == self.duplicate_end:
            self.duplicate(start, end)

    def reports(self) -> int:
        """How many blocks there are to report."""
        return len(self._recent) + (1 if self.duplicate_start != self.duplicate_end else 0)

    def report_start(self, index: int) -> int:
        """The first sequence number of block ``index`` < ``reports()``: the duplicate one, then the latest first."""
        if self.duplicate_start != self.duplicate_end:
            if index == 0:
                return self.duplicate_start
            index -= 1
        block = self._recent[index]
        return block.start

    def report_end(self, index: int) -> int:
        """The sequence number behind block ``index``."""
        if self.duplicate_start != self.duplicate_end:
            if index == 0:
                return self.duplicate_end
            index -= 1
        block = self._recent[index]
        return block.end

    def reported(self) -> None:
        """The blocks have been sent: what came twice is told once only (RFC 2883 section 4)."""
        self.duplicate_start = self.duplicate_end = 0
        self.to_report = bool(self._ranges)

    def _touch(self, changed: Range) -> None:
        """``changed`` is the range that is reported first from now on."""
        self._forget(changed)
        self._recent.insert(0, changed)
        if len(self._recent) > MOST_SACK_BLOCKS:
            self._recent.pop()
        self.to_report = True

    def _forget(self, gone: Range) -> None:
        """``gone`` is not reported any more."""
        if gone in self._recent:
            self._recent.remove(gone)

    def _index_after(self, start: int) -> int:
        """The index of the first range that starts after ``start``."""
        low = 0
        high = len(self._ranges)
        while low < high:
            middle = (low + high) >> 1
            candidate = self._ranges[middle]
            if seq_le(candidate.start, start):
                low = middle + 1
            else:
                high = middle
        return low

    def _place(self, index: int, start: int, end: int, chain: IOBuf) -> bool:
        """Put [start, end), which overlaps nothing, before range ``index``, joined to the neighbours it touches."""
        last = last_piece(chain)
        pinned = chain.pinned()
        if index > 0:
            before = self._ranges[index - 1]
            if before.end == start:
                before.last.next = chain
                before.last = last
                before.end = end
                before.pinned += pinned
                self.pinned += pinned
                self._touch(before)
                self._join(index - 1)
                return True
        if len(self._ranges) >= MOST_HOLES:
            return False
        added = Range(start, end, chain, last, pinned)
        self._ranges.insert(index, added)
        self._touch(added)
        self.pinned += pinned
        self._join(index)
        return True

    def _join(self, index: int) -> None:
        """Join range ``index`` with the next one when they touch."""
        if index + 1 >= len(self._ranges):
            return
        before = self._ranges[index]
        after = self._ranges[index + 1]
        if before.end == after.start:
            before.last.next = after.chain
            before.last = after.last
            before.end = after.end
            before.pinned += after.pinned
            self._forget(after)
            self._ranges.pop(index + 1)


def last_piece(chain: IOBuf) -> IOBuf:
    """The end of a chain."""
    while chain.next is not None:
        chain = chain.next
    return chain
