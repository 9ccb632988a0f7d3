"""Whatever is killed, and whenever: every future is done within its time limit, and nothing stays behind.

A front-end (``kills_front_end``) has nodes, all of which have operations of every kind under way, all the time
(``kills_traffic``). Meanwhile nodes, their cores, ZooKeeper and the IaaS daemon are killed, or hang, or cannot be
reached, by a plan that is drawn from a seed. More seeds than the few that always run, here 5 to 44:

    sudo env KILLS_SEEDS=5:45 scripts/test.sh tests/live/test_runtime_kills.py

A failure prints the seed, the plan as far as it was carried out, and what the processes said. The plan of a seed is
always the same; what it meets is not, since the processes run in real time: repeat a seed a few times.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from kazoo.client import KazooClient

from ebbrt.node_provider import ADDRESS_VARIABLE, SOCKET_VARIABLE
from netlab import namespaces, registry
from netlab.commands.run import FRONT_END
from netlab.iaas import launch
from netlab.lab import Lab
from netlab.topology import Topology
from tests.live.iaas_lab import Iaas
from tests.live.zookeeper_server import ZooKeeperServer, why_no_zookeeper

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(bool(why_no_zookeeper()), reason=why_no_zookeeper() or "no reason"),
]

SECONDS = 3.5  # of traffic
POOL = 2
SILENCE = 2.5  # seconds after which the daemon takes a node for hung
EXIT_LIMIT = 25.0  # seconds that a front-end has to end when its traffic has: the longest limit, and ZooKeeper's
KINDS = {  # of strikes: how likely each is
    "kill a core": 6,
    "hang a core": 1,
    "zookeeper": 3,  # is killed or hangs; when it does, it goes on
    "cut the network": 1,
}
DAEMON_KINDS = {"kill the daemon": 3, "kill the zygote": 2, "hang the daemon": 2, "leave the daemon alone": 5}
WENT_WRONG = ("Traceback", "nobody looked", "event failed", "continuation failed", "Exception ignored", "Error:")


class Strike(NamedTuple):
    """What is done, and when; ``choice`` from 0 to 1 says to whom, of those there are then."""

    at: float  # seconds after the traffic began
    kind: str
    choice: float


def plan_of(seed: int) -> list[Strike]:
    """The strikes that a seed stands for, in their order."""
    random = Random(seed)
    plan = []
    at = random.uniform(0, 0.5)
    while at < SECONDS:
        kind = random.choices(list(KINDS), list(KINDS.values()))[0]
        plan.append(Strike(at, kind, random.random()))
        at += random.uniform(0.05, 0.9)
    kind = random.choices(list(DAEMON_KINDS), list(DAEMON_KINDS.values()))[0]
    plan.append(Strike(random.uniform(0, SECONDS), kind, random.random()))
    return [*sorted(plan), Strike(SECONDS, random.choice(["revive zookeeper", "leave zookeeper as it is"]), 0.0)]


class Run:
    """One application under fire."""

    def __init__(self, seed: int, lab: Lab, folder: Path) -> None:
        self.seed = seed
        self.lab = lab
        self.host = lab.hosts[FRONT_END.name]
        self.plan = plan_of(seed)
        self.done: list[str] = []  # the strikes so far, in words
        self.struck: set[int] = set()  # numbers of nodes that were killed or hang
        self.daemon = launch.start(lab, launch.config_of(lab, pool=POOL, silence=SILENCE))
        self.iaas = Iaas(lab, self.daemon)
        self.files = folder / "files"
        self.files.mkdir()
        self.zookeeper = ZooKeeperServer(folder, self.host.namespace)
        self.zookeeper_does = "run"
        self.zookeeper.start()
        self.front_end = self._start_front_end()

    def _start_front_end(self) -> "subprocess.Popen[str]":
        options = {"seed": self.seed, "files": self.files, "zookeeper": self.zookeeper.hosts}
        argv = [sys.executable, "-m", "tests.live.kills_front_end"]
        for name, value in options.items():
            argv += [f"--{name}", str(value)]
        environment = {SOCKET_VARIABLE: str(self.lab.record.iaas_socket), ADDRESS_VARIABLE: self.host.address}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return self.host.popen(argv, env={**os.environ, **environment}, **pipes)

    def wait_for_traffic(self) -> None:
        """Until the operations have begun."""
        assert self.front_end.stdout is not None
        assert self.front_end.stdout.readline() == "going\n"

    def strike_all(self) -> None:
        """Carry the plan out."""
        began = time.monotonic()
        for strike in self.plan:
            time.sleep(max(0.0, began + strike.at - time.monotonic()))
            what = self.strike(strike)
            self.done.append(f"{time.monotonic() - began:.2f} s: {strike.kind}: {what}")

    def strike(self, strike: Strike) -> str:
        """Carry one strike out; to whom it was done."""
        if strike.kind == "kill a core":
            return self.signal_a_core(strike.choice, signal.SIGKILL)
        if strike.kind == "hang a core":
            return self.signal_a_core(strike.choice, signal.SIGSTOP)
        if strike.kind == "zookeeper":
            return self.turn_zookeeper(strike.choice)
        if strike.kind == "revive zookeeper" and self.zookeeper_does != "run":
            return self.turn_zookeeper(0)
        if strike.kind == "cut the network":
            self.host.run(["ip", "link", "set", self.host.interface, "down"])
            time.sleep(strike.choice / 2)
            self.host.run(["ip", "link", "set", self.host.interface, "up"])
            return f"for {strike.choice / 2:.2f} s"
        if strike.kind == "kill the daemon":
            self.daemon.kill()
        elif strike.kind == "kill the zygote":
            self.send_signal(children_of(self.daemon.pid)[0], signal.SIGKILL)
        elif strike.kind == "hang the daemon":
            self.daemon.send_signal(signal.SIGSTOP)
            time.sleep(strike.choice)
            self.daemon.send_signal(signal.SIGCONT)
        return ""

    def signal_a_core(self, choice: float, number: signal.Signals) -> str:
        """Send a signal to one of all the nodes' processes."""
        try:
            machines = [machine for machine in self.iaas.machines() if machine["pid"]]
        except launch.IaasError:
            return "there is no daemon any more"
        cores = [(machine, pid) for machine in machines for pid in [machine["pid"], *children_of(machine["pid"])]]
        if not cores:
            return "there is none"
        machine, pid = cores[int(choice * len(cores))]
        if machine["number"] is not None:
            self.struck.add(machine["number"])
        self.send_signal(pid, number)
        return f"process {pid} of {machine}"

    def send_signal(self, pid: int, number: signal.Signals) -> None:
        """To a process of the lab's switch, and to no other that might have its pid by now."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(pid)
            try:
                if pid in self.iaas.processes():
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)

    def turn_zookeeper(self, choice: float) -> str:
        """Let it be killed or hang; or go on again."""
        if self.zookeeper_does == "hang":
            self.zookeeper.signal(signal.SIGCONT)
            self.zookeeper_does = "run"
        elif self.zookeeper_does == "nothing":
            self.zookeeper.launch()
            self.zookeeper_does = "run"
        elif choice < 0.6:
            self.zookeeper.kill()
            self.zookeeper_does = "nothing"
        else:
            self.zookeeper.signal(signal.SIGSTOP)
            self.zookeeper_does = "hang"
        return f"now it does {self.zookeeper_does}"

    def result(self) -> dict[str, Any]:
        """What the front-end says, which ends by itself once its input has."""
        state = "ZooKeeper runs" if self.zookeeper_does == "run" else ""
        said, _ = self.front_end.communicate(state, timeout=EXIT_LIMIT)
        assert self.front_end.returncode == 0
        return json.loads(said)  # type: ignore[no-any-return]

    def check_nothing_left(self) -> None:
        """No process, TAP or file, of nodes or of the daemon; the front-end has ended."""
        if self.daemon.poll() is None:
            deadline = time.monotonic() + 10
            while any(machine["state"] != "dormant" for machine in self.iaas.machines()):
                assert time.monotonic() < deadline, self.iaas.machines()
                time.sleep(0.02)
            self.daemon.terminate()
            assert self.daemon.wait(timeout=10) == 0
        self.iaas.nothing_left()
        zookeepers = namespaces.processes_in([self.host.namespace])
        assert len(zookeepers) == (self.zookeeper_does != "nothing")

    def znodes(self) -> list[str]:
        """What is in ZooKeeper, beside its own."""
        if self.zookeeper_does != "run":
            self.zookeeper.kill()
            self.zookeeper.start()
            self.zookeeper_does = "run"

        def ask() -> list[str]:
            client = KazooClient(self.zookeeper.hosts)
            client.start(timeout=20)
            try:
                return sorted(set(client.get_children("/")) - {"zookeeper"})
            finally:
                client.stop()
                client.close()

        return namespaces.run_in(self.host.namespace, ask)

    def close(self) -> None:
        """Whatever happened."""
        self.front_end.kill()
        self.front_end.communicate()
        self.zookeeper.kill()
        self.daemon.kill()
        self.daemon.wait()


@contextlib.contextmanager
def running(seed: int) -> Iterator[Run]:
    """An application that runs; nothing of it is left afterwards."""
    topology = Topology("198.18.0.0/16", (FRONT_END,), ())
    with tempfile.TemporaryDirectory() as folder, Lab.create(topology, f"kills{os.getpid()}") as lab:
        run = Run(seed, lab, Path(folder))
        try:
            yield run
        except BaseException:
            print(f"KILLS_SEEDS={seed}:{seed + 1} has failed. Strikes:", *run.done, sep="\n  ")
            raise
        finally:
            run.close()


def children_of(pid: int) -> list[int]:
    """Its child processes; none when it is gone."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def seeds() -> list[int]:
    """The seeds to run."""
    first, _, end = os.environ.get("KILLS_SEEDS", "1:5").partition(":")
    return list(range(int(first), int(end)))


