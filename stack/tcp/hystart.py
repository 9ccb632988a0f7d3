"""HyStart++ (RFC 9406): when a growing round-trip time, not a loss, ends the initial slow start.

Slow start doubles the window each round trip, so when the bottleneck's queue overflows, as much as a whole window is
lost. Before that the queue fills, and round trips take longer. So each round's shortest round trip is compared with
that of the round before: when it has grown by an eighth, growth goes on at a quarter of the speed, which is
Conservative Slow Start (CSS). If the round trip gets shorter again there, it was only jitter, and slow start is
resumed; if not for five rounds, slow start is over.

A round is the acknowledgment of what was in flight when it began. It is counted in bytes here, and not held against
a sequence number, which a controller does not know.
"""

from ebbrt.constants import FOREVER
from stack.tcp.constants import MILLISECOND

# RFC 9406 section 4.3. Its limit L, of 8 segments for one ACK, is not kept: congestion.py says why.
LEAST_RTT_THRESHOLD = 4 * MILLISECOND
MOST_RTT_THRESHOLD = 16 * MILLISECOND
RTT_DIVISOR = 8
LEAST_SAMPLES = 8  # of a round, before it is judged
CSS_GROWTH_DIVISOR = 4
CSS_ROUNDS = 5


class HyStart:
    """One connection's initial slow start. Times are nanoseconds."""

    def __init__(self) -> None:
        self._last_round = FOREVER  # the shortest round trip of the round before
        self._this_round = FOREVER
        self._samples = 0
        self._round_left = 0  # bytes until the round ends
        self._baseline = FOREVER  # in CSS: what the round trip had grown to
        self.css_rounds = 0  # 0: not in CSS; else the number of the round in it

    def growth(self, count: int, flight: int, rtt: int) -> int:
        """How much the window grows for ``count`` bytes acknowledged, of ``flight`` that were outstanding."""
        growth = count // CSS_GROWTH_DIVISOR if self.css_rounds else count
        if rtt:
            self._this_round = min(self._this_round, rtt)
            self._samples += 1
            if self._samples >= LEAST_SAMPLES:
                self._judge()
        if count < self._round_left:
            self._round_left -= count
            return growth
        self._round_left = flight - count if flight > count else 0
        self._last_round = self._this_round
        self._this_round = FOREVER
        self._samples = 0
        if self.css_rounds:
            self.css_rounds += 1
        return growth

    def finished(self) -> bool:
        """Whether CSS has had its rounds: now congestion avoidance."""
        return self.css_rounds > CSS_ROUNDS

    def _judge(self) -> None:
        """Into CSS when the round trip has grown; back when it has shrunk below what it had grown to."""
        if self.css_rounds:
            if self._this_round < self._baseline:
                self.css_rounds = 0
            return
        if self._last_round == FOREVER:
            return
        threshold = max(LEAST_RTT_THRESHOLD, min(self._last_round // RTT_DIVISOR, MOST_RTT_THRESHOLD))
        if self._this_round >= self._last_round + threshold:
            self._baseline = self._this_round
            self.css_rounds = 1
