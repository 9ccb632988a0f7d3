"""What a stack's rarer parts have in common that act by themselves: reassembly, address conflict detection, and so on.

The event loop asks a stack before every halt when it is due. So the rarer parts tell a ``Due`` that all of them share
whenever they put down a time, and the stack looks at nothing else until that comes.
"""

from ebbrt.constants import FOREVER


class Due:
    """``time``: nanoseconds of the stack's clock before which none of those who share it is due, or FOREVER.

    stale: it may be too early, since somebody no longer waits: the stack is to ask all of them.
    """

    def __init__(self) -> None:
        self.time = FOREVER
        self.stale = False

    def at(self, time: int) -> None:
        """One of them is due at ``time``."""
        if time < self.time:
            self.time = time


class Timed:
    """Something to be polled once ``deadline`` has come. ``due`` is its own until a stack takes it in."""

    def __init__(self) -> None:
        self.deadline = FOREVER
        self.due = Due()

    def wait_until(self, time: int) -> None:
        """Be due at ``time`` and not before; FOREVER: not at all."""
        if time > self.deadline:
            self.due.stale = True
        self.deadline = time
        self.due.at(time)

    def poll(self, now: int) -> None:
        """Do what is due at ``now``, and wait anew."""
        raise NotImplementedError
