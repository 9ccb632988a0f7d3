"""The table of goodput is what the code does, and what is limited by loss is near the published response functions."""

from collections.abc import Callable

import pytest

from ebbrt import build
from tests.sim.goodput import FRAME, MSS, TABLE, VARIANTS, Cell, cells, cubic, goodput, lines, mathis, row, table

# Between what is measured and what is published, either way. What is published is for losses at equal distances;
# with independent ones a model of Reno that has nothing else gets 1.1 of it, one of CUBIC 1.2.
FACTOR = 1.5
LONG = 30_000_000  # bytes, of which the first third is for slow start and what follows from it
LIMITED_BY_LOSS = [Cell(60, 0.01, 1.0), Cell(200, 0.01, 1.0), Cell(200, 0.003, 1.0)]

compiled = pytest.mark.skipif(build.mode() != "compiled", reason="half a million packets take minutes uncompiled")


@compiled
def test_the_committed_table_is_what_the_code_does() -> None:
    """If it is meant to change: ``python -m tests.sim.goodput > tests/sim/goodput.txt``."""
    assert table({cell: row(cell) for cell in cells()}) == TABLE.read_text()


def test_both_builds_agree_with_the_committed_table() -> None:
    cell = Cell(20, 0.01, 0.25)
    (line,) = [line for line in lines() if line.startswith(row_begins(cell))]
    assert f"{goodput(cell, *VARIANTS[3]):.2f}" == line.split()[-1]


def row_begins(cell: Cell) -> str:
    return f"{cell.rtt:>4} ms {cell.loss:>6.1%} {cell.buffer:>6g} "


@compiled
@pytest.mark.parametrize("cell", LIMITED_BY_LOSS, ids=str)
@pytest.mark.parametrize(("controller", "published"), [("reno", mathis), ("cubic", cubic)])
def test_goodput_limited_by_loss_is_near_the_response_function(
    cell: Cell, controller: str, published: Callable[[Cell], float]
) -> None:
    measured = goodput(cell, controller, sack=True, length=LONG, skip=LONG // 3)
    print(f"{cell} {controller}: {measured:.2f}, published {published(cell):.2f}")
    assert published(cell) / FACTOR < measured < published(cell) * FACTOR


def test_no_transfer_stalls_and_none_is_faster_than_the_link_or_the_loss_allows() -> None:
    for cell, line in zip(cells(), lines(), strict=True):
        figures = [float(figure) for figure in line.split()[4:]]
        assert all(0.2 < figure <= 10 * MSS / FRAME for figure in figures), cell
        if cell.loss:
            assert all(figure < 2 * cubic(cell) for figure in figures), cell
