"""Rows, medians, paired ratios, and the CSV they live in."""

from dataclasses import replace
from pathlib import Path

import pytest

from netlab.bench.results import ResultsError, Row, ratios, read_csv, summarize, to_csv


def row(target: str, number: int, rate: float, cost: float = 5.0, **changes: object) -> Row:
    made = Row("bench", target, 64, 32, number, rate, cost, 0.9, 0)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_summary_is_the_median_and_the_extremes() -> None:
    rows = [row("node", 1, 100, 6, errors=1), row("node", 2, 300, 4, errors=2), row("node", 3, 120, 5)]
    (summary,) = summarize(rows)
    assert (summary.rounds, summary.errors) == (3, 3)
    assert (summary.requests_per_s, summary.requests_per_s_min, summary.requests_per_s_max) == (120, 100, 300)
    assert summary.server_core_us_per_request == 5
    assert summary.server_core_us_per_request_min == 4
    assert summary.server_core_us_per_request_max == 6


def test_points_are_kept_apart() -> None:
    rows = [row("node", 1, 1), row("linux", 1, 1), row("node", 1, 1, payload=64), row("node", 1, 1, concurrency=1)]
    assert len(summarize(rows)) == 4


def test_ratio_is_the_median_of_pairs_not_a_ratio_of_medians() -> None:
    rows = [
        *(row("node", number, rate) for number, rate in enumerate([200, 90, 400])),
        *(row("linux", number, rate) for number, rate in enumerate([100, 100, 300])),
    ]
    (ratio,) = ratios(rows, "node", "linux")
    assert ratio.pairs == 3
    assert ratio.requests_per_s == pytest.approx(400 / 300)  # of 2.0, 0.9, 1.33; medians would give 2.0


def test_a_round_without_its_pair_does_not_count() -> None:
    rows = [row("node", 1, 100), row("linux", 1, 50), row("node", 2, 1000)]
    (ratio,) = ratios(rows, "node", "linux")
    assert (ratio.pairs, ratio.requests_per_s) == (1, 2.0)
    assert ratios(rows[:1], "node", "linux") == []


def test_csv_round_trip(tmp_path: Path) -> None:
    rows = [
        row("node", 1, 123456.789, 4.25, errors=3),
        row("node", 1, 1.0, device_us=1.5, driver_us=0.25, stack_us=0.5, application_us=0.125, experiment="layers"),
    ]
    path = tmp_path / "results.csv"
    path.write_text(to_csv(rows))
    assert read_csv(path) == rows


def test_csv_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="No such file"):
        read_csv(tmp_path / "results.csv")
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with pytest.raises(ResultsError, match="first line"):
        read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize("bad", ["bench,node,sixty,32,1,1.0,1.0,0.9,0,,,,", "bench,node,64,32"])
def test_csv_error_names_the_line(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(to_csv([row("node", 1, 1.0)]) + bad + "\n")
    with pytest.raises(ResultsError, match="line 3"):
        read_csv(path)
