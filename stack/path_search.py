"""Which packet sizes to try on a path, when nobody says what fits (RFC 4821 sections 7.2, 7.3, RFC 8899 section 5.3).

A path whose ``search`` is there has swallowed long packets in silence. What passes for certain is ``Path.mtu``; here
is what may pass at most, and when a longer packet may be tried. Who tries, and learns what became of it, is a
transport that has its packets acknowledged: ``stack.tcp.size_probe``. The sizes are first what networks often have,
upward, then what the first link takes, then the middle of what is left. That ends, at the latest, after as many
probes as there are such sizes and halves.
"""

COMMON_SIZES = (1280, 1400, 1492, 1500)  # IPv6's least, tunnels, PPPoE, Ethernet
LEAST_STEP = 8  # bytes: for less no probe is worth its while (RFC 4821 section 7.3)
PROBE_INTERVAL = 5_000_000_000  # nanoseconds after a probe was lost
PROBE_PATIENCE = 15_000_000_000  # ... after one of which nothing is known: RFC 8899 section 5.1.1, PROBE_TIMER


class PathSearch:
    """Of one path; sizes are those of packets, IP's header counted.

    ceiling: nothing longer is tried. next_at: nothing is tried before, nanoseconds.
    """

    def __init__(self, ceiling: int, now: int) -> None:
        self.ceiling = ceiling
        self.next_at = now + PROBE_INTERVAL

    def restart(self, ceiling: int, now: int) -> None:
        """What was found is old: more may pass (RFC 8899 section 5.1.1, PMTU_RAISE_TIMER)."""
        self.ceiling = ceiling
        self.next_at = now

    def next_size(self, floor: int, most: int, link: int) -> int:
        """The size to try, beyond ``floor`` and up to ``most``; 0: the search is complete. link: the first link's."""
        ceiling = min(self.ceiling, most)
        if ceiling <= floor:
            return 0
        for size in COMMON_SIZES:
            if floor < size <= ceiling:
                return size
        if ceiling in (link, most):
            return ceiling
        if ceiling - floor < LEAST_STEP:
            return 0
        return floor + (ceiling - floor + 1) // 2

    def tried(self, now: int) -> None:
        """A probe is on its way: one at a time."""
        self.next_at = now + PROBE_PATIENCE

    def passed(self, now: int) -> None:
        """It has arrived: the next may follow at once (RFC 4821 section 7.6.1)."""
        self.next_at = now

    def failed(self, size: int, now: int) -> None:
        """It was lost, and nothing else was (RFC 4821 section 7.6.2)."""
        self.ceiling = min(self.ceiling, size - 1)
        self.next_at = now + PROBE_INTERVAL
