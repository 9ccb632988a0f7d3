"""The order of measuring, and what two moments come to."""

import os
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest

from netlab.bench import runner, sockets
from netlab.bench.layers import layer_times
from netlab.bench.memcaslap import FinalReport, Load, LoadError, SilentLoadError
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


class FakeLoad:
    """A load of which the first so many fall silent; it notes what is done with it."""

    silent = 0
    events: ClassVar[list[str]] = []

    def __init__(self, *_: object) -> None:
        self.events.append("start")

    def wait_for_second(self, second: int) -> int:
        if FakeLoad.silent:
            FakeLoad.silent -= 1
            raise SilentLoadError("memcaslap did not report for 3 s")
        return 1000 * second

    def require_pinned(self) -> None: ...

    def why_silent(self) -> str:
        return ": it reports only while all 2 connections are open, and 1 are"

    def wait_until_answered(self) -> None:
        self.events.append("answered")

    def finish(self) -> FinalReport:
        return FinalReport(9, 1, 0, 0, 10)

    def abandon(self) -> None:
        self.events.append("abandon")


def a_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: int) -> tuple[runner.Runner, Target]:
    monkeypatch.setattr(runner, "RunningLoad", FakeLoad)
    monkeypatch.setattr(FakeLoad, "silent", silent)
    monkeypatch.setattr(FakeLoad, "events", [])
    monkeypatch.setattr(runner.cpu, "sample", lambda: stat(1, 1, 2))
    flush = partial(FakeLoad.events.append, "flush")
    target = SimpleNamespace(name="node", require_alive=lambda: None, flush=flush)
    lab = SimpleNamespace(hosts={"client": None})
    return runner.Runner(cast(Any, lab), tmp_path), cast(Target, target)


def test_a_store_is_emptied_when_the_last_reply_has_come(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measuring, target = a_runner(monkeypatch, tmp_path, silent=0)
    with measuring:
        for number in (1, 2):
            measuring.measure("bench", target, Load(2, 32), number, 1)
    assert FakeLoad.events == ["flush", "start", "answered", "flush", "start"]
    assert [row.round for row in measuring.rows] == [1, 2]


def test_a_load_that_falls_silent_is_run_anew_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measuring, target = a_runner(monkeypatch, tmp_path, silent=1)
    with measuring:
        measuring.measure("bench", target, Load(2, 32), 1, 1)
    assert len(measuring.rows) == 1
    assert measuring.notes == [
        "node, 2 connections, 32 bytes, round 1: measured anew, because memcaslap did not report for 3 s: "
        "it reports only while all 2 connections are open, and 1 are"
    ]
    measuring, target = a_runner(monkeypatch, tmp_path, silent=2)
    with pytest.raises(LoadError, match="round 1: memcaslap did not report for 3 s: it reports only while all 2"):
        measuring.measure("bench", target, Load(2, 32), 1, 1)
    assert FakeLoad.events.count("abandon") == 2


def test_the_row_before_an_interruption_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measuring, target = a_runner(monkeypatch, tmp_path, silent=0)
    measuring.measure("bench", target, Load(2, 32), 1, 1)
    with pytest.raises(KeyboardInterrupt), measuring:
        raise KeyboardInterrupt
    assert len(measuring.rows) == 1


def test_connections_of_the_kernels_table() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    table = head + "".join(
        f"   {number}: 010012C6:{4000 + number:04X} {remote} {state} 00000000:00000000 00:00000000 00000000 0 0 7\n"
        for number, (remote, state) in enumerate(
            [("030012C6:2BCB", "01"), ("030012C6:2BCB", "02"), ("030012C6:2BCA", "01"), ("030012C6:2BCB", "01")]
        )
    )
    remote = sockets.text_of("198.18.0.3", 11211)
    if sys.byteorder == "little":
        assert remote == "030012C6:2BCB"
        assert sockets.established_to(table, remote) == 2
    assert sockets.established_to(head, remote) == 0


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