@pytest.mark.parametrize("seed", seeds())
def test_every_future_is_done_in_time_and_nothing_stays(seed: int, capfd: pytest.CaptureFixture[str]) -> None:
    with running(seed) as run:
        run.wait_for_traffic()
        run.strike_all()
        result = run.result()
        print(json.dumps(result, indent=1))
        assert result["never_done"] == []
        assert not any(result["left"].values()), result["left"]
        assert set(result["silent"]) <= run.struck
        assert "0" in result["reports"]
        for report in result["reports"].values():
            assert report["late"] == report["overdue"] == report["unexpected"] == []
        run.check_nothing_left()
        output = capfd.readouterr()
        print(output.out, output.err)
        assert not any(sign in output.err for sign in WENT_WRONG)
        assert run.znodes() == [] or "is left in ZooKeeper" in output.err
    assert run.lab.name not in registry.names()
    assert not any(namespaces.exists(machine.namespace) for machine in (run.host, run.lab.switch))
    assert not run.lab.record.iaas_socket.exists()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_front_end_that_is_killed_leaves_nothing(
    number: int, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with running(0) as run:
        run.wait_for_traffic()
        time.sleep(0.5)
        run.front_end.send_signal(number)
        assert run.front_end.wait(timeout=EXIT_LIMIT) == status
        run.check_nothing_left()
        assert not any(sign in capfd.readouterr().err for sign in WENT_WRONG)
        assert run.znodes() == (["ebbrt"] if number == signal.SIGKILL else [])  # as ZooKeeperStore says
