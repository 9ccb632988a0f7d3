"""SYN cookies (RFC 4987 section 3.6): answering SYNs without remembering them, when a listener's backlog is full.

Our initial sequence number is a keyed hash of the four-tuple, the peer's initial sequence number and a counter of
64 seconds. Nobody can acknowledge it who did not receive it, so the ACK that completes the handshake proves that our
SYN-ACK arrived, and what a connection begins with is recovered from that ACK. Three bits of the cookie say which of
eight maximum segment sizes the peer comes nearest to. Everything else that only a SYN says is lost, unless the peer
has timestamps: then the low six bits of ours, which it echoes, say it, laid out as Linux does.

State is only how many cookies were sent in the last two periods: an ACK is looked at only while one of them may come
back, and no more connections are made than that. So whoever floods a listener with ACKs instead of SYNs gains nothing,
and a cookie that is played again and again opens no more connections than there were cookies.

This module is about the numbers; ``stack.tcp.handshake`` sends them and takes them back.
"""

from hashlib import blake2b

from stack.tcp.constants import COOKIE_PERIOD, DEFAULT_MSS, LEAST_MSS, MASK32
from stack.tcp.sequence import seq_lt

# What the three bits stand for. Most peers are on Ethernet (1460, 1440 over IPv6), behind tunnels of several kinds
# (1400, 1360), at IPv6's least MTU (1220), or say nothing (536); 8960 is for jumbo frames.
MSS_TABLE = (LEAST_MSS, DEFAULT_MSS, 1220, 1360, 1400, 1440, 1460, 8960)
MOST_INDEX = 7

# The low bits of the timestamp in a SYN-ACK with a cookie: window scale and, above it, SACK permitted.
OPTION_BITS = 63
WINDOW_SCALE_BITS = 15
NO_WINDOW_SCALE = 15
SACK_BIT = 16


class SynCookies:
    """The cookies of one TCP. ``sent``, ``accepted``, ``rejected`` count them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._period = 0
        self._sent_now = 0  # in this period, and not yet come back
        self._sent_before = 0  # in the one before
        self.sent = 0
        self.accepted = 0
        self.rejected = 0

    def outstanding(self, now: int) -> int:
        """How many cookies may still come back."""
        period = now // COOKIE_PERIOD
        if period != self._period:
            self._sent_before = self._sent_now if period == self._period + 1 else 0
            self._sent_now = 0
            self._period = period
        return self._sent_now + self._sent_before

    def make(self, flow: bytes, peer_sequence: int, mss: int, now: int) -> int:
        """The initial sequence number that answers a SYN with ``peer_sequence`` and maximum segment size ``mss``."""
        self.outstanding(now)
        self._sent_now += 1
        self.sent += 1
        index = MOST_INDEX
        while index and MSS_TABLE[index] > mss:
            index -= 1
        return self._hash(flow, peer_sequence, now // COOKIE_PERIOD) ^ index

    def check(self, flow: bytes, peer_sequence: int, cookie: int, now: int) -> int:
        """The maximum segment size that ``cookie`` says; 0 when it is not one of ours, or older than two periods."""
        if self.outstanding(now) == 0:
            return 0
        period = now // COOKIE_PERIOD
        index = self._hash(flow, peer_sequence, period) ^ cookie
        if index > MOST_INDEX:
            index = self._hash(flow, peer_sequence, period - 1) ^ cookie
        return MSS_TABLE[index] if index <= MOST_INDEX else 0

    def accept(self) -> None:
        """A cookie has come back, and there is a connection for it."""
        self.accepted += 1
        if self._sent_before:
            self._sent_before -= 1
        else:
            self._sent_now -= 1

    def _hash(self, flow: bytes, peer_sequence: int, period: int) -> int:
        message = flow + peer_sequence.to_bytes(4, "big") + period.to_bytes(8, "big", signed=True)
        digest = blake2b(message, digest_size=4, key=self._secret, person=b"syn cookie").digest()
        return int.from_bytes(digest, "big")


def with_options(timestamp: int, window_scale: int, sack: bool) -> int:
    """The last timestamp that is not after ``timestamp`` and says in its low bits what a SYN offers.

    window_scale: -1 when there is none.
    """
    options = (NO_WINDOW_SCALE if window_scale < 0 else window_scale) | (SACK_BIT if sack else 0)
    value = (timestamp & ~OPTION_BITS & MASK32) | options
    return (value - OPTION_BITS - 1) & MASK32 if seq_lt(timestamp, value) else value


def window_scale_of(timestamp: int) -> int:
    """The window scale that ``with_options`` hid, -1 for none."""
    scale = timestamp & WINDOW_SCALE_BITS
    return -1 if scale == NO_WINDOW_SCALE else scale


def sack_of(timestamp: int) -> bool:
    """Whether the SYN permitted selective acknowledgments."""
    return timestamp & SACK_BIT != 0
