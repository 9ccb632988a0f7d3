"""Clocks. Nothing below ``netlab`` reads one by itself: a node, and everything in it, is given its clock.

Times are nanoseconds as integers. A component reads the clock where it is entered and passes ``now`` down.
"""

from ebbrt.syscalls import monotonic_ns


class Clock:
    """What a node is given."""

    def now(self) -> int:
        """Nanoseconds since some fixed point; never goes back."""
        raise NotImplementedError


class MonotonicClock(Clock):
    """The kernel's CLOCK_MONOTONIC."""

    def now(self) -> int:
        """Nanoseconds since the machine booted."""
        return monotonic_ns()


class ManualClock(Clock):
    """A clock that stands still until it is moved: virtual time, for tests and simulation."""

    def __init__(self, start: int = 0) -> None:
        self.time = start

    def now(self) -> int:
        """The virtual time."""
        return self.time

    def advance(self, nanoseconds: int) -> None:
        """Let that much time pass."""
        self.time += nanoseconds
