"""CUBIC (RFC 9438), the default: congestion avoidance by a cubic function of the time since the last reduction.

The window at which something was last lost is W_max. From the reduced window CUBIC grows towards it, ever more slowly
(the concave region), stays near it, and then leaves it behind faster and faster (the convex region). All of that is
the one function W_cubic(t) = C (t - K)^3 + W_max; K is the time at which it reaches W_max. Since it depends on time
and not on round trips, it fills long fat pipes; and where Reno would be faster (short round trips, small windows), an
estimate of Reno's window is followed instead.

An *epoch* is one stage of congestion avoidance, between two reductions. It begins with the first acknowledgment that
finds the window at or above ssthresh, so however that came about (recovery, slow start after a timeout, HyStart++,
a restart after idling), the same rule says where the curve starts.

The arithmetic is on integers: windows in bytes, t and K in milliseconds, and every quotient is rounded down. All
intermediate results fit 63 bits for windows up to ``MOST_WINDOW`` and segments up to 64 KiB, for about 17 minutes of
an epoch, beyond which the window is at its maximum.
"""

from stack.tcp.congestion import CongestionControl
from stack.tcp.constants import MILLISECOND, MOST_WINDOW

# Section 4.1: C = 0.4 segments per cubic second, so a segment for each 2.5e9 cubic milliseconds.
CUBIC_MILLISECONDS = 2_500_000_000
# beta = 0.7; a window that did not come back to W_max makes room, with (1 + beta) / 2 of it as the next W_max.
BETA_TENTHS = 7
FAST_CONVERGENCE_TWENTIETHS = 17
# alpha = 3 (1 - beta) / (1 + beta) = 9 / 17: with beta 0.7 as aggressive as Reno (section 4.3).
ALPHA_NUMERATOR = 9
ALPHA_DENOMINATOR = 17
MOST_TIME = 1 << 20  # milliseconds from K on which the curve is computed: its cube has 60 bits
SRTT_SHIFT = 3  # the smoothed round trip takes an eighth of each sample, as RFC 6298


