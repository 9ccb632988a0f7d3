"""What one run of the demo has found out: measured rows, captures, what failed. The report and ``--json`` show it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from netlab.bench.ending import Ending
from netlab.bench.environment import Environment
from netlab.bench.results import Ratio, Row, ratios


@dataclass(frozen=True)
class Failure:
    """A step that could not be done, why, and what to do."""

    step: str
    message: str
    remedy: str


@dataclass
class Findings:
    """All that a run has found out so far; what the report shows."""

    environment: Environment
    rows: Sequence[Row] = ()
    versions: dict[str, str] = field(default_factory=dict)
    captures: dict[str, dict[str, Any]] = field(default_factory=dict)
    comparison: dict[str, Any] | None = None
    replay: dict[str, Any] | None = None
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    ended: Ending = field(default_factory=Ending)  # before its time, by this

    def ratios(self) -> list[Ratio]:
        """Node over Linux, point by point."""
        return ratios(self.rows, "node", "linux")

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "environment": self.environment.as_dict(),
            "versions": self.versions,
            "rows": [asdict(row) for row in self.rows],
            "ratios": [asdict(ratio) for ratio in self.ratios()],
            "captures": self.captures,
            "comparison": self.comparison,
            "replay": self.replay,
            "failures": [asdict(failure) for failure in self.failures],
            "seconds": round(self.seconds, 1),
        }
