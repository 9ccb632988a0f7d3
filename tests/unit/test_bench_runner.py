"""The order of measuring, and what two moments come to."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from netlab.bench import runner
from netlab.bench.layers import layer_times
from netlab.bench.memcaslap import Load
from netlab.bench.session import Plan, PlanError, with_further_nodes
from netlab.bench.targets import Target, TargetError, _server_user
from netlab.node_config import NodeError

NODE, LINUX = (cast(Target, SimpleNamespace(name=name)) for name in ("node", "linux"))


def test_rounds_alternate_and_the_order_of_targets_turns() -> None:
    loads = [Load(1, 32), Load(64, 32)]
    order = [
        (number, load.concurrency, target.name) for number, load, target in runner.interleave([NODE, LINUX], loads, 2)
    ]
    assert order == [
        (1, 1, "node"),
        (1, 1, "linux"),
        (1, 64, "node"),
        (1, 64, "linux"),
        (2, 1, "linux"),
        (2, 1, "node"),
        (2, 64, "linux"),
        (2, 64, "node"),
    ]


def stat(server_busy: int, client_busy: int, total: int) -> str:
    """A /proc/stat whose cores have been busy so many ticks of `total`."""
    busy = {runner.SERVER_CPU: server_busy, runner.CLIENT_CPU: client_busy}
    return "".join(f"cpu{cpu} {ticks} 0 0 {total - ticks} 0 0 0 0 0 0\n" for cpu, ticks in sorted(busy.items()))


def test_row_of_an_interval() -> None:
    before = runner.Moment(1000, 10.0, stat(50, 60, 500), {})
    after = runner.Moment(21000, 12.0, stat(150, 260, 700), {})
    row = runner._row("bench", NODE, Load(64, 32), 3, before, after, 7)
    assert (row.target, row.concurrency, row.payload, row.round, row.errors) == ("node", 64, 32, 3, 7)
    assert row.requests_per_s == 10000
    assert row.server_core_us_per_request == pytest.approx(100 / os.sysconf("SC_CLK_TCK") * 1e6 / 20000)
    assert row.client_core_busy == 1.0
    assert row.device_us is None


def test_layers_are_microseconds_per_request() -> None:
    before = runner.Moment(0, 0.0, stat(0, 0, 1), dict.fromkeys(("device", "driver", "stack", "application"), 5000))
    spent = {"device": 25000, "driver": 6000, "stack": 15000, "application": 5500}
    after = runner.Moment(10, 1.0, stat(1, 1, 2), spent)
    row = runner._row("layers", NODE, Load(1, 32), 1, before, after, 0)
    assert (row.device_us, row.driver_us, row.stack_us, row.application_us) == (2.0, 0.1, 1.0, 0.05)


def test_layer_times_of_statistics() -> None:
    layers: dict[str, Any] = {name: {"ns": 7, "entries": 1} for name in ("device", "driver", "stack", "application")}
    assert layer_times({"layers": {**layers, "idle": {"ns": 9}}}) == dict.fromkeys(layers, 7)
    for document in ({}, {"layers": {"device": {"ns": 1}}}, []):
        with pytest.raises(TargetError, match="no time of the layers"):
            layer_times(document)


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": ("node", "foo")},
        {"targets": ()},
        {"targets": ("node", "node")},
        {"rounds": 0},
        {"seconds": 0},
        {"cpu_mode": "mine"},
    ],
)
def test_senseless_plans_are_refused(changes: dict[str, Any]) -> None:
    sound: dict[str, Any] = {
        "targets": ("node", "linux"), "loads": (Load(64, 32),), "seconds": 1, "rounds": 1, "cpu_mode": "own-core"
    }  # fmt: skip
    Plan(**sound)
    with pytest.raises(PlanError):
        Plan(**{**sound, **changes})


def test_memcached_is_nobody_where_there_is_one() -> None:
    assert _server_user("         0          0 4294967295\n") == "nobody"
    assert _server_user("         0       1000          1\n") == "root"


def test_baseline_is_a_node_of_another_checkout(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="not a built checkout"):
        with_further_nodes(tmp_path)
    (tmp_path / "ebbrt").mkdir()
    (tmp_path / "ebbrt" / "_built.json").write_text("{}")
    starters, topology = with_further_nodes(tmp_path)
    Plan(("node", "baseline"), (Load(1, 32),), 1, 1, "own-core", starters)
    assert [node.name for node in topology.nodes] == ["node", "baseline"]
    with pytest.raises(PlanError):
        Plan(("node", "baseline"), (Load(1, 32),), 1, 1, "own-core", with_further_nodes()[0])


def test_another_lookup_is_a_further_target() -> None:
    starters, topology = with_further_nodes(lookup="list")
    assert set(starters) == {"node", "linux", "list"}
    assert [node.name for node in topology.nodes] == ["node", "list"]
    assert set(with_further_nodes(lookup="table")[0]) == {"node", "linux"}
    with pytest.raises(NodeError, match="tree"):
        with_further_nodes(lookup="tree")
