"""How many ICMP errors a node sends: a token bucket for each version of IP (RFC 1812 4.3.2.8, RFC 4443 2.4 (f)).

One bucket for all who are told is a counter that all of them can read: who uses it up, and looks what is left, learns
whether packets that he sent in another's name got errors, and so which ports of ours are open. So an error costs
a random part of what is in the bucket, one token on average, as with Linux.
"""

import random

ERROR_INTERVAL = 1_000_000  # nanoseconds: a thousand errors a second ...
ERROR_BURST = 50  # ... and about this many at once
MAX_COST = 2  # tokens


class ErrorLimit:
    """A bucket, full at first. Times are nanoseconds of the stack's clock. random: seeded by the caller."""

    def __init__(self, random: random.Random) -> None:
        self._random = random
        self._allowance = ERROR_BURST * ERROR_INTERVAL
        self._refilled_at = 0

    def take(self, now: int) -> bool:
        """Whether another error may be sent at ``now``; if so, it is counted as sent."""
        self._allowance = min(self._allowance + now - self._refilled_at, ERROR_BURST * ERROR_INTERVAL)
        self._refilled_at = now
        if self._allowance < ERROR_INTERVAL:
            return False
        self._allowance = max(self._allowance - ERROR_INTERVAL * self._random.randint(0, MAX_COST), 0)
        return True
