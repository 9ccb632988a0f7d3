"""The event loop of a core under virtual time: it never waits, and whoever runs the clock runs the loop.

Many such loops live in one process. Each is entered (``ebb.Core.enter``) and told to ``settle`` when something has
come for its core or its deadline is there, and does all that follows at that instant of its clock, in the order of
``EventManager``; then the clock may go on.
"""

from ebbrt.clock import Clock
from ebbrt.constants import FOREVER
from ebbrt.events.event_manager import EventManager
from ebbrt.events.interrupts import Vectors

MOST_TURNS = 1_000_000  # without coming to rest; a core that needs more at one instant never will


class RestlessError(RuntimeError):
    """An event or idle handler keeps the loop turning for ever, and no time would ever pass."""


class VirtualEventManager(EventManager):
    """An Event Manager for a core without file descriptors, on a clock that stands still while it runs.

    stopped: ``stop`` was called, which on a node of its own ends the node.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, Vectors())
        self.stopped = False
        self._at_rest = False

    def settle(self) -> int:
        """Turn until nothing is left to do now, or ``stop``; when there will be something again, or FOREVER.

        Raises RestlessError when that does not come about.
        """
        self._at_rest = False
        self._start(MOST_TURNS)
        if self.stopped:
            return FOREVER
        if not self._at_rest:
            raise RestlessError(f"a core does not come to rest at {self.now} ns: does an idle handler never end?")
        return self._next_deadline()

    def stop(self) -> None:
        """See EventManager."""
        self.stopped = True
        super().stop()

    def _halt(self) -> None:
        """See EventManager: at rest until somebody settles it again."""
        self.halts += 1
        self._at_rest = True
        self._turns_left = 0
