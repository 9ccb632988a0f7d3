"""Congestion control: how much may be in flight. The base class of the controllers, and what they have in common.

Recovery (``stack.tcp.recovery``) says *that* something was lost, and when that was a mistake; a controller says what
it does to the window. All of them begin with the initial window of RFC 6928 and in slow start, which HyStart++ may
end (``stack.tcp.hystart``); they differ in congestion avoidance and in how much a loss takes away. They are chosen
by name, in ``stack.tcp.controllers``. Read ``stack.tcp.new_reno`` first: it is the smallest.

Slow start grows by every byte an ACK covers (RFC 3465 with no limit L, as Linux), not by one segment for each ACK:
peers with large receive offload acknowledge many segments at once.

Windows are bytes and times nanoseconds. All is integer arithmetic, so that both builds give the same windows.
"""

from stack.tcp.constants import INITIAL_WINDOW, MOST_WINDOW
from stack.tcp.hystart import HyStart


class CongestionControl:
    """The congestion window of one connection: ``cwnd`` and ``ssthresh``, in bytes.

    ``mss``: bytes in a full segment, options taken off.
    In recovery ``cwnd`` is whatever recovery says; it is this class's again from ``leave_recovery`` or ``timeout`` on.
    """

    def __init__(self, mss: int) -> None:
        self.start(mss, False)
        self.ssthresh = MOST_WINDOW
        self._hystart: HyStart | None = None
        self._undo_cwnd = 0  # 0: there is nothing to take back
        self._undo_ssthresh = 0
        self._max_flight = 0  # the most that was outstanding in this round trip
        self._round_left = 0  # bytes until it ends

    def start(self, mss: int, syn_lost: bool) -> None:
        """The segment size is agreed: the initial window, one segment if the SYN was lost (RFC 6928 section 2)."""
        self.mss = mss
        self.cwnd = mss if syn_lost else min(10 * mss, max(2 * mss, INITIAL_WINDOW))
        self.initial_window = self.cwnd

    def name(self) -> str:
        """What an application chooses it by."""
        raise NotImplementedError

    def acknowledged(self, count: int, flight: int, rtt: int, now: int) -> None:
        """``count`` new bytes were acknowledged outside recovery, of ``flight`` that were outstanding.

        ``rtt``: a round trip that this acknowledgment measured, or 0.
        """
        if self._is_unused(count, flight):
            self.application_limited(now)
        elif self.cwnd < self.ssthresh:
            self._slow_start(count, flight, rtt)
        else:
            self.avoid(count, rtt, now)

    def _is_unused(self, count: int, flight: int) -> bool:
        """Whether the window was at least twice what was outstanding, at any time in this round trip.

        In a round trip, since the flight shrinks with every acknowledgment of a window that was full: what is
        acknowledged last found little outstanding, and is no less a sign that the path takes the whole.
        """
        if self._round_left == 0:
            self._max_flight = self._round_left = flight
        elif flight > self._max_flight:
            self._max_flight = flight
        self._round_left -= min(count, self._round_left)
        return 2 * self._max_flight <= self.cwnd

    def application_limited(self, now: int) -> None:
        """Not the window was the limit: nothing was learnt from this acknowledgment (RFC 7661 section 4.3)."""

    def avoid(self, count: int, rtt: int, now: int) -> None:
        """Congestion avoidance: ``count`` new bytes were acknowledged, the window being used."""
        raise NotImplementedError

    def reduce(self, flight: int, now: int) -> None:
        """Something was lost or marked, the first in this round trip, with ``flight`` bytes outstanding.

        Sets ``ssthresh``, and remembers what ``undo`` needs. ``cwnd`` is left to recovery.
        """
        raise NotImplementedError

    def leave_recovery(self, now: int) -> None:
        """All that was outstanding when recovery began has arrived: congestion avoidance goes on from ssthresh."""
        self.cwnd = self.ssthresh

    def timeout(self, flight: int, first: bool, now: int) -> None:
        """The retransmission timer ran out; ``first``: for data that no reduction was made for yet."""
        if first:
            self.reduce(flight, now)  # RFC 5681 section 3.1, equation 4
        self.cwnd = self.mss

    def undo(self, now: int) -> None:
        """The last reduction was a mistake, nothing had been lost: back to the windows before it."""
        if self._undo_cwnd:
            self.cwnd = max(self.cwnd, self._undo_cwnd)
            self.ssthresh = max(self.ssthresh, self._undo_ssthresh)
            self._undo_cwnd = 0

    def restart(self, idle: int, now: int) -> None:
        """Sending begins again after ``idle`` nanoseconds, more than one timeout (RFC 5681 section 4.1)."""
        self.cwnd = min(self.cwnd, self.initial_window)

    def take_over(self, other: "CongestionControl") -> None:
        """Continue with the windows of another controller, when the application changes its mind."""
        self.cwnd = other.cwnd
        self.initial_window = other.initial_window
        self.ssthresh = other.ssthresh

    def remember(self) -> None:
        """Keep the windows for ``undo``."""
        self._undo_cwnd = self.cwnd
        self._undo_ssthresh = self.ssthresh
        self._round_left = 0  # what is acknowledged in recovery is not counted here

    def _slow_start(self, count: int, flight: int, rtt: int) -> None:
        """Up to ssthresh by what was acknowledged; the first time, without a threshold, as HyStart++ says."""
        if self.ssthresh < MOST_WINDOW:
            self._hystart = None
            self.cwnd = min(self.cwnd + count, self.ssthresh)
            return
        if self._hystart is None:
            self._hystart = HyStart()
        self.cwnd = min(self.cwnd + self._hystart.growth(count, flight, rtt), MOST_WINDOW)
        if self._hystart.finished():
            self._hystart = None
            self.ssthresh = self.cwnd
