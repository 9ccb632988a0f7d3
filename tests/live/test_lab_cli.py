"""The lab's commands as a person uses them: up, status, exec, down, clean, doctor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from netlab import namespaces

pytestmark = pytest.mark.live


def netlab(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "netlab.cli", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def up():
    """A lab that is up, by name."""
    started = netlab("up", "--name", "clilab", "--json")
    assert started.returncode == 0, started.stderr
    assert json.loads(started.stdout)["name"] == "clilab"
    yield "clilab"
    netlab("down", "clilab")


def test_a_lab_goes_up_is_seen_is_used_and_goes_down(up: str):
    seen = {record["name"]: record for record in json.loads(netlab("status", "--json").stdout)}
    assert seen[up]["state"] == "up"
    assert "198.18.0.3" in netlab("status").stdout
    inside = netlab("exec", "--lab", up, "client", "--", "ip", "-br", "address", "show", "eth0")
    assert "198.18.0.1/16" in inside.stdout
    down = netlab("down", up, "--json")
    assert json.loads(down.stdout) == {"removed": [up]}
    assert not list(namespaces.DIRECTORY.glob(f"netlab.{up}.*"))


def test_what_runs_in_a_lab_ends_with_it(up: str):
    command = ["exec", "--lab", up, "server", "--", "sleep", "600"]
    with subprocess.Popen([sys.executable, "-m", "netlab.cli", *command]) as sleeper:
        while not namespaces.processes_in([f"netlab.{up}.server"]):
            assert sleeper.poll() is None
        assert netlab("down", up).returncode == 0
        assert sleeper.wait(timeout=10) != 0


def test_exec_gives_the_commands_own_status(up: str):
    assert netlab("exec", "--lab", up, "client", "--", "sh", "-c", "exit 7").returncode == 7


def test_cleaning_does_not_touch_a_lab_that_is_up(up: str):
    assert up not in json.loads(netlab("clean", "--json").stdout)["removed"]
    assert netlab("exec", "--lab", up, "client", "--", "true").returncode == 0


def test_a_topology_file_is_built(tmp_path: Path):
    file = tmp_path / "pair.toml"
    file.write_text('network = "198.19.0.0/24"\n[hosts]\na = "198.19.0.1"\nb = "198.19.0.2"\n')
    assert netlab("up", str(file), "--name", "pairlab").returncode == 0
    try:
        assert "198.19.0.2/24" in netlab("exec", "--lab", "pairlab", "b", "--", "ip", "-br", "address").stdout
    finally:
        assert netlab("down", "pairlab").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("down", "nosuchlab"), "there is no lab 'nosuchlab'"),
        (("exec", "--lab", "nosuchlab", "client", "--", "true"), "there is no lab 'nosuchlab'"),
        (("exec", "--lab", "clilab", "nobody", "--", "true"), "no host 'nobody'"),
        (("exec", "--lab", "clilab", "client", "--", "no-such-program"), "no program 'no-such-program'"),
        (("up", "/nowhere.toml"), "cannot read the topology /nowhere.toml"),
        (("up", "--name", "clilab"), "runs already"),
        (("up", "--name", "a/b"), "cannot name a lab"),
    ],
)
def test_a_mistake_is_explained_without_a_traceback(up: str, arguments: tuple[str, ...], complaint: str):
    result = netlab(*arguments)
    assert result.returncode == (1 if "program" in complaint else 2)
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


def test_the_doctor_finds_the_kernel_fit():
    checks = {check["name"]: check for check in json.loads(netlab("doctor", "--json").stdout)}
    for name in ("bridge", "veth", "TAP with a virtio-net header", "tbf", "RPS"):
        check = checks[f"kernel: {name}"]
        assert check["ok"] or not check["needed"], check


def test_the_doctor_names_what_is_missing_and_the_command_that_mends_it(tmp_path: Path):
    """With a PATH that has nothing but what the doctor itself runs."""
    program = "from netlab.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program, "doctor", "--json"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1, result.stderr
    checks = {check["name"]: check for check in json.loads(result.stdout)}
    assert not checks["memcaslap"]["ok"]
    assert checks["memcaslap"]["remedy"] == "apt-get install libmemcached-tools"
