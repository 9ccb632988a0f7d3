"""Round-trip time estimation and the retransmission timeout: RFC 6298, in nanoseconds.

Which measurements count is the caller's business (Karn's algorithm: never an ambiguous one).
"""

from stack.tcp.constants import INITIAL_RTO, LEAST_RTT_TIME, MIN_DEVIATION, MOST_RTO


class RoundTripEstimator:
    """Smoothed round-trip time, its variation, and the retransmission timeout they give; one per connection."""

    def __init__(self) -> None:
        self.srtt = 0  # 0: nothing measured yet
        self.rttvar = 0
        self.rto = INITIAL_RTO
        self.least = 0  # the shortest of the last minutes (RACK.min_RTT); 0: nothing measured yet
        self._least_time = 0

    def sample(self, rtt: int, now: int) -> None:
        """Take one measurement (2.2, 2.3). It also ends a backoff (section 5, last paragraph but one)."""
        rtt = max(rtt, 1)
        self.measured(rtt, now)
        if self.srtt == 0:
            self.srtt = rtt
            self.rttvar = rtt >> 1
        else:
            self.rttvar += (abs(self.srtt - rtt) - self.rttvar) >> 2
            self.srtt += (rtt - self.srtt) >> 3
        self.recompute()

    def measured(self, rtt: int, now: int) -> None:
        """Any round trip, though it be no sample: whether it is the shortest (RFC 8985 section 6.2, step 1)."""
        if rtt <= self.least or self.least == 0 or now - self._least_time > LEAST_RTT_TIME:
            self.least = rtt
            self._least_time = now

    def recompute(self) -> None:
        """The timeout without backoff, from what has been measured.

        However steady the round trip has been, one more delayed ACK of the peer must not look like a loss: so there is
        a floor below the deviation's part, as in Linux, and not, as in (2.4), below the sum.
        """
        if self.srtt == 0:
            self.rto = INITIAL_RTO
            return
        self.rto = min(self.srtt + max(4 * self.rttvar, MIN_DEVIATION), MOST_RTO)

    def back_off(self, most: int) -> None:
        """Double the timeout after it has run out (5.5), up to ``most`` or to where all end; 0: only those."""
        self.rto = min(self.rto * 2, most or MOST_RTO, MOST_RTO)
