"""What ``netlab bench runtime`` and ``transfer`` find: figures, each the median of rounds, held against a target."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from netlab.bench.ending import Ending
from netlab.bench.environment import Environment


@dataclass(frozen=True)
class Figure:
    """One measured thing: median, least and greatest of ``rounds``, in ``unit``.

    What is compared is one over the other, measured side by side in each round: ``ratio`` is the median of the
    rounds' own ratios, ``against`` what it is over. ``target`` is the most that the median, or the ratio, may be; or
    the least, with ``at_least``.
    """

    name: str
    unit: str
    rounds: int
    median: float
    least: float
    greatest: float
    target: float | None = None
    against: str = ""
    baseline: float | None = None
    ratio: float | None = None
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None without one, and where nothing could be compared."""
        if self.target is None or (self.baseline is not None and self.ratio is None):
            return None
        value = self.median if self.ratio is None else self.ratio
        return value >= self.target if self.at_least else value <= self.target


def figure(name: str, unit: str, values: Sequence[float], target: float | None = None) -> Figure:
    """The figure that rounds of one thing come to."""
    return Figure(name, unit, len(values), statistics.median(values), min(values), max(values), target)


def compared(
    name: str,
    unit: str,
    values: Sequence[float],
    against: str,
    others: Sequence[float],
    target: float | None = None,
    *,
    at_least: bool = False,
) -> Figure:
    """The figure of rounds in which two things were measured.

    Rounds in which the other came to nothing say nothing of the ratio: a short interval may hold no tick of the
    kernel's clock by which a core was busy.
    """
    ratios = [one / other for one, other in zip(values, others, strict=True) if other]
    return Figure(
        name,
        unit,
        len(values),
        statistics.median(values),
        min(values),
        max(values),
        target,
        against,
        statistics.median(others),
        statistics.median(ratios) if ratios else None,
        at_least,
    )


@dataclass(frozen=True)
class Outcome:
    """All figures of a run, where it was made, and what ended it before its time."""

    figures: Sequence[Figure]
    environment: Environment
    ended: Ending = field(default_factory=Ending, kw_only=True)

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "figures": [{**asdict(each), "is_met": each.is_met} for each in self.figures],
            "environment": self.environment.as_dict(),
            "ended_by": self.ended.reason,
        }
