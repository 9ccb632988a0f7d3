"""The matrix of transfers: which there are, and what a client's output comes to."""

import io
import json

import pytest
from rich.console import Console

from netlab.bench.matrix import Case, Matrix, MatrixError, Result, _result
from netlab.bench.show import matrix_table

CASE = Case("node-linux", "get", 1024, "clean")
SAID = {"bytes": 1024, "seconds": 0.5, "failure": "", "equal": True}


def failure_of(**said: object) -> str:
    return _result(CASE, "ready\n" + json.dumps({**SAID, **said}) + "\n", "", 0).failure


def test_the_full_matrix_has_every_combination_once():
    cases = Matrix().cases()
    assert len(cases) == len(set(cases)) == 4 * 2 * 3 * 4  # ends, operations, sizes, links
    for pair in ("node-node", "node-linux", "linux-node"):
        for size in (1, 1024, 100_000_000):
            assert len({case.link for case in cases if (case.pair, case.bytes) == (pair, size)}) == 4


def test_a_transfer_succeeds_by_equal_digests_of_all_its_bytes_only():
    assert failure_of() == ""
    assert failure_of(equal=False) == "digests differ"
    assert failure_of(bytes=1023) == "digests differ"
    assert failure_of(failure="reset by peer", equal=False) == "reset by peer"


def test_a_client_that_dies_is_a_failure_with_what_it_said():
    result = _result(CASE, "ready\n", "Traceback\nValueError: no", 3)
    assert "ValueError: no" in result.failure
    assert result.dropped == 3


def test_what_is_not_known_is_refused():
    for wrong in ({"pairs": ["node-mars"]}, {"links": ["wet"]}, {"operations": ["ask"]}):
        with pytest.raises(MatrixError):
            Matrix(**wrong)  # type: ignore[arg-type]


def test_the_table_has_a_line_per_link_and_ends_and_shows_what_went_wrong():
    results = [
        Result(Case("node-node", "get", 1, "clean"), 0.001, "", 0),
        Result(Case("node-node", "get", 1_000_000, "clean"), 0.1, "", 0),
        Result(Case("node-node", "get", 1, "loss"), 30.0, "not done in 30 s", 9),
    ]
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(matrix_table(results, 100))
    lines = [line.split() for line in console.export_text().splitlines() if "node-node" in line]
    assert lines == [
        ["clean", "node-node", "get", "0.001", "s", "0.100", "s", "80", "Mb/s"],
        ["loss", "node-node", "get", "not", "done", "in", "30", "s"],
    ]
