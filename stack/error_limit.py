"""How many ICMP errors a node sends: a token bucket for each version of IP (RFC 1812 4.3.2.8, RFC 4443 2.4 (f))."""

ERROR_INTERVAL = 1_000_000  # nanoseconds: a thousand errors a second ...
ERROR_BURST = 50  # ... and this many at once


class ErrorLimit:
    """A bucket, full at first. Times are nanoseconds of the stack's clock."""

    def __init__(self) -> None:
        self._allowance = ERROR_BURST * ERROR_INTERVAL
        self._refilled_at = 0

    def take(self, now: int) -> bool:
        """Whether another error may be sent at ``now``; if so, it is counted as sent."""
        self._allowance = min(self._allowance + now - self._refilled_at, ERROR_BURST * ERROR_INTERVAL)
        self._refilled_at = now
        if self._allowance < ERROR_INTERVAL:
            return False
        self._allowance -= ERROR_INTERVAL
        return True
