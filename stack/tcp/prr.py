"""Proportional rate reduction (RFC 9937): how much may be sent for each acknowledgment while something is recovered.

A reduction takes the window from what was in flight down to ssthresh. PRR spreads that over one round trip: for what
has arrived, the share ssthresh / RecoverFS of it is sent. If more was lost than the reduction asks for, less is in
flight than ssthresh; then it sends as much as arrives, and one segment more only while the acknowledgments say that
nothing else is lost (section 6.2: slow start, or conservative, reduction bound).
"""


class ProportionalRateReduction:
    """One recovery. All in bytes; the names are section 5's and 6's: prr_delivered, prr_out, RecoverFS."""

    def __init__(self) -> None:
        self.delivered = 0
        self.out = 0
        self.recover_flight = 1
        self.ssthresh = 0

    def start(self, flight: int, ssthresh: int) -> None:
        """Recovery begins, with ``flight`` bytes not known to have arrived before this acknowledgment."""
        self.delivered = 0
        self.out = 0
        self.recover_flight = max(flight, 1)
        self.ssthresh = ssthresh

    def window(self, delivered: int, in_flight: int, mss: int, safe: bool) -> int:
        """The congestion window after an acknowledgment that ``delivered`` bytes, with ``in_flight`` left.

        safe: it acknowledges new bytes in order, and says of no further loss (SafeACK).
        """
        self.delivered += delivered
        if in_flight > self.ssthresh:
            share = (self.delivered * self.ssthresh + self.recover_flight - 1) // self.recover_flight
            room = share - self.out if share > self.out else 0
        else:
            room = max(self.delivered - self.out if self.delivered > self.out else 0, delivered)
            if safe:
                room += mss
            room = min(room, self.ssthresh - in_flight)
        if self.out == 0 and room < mss:
            room = mss  # the fast retransmit that begins it
        return in_flight + room

    def sent(self, length: int) -> None:
        """``length`` bytes were sent, new ones or again."""
        self.out += length
