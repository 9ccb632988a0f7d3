"""A lab with a running node, for the live tests: made once per test module that asks for it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from netlab.lab import Lab, Tap

PORT = 11211


class RunningNode:
    """A node process in a lab, and the lab's client beside it."""

    def __init__(self, lab: Lab, process: "subprocess.Popen[str]", statistics: Path) -> None:
        self.lab = lab
        self.process = process
        self.address = lab.taps["node"].address
        self.client = lab.hosts["client"]
        self._statistics = statistics

    def statistics(self) -> dict[str, Any]:
        """The node's counters as of now."""
        self._statistics.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while not self._statistics.exists():
            assert self.process.poll() is None, "the node is gone"
            assert time.monotonic() < deadline, "the node wrote no statistics"
            time.sleep(0.01)
        return json.loads(self._statistics.read_text())  # type: ignore[no-any-return]

    def statistics_once(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 5.0) -> dict[str, Any]:
        """The node's counters as soon as they meet the condition, which has to be within so many seconds."""
        deadline = time.monotonic() + seconds
        while not condition(counted := self.statistics()):
            assert time.monotonic() < deadline, f"it did not come about in {seconds:g} s: {counted}"
        return counted

    def resident_bytes(self) -> int:
        """What the node's process has in memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")

    def in_client(self, script: str, *arguments: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a Python script on the client, our own modules importable."""
        return self.client.run(  # type: ignore[no-any-return]
            [sys.executable, "-c", script, self.address, *arguments],
            timeout=timeout,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )


def node_command(tap: Tap, *options: str) -> list[str]:
    """The command line of a node on a lab's TAP."""
    where = ["--tap", tap.name, "--ip", f"{tap.address}/{tap.prefix_length}"]
    return [sys.executable, "-m", "netlab.cli", "node", "run", "memcached", *where, *options]


@contextlib.contextmanager
def running_node(tmp_path: Path, *options: str) -> Iterator[RunningNode]:
    """Boot memcached on a node in a lab of its own; both are gone afterwards."""
    statistics = tmp_path / "node.json"
    with Lab.create() as lab:
        argv = node_command(lab.taps["node"], "--statistics", str(statistics), *options)
        process = lab.node_popen("node", argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready"), "the node did not start"
        yield RunningNode(lab, process, statistics)
        process.terminate()
        assert process.wait(timeout=10) == 0
        process.stdout.close()
