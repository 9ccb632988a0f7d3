"""What the rounds of ``netlab bench transfer`` come to."""

import pytest

from netlab.bench.figures import Figure, compared
from netlab.bench.session import PlanError
from netlab.bench.transfer import Plan, Row, figures


def rows(measure: str, node: list[float], linux: list[float]) -> list[Row]:
    return [
        Row(measure, target, number, value, 1.0, 0.5, 1.0)
        for target, values in (("node", node), ("linux", linux))
        for number, value in enumerate(values, 1)
    ]


def found(node: float, linux: float) -> dict[str, Figure]:
    everything = [row for measure in ("latency", "get", "put") for row in rows(measure, [node], [linux])]
    return {each.name: each for each in figures(everything, ("node", "linux"))}


def test_latency_may_be_a_tenth_more_and_throughput_has_to_be_half():
    slower = found(node=54, linux=50)
    assert slower["idle to first byte"].is_met
    assert slower["from the server"].is_met
    assert not found(node=56, linux=50)["idle to first byte"].is_met
    assert found(node=5, linux=10)["to the server"].is_met
    assert not found(node=4.9, linux=10)["to the server"].is_met


def test_a_ratio_is_of_pairs_of_one_round():
    measured = rows("latency", [10, 20, 90], [10, 40, 30]) + rows("get", [1], [1]) + rows("put", [1], [1])
    latency = figures(measured, ("node", "linux"))[0]
    assert (latency.median, latency.least, latency.greatest) == (20, 10, 90)
    assert latency.baseline == 30
    assert latency.ratio == 1.0  # of 1, 0.5 and 3


def test_rounds_in_which_the_other_came_to_nothing_have_no_ratio():
    figure = compared("core", "s/GB", [1, 2, 3], "linux", [0, 4, 3], 1.5)
    assert (figure.rounds, figure.ratio, figure.is_met) == (3, 0.75, True)
    nothing = compared("core", "s/GB", [1], "linux", [0], 1.5)
    assert (nothing.ratio, nothing.is_met) == (None, None)


def test_core_time_is_for_what_went_over_the_connection():
    assert found(node=4, linux=8)["from the server, its core"].median == 1.0  # half a core, 4 Gb/s: 1 s for 1 GB


def test_one_target_is_compared_with_nothing():
    measured = rows("latency", [10], []) + rows("get", [1], []) + rows("put", [1], [])
    alone = figures(measured, ("node",))
    assert [each.ratio for each in alone] == [None] * 5
    assert [each.is_met for each in alone] == [None] * 5


@pytest.mark.parametrize(("targets", "mode"), [(("node", "node"), "shared"), (("x",), "shared"), (("node",), "x")])
def test_a_plan_that_makes_no_sense_is_refused(targets: tuple[str, ...], mode: str):
    with pytest.raises(PlanError):
        Plan(targets, 1, 1, mode)
