"""Rows of measurements: their shape, their medians, their ratios, and the CSV they live in.

A row is one measured interval of one target. A ratio is always of a pair, two rows of one round, measured right
after one another; the median is of the pairs' ratios, not a ratio of medians.
"""

import csv
import io
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from netlab.errors import NetlabError

LAYERS = ("device", "driver", "stack", "application")


class ResultsError(NetlabError):
    """A results file that cannot be understood."""


@dataclass(frozen=True)
class Row:
    """One measured interval.

    `experiment` says what varies and how the links were: ``concurrency`` (unshaped links), ``payload`` (1 Gb/s
    links), ``layers`` (the node measures itself) or ``bench``. `client_core_busy` is a share, 0 to 1. The times of
    the layers, in microseconds per request, are there in ``layers`` rows only.
    """

    experiment: str
    target: str
    concurrency: int
    payload: int
    round: int
    requests_per_s: float
    server_core_us_per_request: float
    client_core_busy: float
    errors: int
    device_us: float | None = None
    driver_us: float | None = None
    stack_us: float | None = None
    application_us: float | None = None


@dataclass(frozen=True)
class Summary:
    """The rounds of one target at one point: median, least and greatest."""

    experiment: str
    target: str
    concurrency: int
    payload: int
    rounds: int
    requests_per_s: float
    requests_per_s_min: float
    requests_per_s_max: float
    server_core_us_per_request: float
    server_core_us_per_request_min: float
    server_core_us_per_request_max: float
    client_core_busy: float
    errors: int


@dataclass(frozen=True)
class Ratio:
    """Median over rounds of `target` divided by `baseline`, at one point."""

    experiment: str
    target: str
    baseline: str
    concurrency: int
    payload: int
    pairs: int
    requests_per_s: float
    server_core_us_per_request: float


def summarize(rows: Iterable[Row]) -> list[Summary]:
    """One Summary for each target at each point, in the order in which they first appear."""
    points: dict[tuple[str, str, int, int], list[Row]] = defaultdict(list)
    for row in rows:
        points[row.experiment, row.target, row.concurrency, row.payload].append(row)
    summaries = []
    for point, measured in points.items():
        rates = [row.requests_per_s for row in measured]
        costs = [row.server_core_us_per_request for row in measured]
        summaries.append(
            Summary(
                *point,
                rounds=len(measured),
                requests_per_s=statistics.median(rates),
                requests_per_s_min=min(rates),
                requests_per_s_max=max(rates),
                server_core_us_per_request=statistics.median(costs),
                server_core_us_per_request_min=min(costs),
                server_core_us_per_request_max=max(costs),
                client_core_busy=statistics.median(row.client_core_busy for row in measured),
                errors=sum(row.errors for row in measured),
            )
        )
    return summaries


def ratios(rows: Iterable[Row], target: str, baseline: str) -> list[Ratio]:
    """`target` over `baseline` for each point at which at least one round has both."""
    by_point: dict[tuple[str, int, int], dict[int, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    for row in rows:
        by_point[row.experiment, row.concurrency, row.payload][row.round][row.target] = row
    result = []
    for (experiment, concurrency, payload), rounds in by_point.items():
        pairs = [(both[target], both[baseline]) for both in rounds.values() if target in both and baseline in both]
        if pairs:
            rate = statistics.median(a.requests_per_s / b.requests_per_s for a, b in pairs)
            cost = statistics.median(a.server_core_us_per_request / b.server_core_us_per_request for a, b in pairs)
            result.append(Ratio(experiment, target, baseline, concurrency, payload, len(pairs), rate, cost))
    return result


def to_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV with a header; an absent value is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: "" if value is None else value for key, value in asdict(row).items()})
    return text.getvalue()


def read_csv(path: Path) -> list[Row]:
    """The rows of a ``results.csv``. Raises ResultsError with the line of what cannot be understood."""
    try:
        text = path.read_text()
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}. A run's folder holds a results.csv") from error
    reader = csv.DictReader(io.StringIO(text))
    wanted = [field.name for field in fields(Row)]
    if reader.fieldnames != wanted:
        raise ResultsError(f"{path}: the first line must name the columns {','.join(wanted)}")
    rows = []
    for record in reader:
        try:
            rows.append(_row(record))
        except (TypeError, ValueError) as error:
            raise ResultsError(f"{path}, line {reader.line_num}: {error}") from error
    return rows


def read_document(path: Path, experiment: str) -> list[Row]:
    """The rows of what ``netlab bench memcached --json`` wrote, as rows of `experiment`. Raises ResultsError."""
    try:
        rows = json.loads(path.read_text())["rows"]
        return [Row(experiment=experiment, **row) for row in rows]
    except OSError as error:
        raise ResultsError(f"cannot read {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{path} is not what `netlab bench memcached --json` writes: {error}") from error


def _row(record: dict[str, str]) -> Row:
    layers = {name: float(record[name]) if record[name] else None for name in (f"{layer}_us" for layer in LAYERS)}
    return Row(
        experiment=record["experiment"],
        target=record["target"],
        concurrency=int(record["concurrency"]),
        payload=int(record["payload"]),
        round=int(record["round"]),
        requests_per_s=float(record["requests_per_s"]),
        server_core_us_per_request=float(record["server_core_us_per_request"]),
        client_core_busy=float(record["client_core_busy"]),
        errors=int(record["errors"]),
        **layers,
    )
