"""What came of a script, and how it is shown: a failing one with the expected and the seen packet side by side."""

from dataclasses import asdict, dataclass, field
from typing import Any

from netlab.script import notation
from netlab.script.errors import Position
from netlab.script.packets import Seen
from netlab.script.tree import Event, Packet

PASSED, FAILED, UNSUPPORTED, ERROR = "passed", "failed", "unsupported", "error"
COLUMN = 58  # of the right one of two packets


class Failure(Exception):  # noqa: N818 - an outcome, not an error of ours
    """A run that does not do what its script says, at ``position``: what was wrong, and lines that show it."""

    def __init__(self, position: Position, message: str, details: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.position = position
        self.message = message
        self.details = details


class Unsupported(Exception):  # noqa: N818
    """A run that cannot go on, because its script asks for what is not there."""

    def __init__(self, position: Position, message: str) -> None:
        super().__init__(message)
        self.position = position
        self.message = message


@dataclass
class Report:
    """The outcome of one script. line, column: where it failed; source: what stands there.

    duration: seconds of the script's own time. packets: injected, and seen as expected. notes: what was ignored, or
    failed and was not to end the run.
    """

    path: str
    outcome: str = PASSED
    message: str = ""
    line: int = 0
    column: int = 0
    source: str = ""
    details: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)
    duration: float = 0.0
    events: int = 0
    packets: int = 0

    def document(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)

    def text(self, notes: bool = True) -> str:
        """For a person: one line for a script that passed."""
        lines = [f"{self.path}: {self.outcome}"]
        if self.outcome != PASSED:
            place = f"{self.path}:{self.line}:{self.column}: "
            lines = [f"{place}{self.message}" if self.outcome == FAILED else f"{place}{self.outcome}: {self.message}"]
            if self.source:
                lines.append(f"    {self.source}")
            lines += [f"    {line}" for line in self.details]
        if notes:
            lines += [f"    note: {note}" for note in self.notes]
        return "\n".join(lines)


def side_by_side(event: Event, expected: Packet, seen: Seen, differences: list[str]) -> tuple[str, ...]:
    """The two packets in the script's notation next to each other, and below what differs."""
    left = f"{notation.time(event.time)} {notation.packet(expected)}"
    right = f"{notation.seconds(seen.time)} {notation.packet(seen.packet, expected)}"
    width = max(len(left) + 3, COLUMN)
    return (
        f"{'expected':<{width}}seen",
        f"{left:<{width}}{right}",
        *(f"  {line}" for line in differences),
    )
