"""What components give to the Event Manager, to be called when something happens or is due, or nothing is."""

READABLE = 0x001  # EPOLLIN


class InterruptHandler:
    """What a device interrupt, or a file descriptor that became ready, runs."""

    def interrupt(self) -> None:
        """Handle it; called as an event."""
        raise NotImplementedError


class IdleHandler:
    """What runs when a core has nothing else to do."""

    def poll(self) -> None:
        """Look for work; unregister when there is none, or the core will not halt."""
        raise NotImplementedError


class TimerSource:
    """A component with deadlines of its own, such as a network stack: asked before the core halts."""

    def next_deadline(self) -> int:
        """When to call ``expire``, in the clock's nanoseconds, or FOREVER. It may be early, never late."""
        raise NotImplementedError

    def expire(self, now: int) -> None:
        """Do what is due at ``now``."""
        raise NotImplementedError
