"""NewReno congestion control: slow start, congestion avoidance, fast retransmit and fast recovery.

RFC 5681 and RFC 6582, with the initial window of RFC 6928. Windows are bytes. This class only decides how much may be
in flight and when to enter and leave recovery; ``stack.tcp.acknowledgment`` does the retransmitting.

Slow start grows by every byte an ACK covers (RFC 3465 with no limit L, as Linux), not by one segment for each ACK:
peers with large receive offload acknowledge many segments at once.
"""

from stack.tcp.sequence import seq_le

MOST_WINDOW = 1 << 30  # the largest window that window scaling can express


class NewReno:
    """The congestion window of one connection.

    ``initial_sequence``: what ``recover`` starts from (RFC 6582 3.2); ``syn_lost``: begin with one segment.
    """

    def __init__(self, mss: int, initial_sequence: int, syn_lost: bool = False) -> None:
        self.mss = mss
        self.cwnd = mss if syn_lost else min(10 * mss, max(2 * mss, 14600))  # RFC 6928 section 2
        self.initial_window = self.cwnd
        self.ssthresh = MOST_WINDOW
        self.duplicate_acks = 0
        self.in_recovery = False
        self.recover = initial_sequence
        self._bytes_acked = 0

    def acknowledged(self, count: int, flight: int) -> None:
        """``count`` new bytes were acknowledged outside recovery, of ``flight`` that were outstanding."""
        self.duplicate_acks = 0
        if 2 * flight < self.cwnd:
            return  # the application, not the window, was the limit: nothing was learnt (RFC 7661)
        if self.cwnd < self.ssthresh:
            self.cwnd = min(self.cwnd + count, MOST_WINDOW)
            return
        self._bytes_acked += count
        if self._bytes_acked >= self.cwnd:  # RFC 5681 section 3.1: one segment for each window's worth
            self._bytes_acked -= self.cwnd
            self.cwnd = min(self.cwnd + self.mss, MOST_WINDOW)

    def duplicate(self, ack: int, flight: int, snd_max: int) -> bool:
        """A duplicate ACK came; whether to retransmit the first unacknowledged segment now (RFC 5681 3.2, 2 to 4)."""
        if self.in_recovery:
            self.cwnd = min(self.cwnd + self.mss, MOST_WINDOW)
            return False
        self.duplicate_acks += 1
        if self.duplicate_acks != 3 or seq_le(ack, self.recover):
            return False
        self._halve(flight)
        self.cwnd = self.ssthresh + 3 * self.mss
        self.recover = snd_max
        self.in_recovery = True
        return True

    def recovering(self, ack: int, count: int, flight: int) -> bool:
        """New bytes were acknowledged in recovery; True for a partial ACK: retransmit the next hole (RFC 6582 3.2)."""
        if seq_le(self.recover, ack):
            self.cwnd = min(self.ssthresh, max(flight, self.mss) + self.mss)
            self.in_recovery = False
            self.duplicate_acks = 0
            self._bytes_acked = 0
            return False
        self.cwnd -= min(count, self.cwnd)
        if count >= self.mss:
            self.cwnd += self.mss
        self.cwnd = max(self.cwnd, self.mss)
        return True

    def timeout(self, flight: int, snd_max: int, first: bool) -> None:
        """The retransmission timer ran out; ``first``: not for a segment already sent again by the timer."""
        if first:
            self._halve(flight)  # RFC 5681 section 3.1, equation 4
        self.cwnd = self.mss
        self.recover = snd_max  # RFC 6582 section 4.3
        self.in_recovery = False
        self.duplicate_acks = 0
        self._bytes_acked = 0

    def restart(self) -> None:
        """Sending begins again after an idle period of more than one timeout (RFC 5681 section 4.1)."""
        self.cwnd = min(self.cwnd, self.initial_window)

    def _halve(self, flight: int) -> None:
        self.ssthresh = max(flight // 2, 2 * self.mss)
