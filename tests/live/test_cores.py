"""Nodes of two and of four cores on real TAPs of several queues: which core does what, and how they end together."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netlab.lab import Lab
from tests.live.node_lab import RunningNode, node_command

pytestmark = pytest.mark.live
CLIENT = Path(__file__).with_name("cores_client.py")


class CoresNode(RunningNode):
    """A running node of ``cores`` cores."""

    def __init__(self, lab: Lab, process: "subprocess.Popen[str]", statistics: Path, cores: int) -> None:
        super().__init__(lab, process, statistics)
        self.cores = cores

    def client_does(self, what: str) -> dict[str, Any]:
        """Run one function of ``cores_client`` on the client; what it returns."""
        result = self.client.run(
            [sys.executable, str(CLIENT), what, self.address, str(self.cores), self.client.address],
            timeout=30,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return dict(json.loads(result.stdout))

    def processes(self) -> list[int]:
        """Core 0 and the cores it forked."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [self.process.pid, *map(int, children.split())]


@pytest.fixture(scope="module", params=[2, 4])
def node(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoresNode]:
    statistics = tmp_path_factory.mktemp("cores") / "node.json"
    with Lab.create() as lab:
        tap = lab.taps["node"]
        where = [tap.name, f"{tap.address}/{tap.prefix_length}", str(request.param), str(statistics)]
        process = lab.node_popen(
            "node",
            [sys.executable, str(CLIENT.with_name("cores_application.py")), *where],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        running = CoresNode(lab, process, statistics, request.param)
        processes = running.processes()
        yield running
        process.terminate()
        assert process.wait(timeout=10) == 0
        process.stdout.close()
        assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
        assert len(json.loads(statistics.read_text())["cores"]) == request.param


def test_every_core_accepts_connections_and_they_stay(node: CoresNode) -> None:
    before = node.statistics()
    accepted = node.client_does("connections_are_spread")
    after = node.statistics()
    assert set(accepted) == {str(core) for core in range(node.cores)}
    assert sum(accepted.values()) == 64
    for core in range(node.cores):
        opened = [s["cores"][core]["stack"]["tcp"]["connections"]["passive_opens"] for s in (before, after)]
        assert opened[1] - opened[0] == accepted[str(core)]
    assert after["control"] == {"pairs": node.cores, "commands": 1, "refused": 0, "ring_errors": 0}


def test_flows_that_the_kernel_forgot_find_their_core(node: CoresNode) -> None:
    """Connections out of each core, and to ports of one core, are silent for longer than the kernel remembers."""
    before = node.statistics()
    node.client_does("silent_flows_go_on")
    after = node.statistics()
    assert after["stack"]["steering"]["handed_over"] > before["stack"]["steering"]["handed_over"]
    assert after["stack"]["tcp"]["segments"]["resets_sent"] == before["stack"]["tcp"]["segments"]["resets_sent"]
    for core in after["cores"]:
        assert core["stack"]["tcp"]["connections"]["active_opens"] >= 4
        assert core["stack"]["arp"]["neighbours"] >= 1


def test_datagrams_find_the_core_that_has_the_port(node: CoresNode) -> None:
    node.client_does("datagrams_to_ports_of_one_core")


def test_what_nobody_has_is_refused_once(node: CoresNode) -> None:
    node.client_does("closed_ports_refuse")


def test_an_error_finds_the_core_whose_datagram_it_is_about(node: CoresNode) -> None:
    node.client_does("each_core_sends_to_a_closed_port")
    assert [core["lines"]["undelivered"] for core in node.statistics()["cores"]] == [1] * node.cores


def test_arp_and_ping_are_answered_once(node: CoresNode) -> None:
    assert node.client_does("ask_by_arp") == {"answers": 3}
    pings = node.client.run(
        ["ping", "-c", "5", "-i", "0.02", "-W", "2", node.address], capture_output=True, text=True, check=True
    )
    assert "5 received" in pings.stdout
    assert "DUP" not in pings.stdout


def node_process(lab: Lab, *options: str) -> "subprocess.Popen[str]":
    process = lab.node_popen(
        "node", node_command(lab.taps["node"], *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready"), process.communicate()[1]
    return process


def gone(pids: list[int]) -> bool:
    """Whether none of the processes is left after at most two seconds."""
    deadline = time.monotonic() + 2
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_cores_live_and_die_together_and_the_tap_is_free_again(tmp_path: Path) -> None:
    with Lab.create() as lab:
        process = node_process(lab, "--cores", "4", "--cpus", "0,1")
        pids = CoresNode(lab, process, tmp_path / "none", 4).processes()
        os.kill(pids[2], signal.SIGKILL)
        _, said = process.communicate(timeout=10)
        assert process.returncode == 1
        assert "core 2 of the node was ended by SIGKILL" in said
        assert "Traceback" not in said
        assert gone(pids)

        process = node_process(lab, "--cores", "3")
        pids = CoresNode(lab, process, tmp_path / "none", 3).processes()
        os.kill(pids[0], signal.SIGKILL)
        process.communicate(timeout=10)
        assert gone(pids), "cores outlived core 0"

        process = node_process(lab)  # one queue of the same TAP
        second = lab.node_popen("node", node_command(lab.taps["node"]), stderr=subprocess.PIPE, text=True)
        assert "Another process is attached to it" in second.communicate(timeout=10)[1]
        lab.switch.run(["ip", "link", "delete", "node"], check=True)
        process.communicate(timeout=10)

        lab.switch.run(["ip", "tuntap", "add", "node", "mode", "tap", "vnet_hdr"], check=True)
        one_queue = lab.node_popen(
            "node", node_command(lab.taps["node"], "--cores", "2"), stderr=subprocess.PIPE, text=True
        )
        assert "is made for one queue" in one_queue.communicate(timeout=10)[1]


def test_a_deleted_tap_ends_all_cores_with_its_reason(tmp_path: Path) -> None:
    with Lab.create() as lab:
        process = node_process(lab, "--cores", "2")
        pids = CoresNode(lab, process, tmp_path / "none", 2).processes()
        lab.switch.run(["ip", "link", "delete", "node"], check=True)
        _, said = process.communicate(timeout=10)
        assert process.returncode == 1
        assert "TAP node was deleted" in said
        assert gone(pids)


def test_memcached_serves_from_all_cores(tmp_path: Path) -> None:
    with Lab.create() as lab:
        statistics = tmp_path / "node.json"
        process = node_process(lab, "--cores", "2", "--cpus", "0,1", "--statistics", str(statistics))
        running = CoresNode(lab, process, statistics, 2)
        result = running.client.run(
            ["memcaslap", "--binary", "-s", f"{running.address}:11211", "-T", "1", "-c", "64", "-t", "2s",
             "--verify=1.0"],
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr
        figures = dict(line.split(":", 1) for line in result.stdout.splitlines() if line.count(":") == 1)
        assert figures["verify_failed"].strip() == figures["get_misses"].strip() == "0", result.stdout
        counted = running.statistics()
        assert all(core["memcached"]["sessions"]["opened"] > 0 for core in counted["cores"])
        assert all(core["memcached"]["served_for_others"] > 0 for core in counted["cores"])
        assert counted["memcached"]["sessions"]["opened"] == 64
        capable = running.client.run(
            ["memccapable", "-b", "-h", running.address], capture_output=True, text=True, timeout=60
        )
        assert capable.stdout.splitlines()[-1] == "All tests passed", capable.stdout
        pids = running.processes()
        process.terminate()
        process.communicate(timeout=10)
        assert process.returncode == 0
        assert gone(pids)
