"""The bench and the demo through their real code, with a second Linux memcached where the node would be."""

import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from netlab import demo, namespaces, plot
from netlab.bench import sampling, session, sockets, targets
from netlab.bench.memcaslap import Load, LoadError
from netlab.bench.runner import SERVER_CPU, off_the_server_core
from netlab.lab import Lab, running
from netlab.topology import Machine, Topology

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="a server and a client need a CPU each"),
]

TWO_SERVERS = Topology(
    network="198.18.0.0/16",
    hosts=(Machine("client", "198.18.0.1"), Machine("server", "198.18.0.2"), Machine("other", "198.18.0.4")),
    nodes=(Machine("node", "198.18.0.3"),),
)


def start_other(lab: Lab, cpu: int, **_: object) -> targets.Target:
    return targets.start_linux(lab, cpu, machine="other", name="node")


def silent(*_: object) -> None:
    """No progress bar."""


@pytest.fixture
def _nothing_left() -> Any:
    yield
    assert not [record for record in running() if record.owner is not None and record.owner.pid == os.getpid()]


@pytest.mark.usefixtures("_nothing_left")
@pytest.mark.parametrize("cpu_mode", ["own-core", "shared"])
def test_one_round_of_two_linux_servers(cpu_mode: str) -> None:
    starters: dict[str, session.Starter] = {"node": start_other, "linux": targets.start_linux}
    plan = session.Plan(("node", "linux"), (Load(16, 32),), 1, 1, cpu_mode, starters)
    outcome = session.run(plan, silent, TWO_SERVERS)
    assert [row.target for row in outcome.rows] == ["node", "linux"]
    for row in outcome.rows:
        assert row.errors == 0
        assert row.requests_per_s > 1000
        assert 0.5 < row.server_core_us_per_request < 1000
        assert 0.0 < row.client_core_busy <= 1.0
    (ratio,) = outcome.ratios
    assert 0.1 < ratio.requests_per_s < 10
    assert outcome.versions["node"] == outcome.versions["linux"] == outcome.environment.memcached
    document = json.loads(json.dumps(outcome.document()))
    assert list(document["rows"][0]) == [
        "target",
        "concurrency",
        "payload",
        "round",
        "requests_per_s",
        "server_core_us_per_request",
        "client_core_busy",
        "errors",
    ]


@pytest.mark.usefixtures("_nothing_left")
def test_nothing_is_under_way_when_a_server_of_many_connections_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    """GETs that the flush for the next interval overtook were misses: errors of the node, 10 to 97 at a time."""
    connections = []
    flush = targets.Target.flush

    def looking(target: targets.Target) -> None:
        table = namespaces.run_in(target.client.namespace, Path("/proc/thread-self/net/tcp").read_text)
        connections.append(sockets.established_to(table, sockets.text_of(target.address, target.port)))
        flush(target)

    monkeypatch.setattr(targets.Target, "flush", looking)
    outcome = session.run(session.Plan(("node",), (Load(1024, 32),), 1, 3, "own-core"), silent)
    assert outcome.ended.error is None
    assert connections == [0, 0, 0]
    assert [row.errors for row in outcome.rows] == [0, 0, 0]


@pytest.mark.usefixtures("_nothing_left")
def test_a_server_that_dies_is_named() -> None:
    def start_and_kill(lab: Lab, cpu: int) -> targets.Target:
        target = targets.start_linux(lab, cpu)
        threading.Timer(0.5, target.process.kill).start()
        return target

    plan = session.Plan(("linux",), (Load(16, 32),), 2, 1, "own-core", {"linux": start_and_kill})
    ended = session.run(plan, silent).ended.error
    assert isinstance(ended, targets.TargetError)
    assert "linux has ended with exit code -9" in ended.message


@pytest.mark.usefixtures("_nothing_left")
def test_a_server_that_stops_answering_is_an_error_of_the_load() -> None:
    def start_and_freeze(lab: Lab, cpu: int) -> targets.Target:
        target = targets.start_linux(lab, cpu)
        threading.Timer(0.5, target.process.send_signal, [signal.SIGSTOP]).start()
        return target

    plan = session.Plan(("linux",), (Load(16, 32),), 1, 1, "own-core", {"linux": start_and_freeze})
    ended = session.run(plan, silent).ended.error
    assert isinstance(ended, LoadError)
    assert "linux, 16 connections, 32 bytes, round 1" in ended.message


@pytest.mark.usefixtures("_nothing_left")
def test_ctrl_c_leaves_nothing_but_the_rounds_that_were_done() -> None:
    def interrupt(done: int, of: int, what: str) -> None:
        if done == 1:
            threading.Timer(0.7, os.kill, [os.getpid(), signal.SIGINT]).start()

    plan = session.Plan(("linux",), (Load(16, 32),), 1, 3, "own-core")
    outcome = session.run(plan, interrupt)
    assert isinstance(outcome.ended.error, KeyboardInterrupt)
    assert [row.round for row in outcome.rows] == [1]
    assert outcome.document()["ended_by"] == "it was interrupted"
    children = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False).stdout
    assert not [pid for pid in children.split() if b"memca" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_recorded_run_compares_equal_and_replays(tmp_path: Path) -> None:
    with Lab.create(TWO_SERVERS) as lab, off_the_server_core():
        servers = [start_other(lab, SERVER_CPU), targets.start_linux(lab, SERVER_CPU)]
        paths = [tmp_path / f"{server.name}.pcapng" for server in servers]
        for server, path in zip(servers, paths, strict=True):
            assert sampling.record(lab, server, path, tmp_path).packets > sampling.REQUESTS
        comparison = sampling.compared(*paths)
        assert comparison.notes == []
        assert not [row for row in comparison.differing() if "handshake" in row.section]
        assert sampling.replayed(paths[1], servers[0]).all_equal()
        for server in servers:
            server.stop()


@pytest.mark.usefixtures("_nothing_left")
def test_demo_keeps_what_was_measured_when_a_step_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CONCURRENCIES": (16,), "PAYLOADS": (64,), "LAYER_CONCURRENCIES": (16,), "ROUNDS": 1}.items():
        monkeypatch.setattr(demo, name, value)
    create = Lab.create
    monkeypatch.setattr(Lab, "create", lambda: create(TWO_SERVERS))
    findings = demo.run(tmp_path / "run", silent, start_other)
    # A Linux server knows no SIGUSR1 and has no layers: it ends, and that step fails.
    assert [failure.step for failure in findings.failures] == ["layers"]
    assert findings.replay is not None
    assert findings.replay["all_equal"]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "results.csv",
        "environment.json",
        "comparison.json",
        "replay.json",
        "node.pcapng",
        "node.pcapng.json",
        "linux.pcapng",
        "linux.pcapng.json",
        "figure4.png",
        "figure6.png",
        "report.html",
    }
    assert [path.name for path in plot.redraw(tmp_path / "run")] == ["figure4.png", "figure6.png"]
    assert len(findings.ratios()) == 2
