"""Events that run too long, named: while one runs, its core answers nobody (paper section 2.2)."""

import functools
import logging

logger = logging.getLogger(__name__)

WARNING_INTERVAL = 1_000_000_000  # ns; in between they are counted only


def describe(origin: object) -> str:
    """What an event ran, as a name one can search the source for."""
    if isinstance(origin, list):
        return ", ".join(describe(one) for one in origin)
    if isinstance(origin, functools.partial):
        return describe(origin.func)
    named = origin if hasattr(origin, "__qualname__") else type(origin)
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else str(named.__qualname__)


class LongEvents:
    """How many events of a core ran too long, and the worst of them."""

    def __init__(self) -> None:
        self.count = 0
        self.worst = ""
        self.worst_time = 0
        self._next_warning = 0
        self._unsaid = 0

    def note(self, origin: object, time: int, now: int) -> None:
        """``origin`` ran for ``time`` ns without ending or blocking."""
        name = describe(origin)
        self.count += 1
        if time > self.worst_time:
            self.worst_time = time
            self.worst = name
        if now < self._next_warning:
            self._unsaid += 1
            return
        others = f"; {self._unsaid} others since the last warning" if self._unsaid else ""
        logger.warning("an event of %s ran %d ms: nothing else could%s", name, time // 1_000_000, others)
        self._next_warning = now + WARNING_INTERVAL
        self._unsaid = 0
