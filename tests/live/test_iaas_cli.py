"""``netlab run`` and ``netlab iaas`` as somebody at a keyboard uses them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netlab import lab as labs
from netlab import namespaces
from netlab.lab import Lab
from netlab.registry import Record

pytestmark = pytest.mark.live
NETLAB = [sys.executable, "-m", "netlab.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.getcwd()}


def start(*arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*NETLAB, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]", timeout: float = 20) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


def record_of(process: "subprocess.Popen[str]") -> Record:
    """Of the lab that ``netlab run`` has made."""
    return next(record for record in labs.running() if record.owner and record.owner.pid == process.pid)


def is_gone(record: Record) -> bool:
    return not record.path.exists() and not any(map(namespaces.exists, record.namespaces))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A front-end that has two nodes, tells where it is, and then does what it was told to."""
    path = tmp_path / "app.py"
    path.write_text("""
import os, sys, time
from tests.live.iaas_front_end import FrontEnd

front_end = FrontEnd()
futures = front_end.allocator.allocate(2, "tests.live.iaas_applications:idle")
front_end.wait_for(*futures)
print([future.result().id.number for future in futures], os.environ["EBBRT_ADDRESS"], sys.argv[1:], flush=True)
if sys.argv[1:] == ["wait"]:
    time.sleep(60)
sys.exit(7)
""")
    return path


def test_run_passes_arguments_and_exit_status(script: Path) -> None:
    status, out, err = finish(start("run", str(script), "--pool", "x"))
    assert (status, out) == (7, "[1, 2] 198.18.0.1 ['--pool', 'x']\n"), err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_run_ends_with_all_that_it_started(script: Path, number: signal.Signals, status: int) -> None:
    process = start("run", str(script), "wait")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("[1, 2]")
    record = record_of(process)
    process.send_signal(number)
    assert finish(process)[0] == status
    assert is_gone(record)


def test_run_that_is_killed_leaves_what_the_next_command_removes(script: Path) -> None:
    process = start("run", str(script), "wait")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("[1, 2]")
    record = record_of(process)
    process.kill()
    finish(process)
    deadline = time.monotonic() + 5
    while namespaces.processes_in(record.namespaces):  # the kernel ends them
        assert time.monotonic() < deadline, "processes are left"
        time.sleep(0.01)
    assert finish(start("clean"))[0] == 0
    assert is_gone(record)


def test_run_says_what_is_wrong(tmp_path: Path) -> None:
    for arguments, said in (
        (["run", str(tmp_path / "none.py")], "there is no file"),
        (["run", "--host", "client", __file__], "--lab"),
        (["run", "--lab", "nosuchlab", __file__], "there is no lab"),
    ):
        status, _, err = finish(start(*arguments))
        assert status == 2
        assert said in err
        assert "Traceback" not in err


def test_a_lab_that_runs_can_have_a_daemon_and_a_front_end(script: Path) -> None:
    with Lab.create() as lab:
        daemon = start("iaas", "run", "--lab", lab.name, "--pool", "1")
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == f"ready: {lab.record.iaas_socket}\n"
        front_end = start("run", "--lab", lab.name, "--host", "server", str(script), "wait")
        assert front_end.stdout is not None
        assert front_end.stdout.readline() == "[1, 2] 198.18.0.2 ['wait']\n"
        status, out, err = finish(start("iaas", "status", "--lab", lab.name, "--json"))
        assert status == 0, err
        states = [machine["state"] for machine in json.loads(out)["machines"]]
        assert states.count("ready") == 2
        shown = finish(start("iaas", "status", "--lab", lab.name))[1]
        assert "198.18.0.4" in shown
        front_end.terminate()
        assert finish(front_end)[0] == 143
        assert daemon.poll() is None  # it was there before
        daemon.send_signal(signal.SIGINT)
        assert finish(daemon)[0] != 0
        assert not namespaces.processes_in([lab.switch.namespace])
        status, _, err = finish(start("iaas", "status", "--lab", lab.name))
        assert (status, "no IaaS daemon answers" in err) == (1, True)
