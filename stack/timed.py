"""What a stack's rarer parts have in common that act by themselves: reassembly, address conflict detection, and so on.

A ``Timed`` says in an attribute when it is due, so that the stack can look at all of them, before every halt of the
event loop, at the price of a comparison each.
"""

from ebbrt.constants import FOREVER


class Timed:
    """Something to be polled once ``deadline`` has come: nanoseconds of the stack's clock, or FOREVER."""

    def __init__(self) -> None:
        self.deadline = FOREVER

    def poll(self, now: int) -> None:
        """Do what is due at ``now``, and set ``deadline`` anew."""
        raise NotImplementedError
