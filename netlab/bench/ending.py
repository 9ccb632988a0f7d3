"""A measurement that ends before its time keeps what it has: the rounds done are shown, then what ended it is told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from netlab.errors import NetlabError


@dataclass
class Ending:
    """What ended a measurement; ``error`` is None when it came to its end."""

    error: BaseException | None = None

    @property
    def reason(self) -> str | None:
        """The same in words, for the JSON form."""
        if isinstance(self.error, NetlabError):
            return self.error.message
        return None if self.error is None else "it was interrupted"


@contextmanager
def ending() -> Iterator[Ending]:
    """Keep what is measured in the body when an error, Ctrl-C or SIGTERM ends it: that is noted, not raised.

    Other exceptions are faults of ours and pass.
    """
    noted = Ending()
    try:
        yield noted
    except (NetlabError, KeyboardInterrupt, SystemExit) as error:
        noted.error = error