class Cubic(CongestionControl):
    """CUBIC. Names as in RFC 9438 section 4.1.2: ``w_max``, ``w_est`` and ``cwnd_prior`` are bytes, ``k`` ms."""

    def __init__(self, mss: int) -> None:
        CongestionControl.__init__(self, mss)
        self.w_max = 0  # 0: none is known, the epoch starts at the plateau
        self.w_est = 0
        self.cwnd_prior = 0
        self.k = 0
        self._epoch = 0  # when it began, moved by the time in which the application was the limit; 0: none
        self._limited_since = 0  # the application is the limit since then; 0: it is not
        self._srtt = 0
        self._growth_rest = 0  # what division left over of the last growth of cwnd, and of w_est
        self._estimate_rest = 0
        self._undo_w_max = 0
        self._undo_w_est = 0
        self._undo_cwnd_prior = 0
        self._undo_k = 0
        self._undo_epoch = 0

    def name(self) -> str:
        """What an application chooses it by."""
        return "cubic"

    def application_limited(self, now: int) -> None:
        """The time from here on does not count as time of the epoch (sections 4.2 and 5.8)."""
        if self._limited_since == 0:
            self._limited_since = now

    def avoid(self, count: int, rtt: int, now: int) -> None:
        """Sections 4.2 to 4.5: follow Reno's estimate or the curve, whichever is ahead."""
        if rtt:
            self._srtt += (rtt - self._srtt) >> SRTT_SHIFT if self._srtt else rtt
        if self._epoch == 0:
            self._begin_epoch(now)
        elif self._limited_since:
            self._epoch += now - self._limited_since
        self._limited_since = 0
        self._grow_estimate(count)
        elapsed = now - self._epoch
        if self.w_cubic(elapsed // MILLISECOND) < self.w_est:
            if self.cwnd < self.w_est:
                self.cwnd = self.w_est
            return
        window = self.cwnd
        target = self.w_cubic((elapsed + self._srtt) // MILLISECOND)
        target = min(max(target, window), window + window // 2, MOST_WINDOW)
        rest = (target - window) * count + self._growth_rest
        self._growth_rest = rest % window
        self.cwnd = min(window + rest // window, MOST_WINDOW)

    def reduce(self, flight: int, now: int) -> None:
        """Sections 4.6 and 4.7: what was lost last time is the new plateau, and the window shrinks to beta of it."""
        self.remember()
        self._undo_w_max = self.w_max
        self._undo_w_est = self.w_est
        self._undo_cwnd_prior = self.cwnd_prior
        self._undo_k = self.k
        self._undo_epoch = self._epoch
        window = self.cwnd
        self.cwnd_prior = window
        self.w_max = window * FAST_CONVERGENCE_TWENTIETHS // 20 if window < self.w_max else window
        self.ssthresh = max(min(flight, window) * BETA_TENTHS // 10, 2 * self.mss)
        self._epoch = 0

    def timeout(self, flight: int, first: bool, now: int) -> None:
        """Section 4.8: ssthresh by beta; the first epoch afterwards starts at its own plateau."""
        CongestionControl.timeout(self, flight, first, now)
        self.w_max = 0
        self._epoch = 0

    def undo(self, now: int) -> None:
        """Section 4.9: the curve goes on as if nothing had happened."""
        if self._undo_cwnd:
            self.w_max = self._undo_w_max
            self.w_est = self._undo_w_est
            self.cwnd_prior = self._undo_cwnd_prior
            self.k = self._undo_k
            self._epoch = self._undo_epoch
            CongestionControl.undo(self, now)

    def restart(self, idle: int, now: int) -> None:
        """Idle time is no time of the epoch; a window cut down to the initial one is in slow start, and ends it."""
        if self.cwnd > self.initial_window:
            self._epoch = 0
        elif self._epoch and self._limited_since == 0:
            self._epoch = min(self._epoch + idle, now)
        CongestionControl.restart(self, idle, now)

    def w_cubic(self, elapsed: int) -> int:
        """W_cubic(t), section 4.2, in bytes at most ``MOST_WINDOW``; ``elapsed``: t in ms."""
        distance = min(elapsed - self.k if elapsed > self.k else self.k - elapsed, MOST_TIME)
        cube = distance * distance * distance
        whole = cube // CUBIC_MILLISECONDS * self.mss
        change = whole + cube % CUBIC_MILLISECONDS * self.mss // CUBIC_MILLISECONDS
        if elapsed < self.k:
            return self.w_max - change if change < self.w_max else 0
        return min(self.w_max + change, MOST_WINDOW)

    def _begin_epoch(self, now: int) -> None:
        """K is what W_cubic(0) = cwnd says; a window at or above W_max begins on a plateau of its own, K = 0."""
        self._epoch = now
        self._growth_rest = 0
        self._estimate_rest = 0
        self.w_est = self.cwnd
        if self.w_max <= self.cwnd:
            self.w_max = self.cwnd
            self.k = 0
        else:
            self.k = cube_root((self.w_max - self.cwnd) * CUBIC_MILLISECONDS // self.mss)

    def _grow_estimate(self, count: int) -> None:
        """Section 4.3: W_est grows by alpha segments each round trip; from the old window on by one, as Reno."""
        numerator = 1
        divisor = self.cwnd
        if self.w_est < self.cwnd_prior:
            numerator = ALPHA_NUMERATOR
            divisor *= ALPHA_DENOMINATOR
        rest = count * numerator * self.mss + self._estimate_rest
        self._estimate_rest = rest % divisor
        self.w_est = min(self.w_est + rest // divisor, MOST_WINDOW)


def cube_root(value: int) -> int:
    """The cube root of a number below 2^63, rounded down: bit by bit."""
    root = 0
    bit = 1 << 20  # (2^21)^3 is 2^63
    while bit:
        root |= bit
        if root * root * root > value:
            root ^= bit
        bit >>= 1
    return root
