"""The congestion control of RFC 5681: one segment more each round trip, and half the window when something is lost.

``stack.tcp.recovery`` has the rest of what is called NewReno (RFC 6582), which is the same for all controllers.
"""

from stack.tcp.congestion import CongestionControl
from stack.tcp.constants import MOST_WINDOW


class NewReno(CongestionControl):
    """Additive increase, multiplicative decrease."""

    def __init__(self, mss: int) -> None:
        CongestionControl.__init__(self, mss)
        self._bytes_acked = 0  # since cwnd last grew

    def name(self) -> str:
        """What an application chooses it by."""
        return "reno"

    def avoid(self, count: int, rtt: int, now: int) -> None:
        """Section 3.1, by bytes: one segment for each window's worth."""
        self._bytes_acked += count
        if self._bytes_acked >= self.cwnd:
            self._bytes_acked -= self.cwnd
            self.cwnd = min(self.cwnd + self.mss, MOST_WINDOW)

    def reduce(self, flight: int, now: int) -> None:
        """Section 3.1, equation 4. What limited transmit sent beyond the window does not count as flight."""
        self.remember()
        self.ssthresh = max(min(flight, self.cwnd) // 2, 2 * self.mss)
        self._bytes_acked = 0
