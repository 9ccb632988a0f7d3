"""Whatever ends a lab, nothing stays: no namespace, no device, no process; and nobody else's is touched."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netlab import lab as lab_module
from netlab import namespaces, registry
from netlab.lab import Lab, clean
from netlab.namespaces import NamespaceError
from netlab.registry import RegistryError

pytestmark = pytest.mark.live

OWNER = """
import sys, time
from netlab.lab import Lab
with Lab.create(name=sys.argv[1]) as lab:
    shell = lab.hosts["client"].popen(["sh", "-c", "sleep 600 & wait"], stdout=-3, stderr=-3)
    children = [shell, lab.node_popen("node", ["sleep", "600"], stdout=-3, stderr=-3)]
    print(*(child.pid for child in children), flush=True)
    time.sleep(60)
"""


def traces(name: str) -> list[str]:
    """What there is of lab ``name`` in the system."""
    left = [str(path) for path in namespaces.DIRECTORY.glob(f"netlab.{name}.*")]
    return left + [str(path) for path in registry.DIRECTORY.glob(f"{name}.*")]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture
def owner(request: pytest.FixtureRequest):
    """A process that owns a lab with programs running in it: (process, the lab's name, the programs' pids)."""
    name = "t" + re.sub(r"[^a-z0-9]", "", request.node.name.lower())[-20:]
    process = subprocess.Popen([sys.executable, "-c", OWNER, name], stdout=-1, stderr=-1, text=True)
    assert process.stdout is not None
    children = [int(pid) for pid in process.stdout.readline().split()]
    assert len(children) == 2
    yield process, name, children
    process.kill()
    process.communicate()
    clean()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_ends_the_owner_leaves_nothing(owner, number: signal.Signals):
    process, name, children = owner
    process.send_signal(number)
    process.communicate(timeout=10)
    assert process.returncode != 0
    assert traces(name) == []
    assert not any(map(is_running, children))


def test_sigkill_of_the_owner_ends_its_programs_and_cleaning_removes_the_rest(owner):
    process, name, children = owner
    bystander = "netlab.bystander.client"  # named like ours, on nobody's record
    namespaces.create(bystander)
    client = [f"netlab.{name}.client"]
    wait_until(lambda: len(namespaces.processes_in(client)) == 2, "the shell did not start its program")
    try:
        process.kill()
        process.communicate()
        wait_until(lambda: not any(map(is_running, children)), "the programs outlived their owner")
        assert len(traces(name)) == 4
        grandchildren = namespaces.processes_in(client)
        assert len(grandchildren) == 1  # the sleep in the background of the shell: only cleaning finds it
        assert clean() == [name]
        assert traces(name) == []
        assert not any(map(is_running, grandchildren))
        assert namespaces.exists(bystander)
    finally:
        namespaces.remove(bystander)


def test_the_next_start_cleans_what_a_killed_owner_left(owner):
    process, name, _ = owner
    process.kill()
    process.communicate()
    with Lab.create() as lab:
        assert lab.name != name
        assert traces(name) == []


def test_cleaning_leaves_labs_that_run(owner):
    process, name, children = owner
    assert name not in clean()
    assert len(traces(name)) == 4
    assert all(map(is_running, children))
    assert process.poll() is None


def test_an_exception_leaves_nothing():
    children = []

    def fail() -> None:
        with Lab.create(name="raises") as lab:
            children.append(lab.hosts["server"].popen(["sleep", "600"]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert traces("raises") == []
    assert not is_running(children[0].pid)


@pytest.mark.parametrize("call", range(6))
def test_an_interrupt_in_the_middle_of_building_leaves_nothing(monkeypatch: pytest.MonkeyPatch, call: int):
    """Ctrl-C at the n-th step inside a namespace, n from the first to nearly the last."""
    original, calls = namespaces.run_in, iter(range(100))

    def interrupted(name, function):
        if next(calls) == call:
            raise KeyboardInterrupt
        return original(name, function)

    monkeypatch.setattr(namespaces, "run_in", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Lab.create(name="interrupted")
    assert traces("interrupted") == []


def test_a_second_signal_during_deletion_waits_for_it(monkeypatch: pytest.MonkeyPatch):
    lab = Lab.create(name="twice")
    original = lab_module.namespaces.remove

    def remove(name: str) -> None:
        signal.raise_signal(signal.SIGINT)
        original(name)

    monkeypatch.setattr(namespaces, "remove", remove)
    with pytest.raises(KeyboardInterrupt):
        lab.delete()
    assert traces("twice") == []


def test_a_program_that_ignores_sigterm_is_killed():
    with Lab.create() as lab:
        stubborn = lab.hosts["client"].popen(
            ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"], stdout=-1
        )
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == b"ready\n"
    assert stubborn.returncode == -signal.SIGKILL
    stubborn.stdout.close()


def test_two_labs_at_once_do_not_collide():
    with Lab.create() as one, Lab.create() as two:
        assert one.name != two.name
        for lab in (one, two):
            child = lab.hosts["client"].run(["ip", "-br", "address"], capture_output=True, text=True)
            assert lab.hosts["client"].address in child.stdout
        one.delete()
        assert traces(one.name) == []
        assert len(traces(two.name)) == 4
    assert traces(two.name) == []


def test_a_name_in_use_is_refused_and_its_lab_goes_on():
    with Lab.create(name="taken") as lab:
        with pytest.raises(RegistryError, match="runs already"):
            Lab.create(name="taken")
        assert lab.hosts["client"].run(["true"]).returncode == 0


def test_a_foreign_namespace_of_the_same_name_is_left_alone():
    foreign = "netlab.clash.server"
    namespaces.create(foreign)
    try:
        with pytest.raises(NamespaceError, match="exists already"):
            Lab.create(name="clash")
        assert traces("clash") == [str(namespaces.path_of(foreign))]
    finally:
        namespaces.remove(foreign)


def test_no_file_descriptor_or_thread_stays_open():
    with Lab.create():
        pass
    before = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for _ in range(3):
        with Lab.create() as lab:
            lab.receive_masks("server")
            lab.shape("server", 10**9)
    assert (len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))) == before


def test_a_program_that_has_only_just_begun_is_ended():
    for _ in range(20):  # it may not have entered its namespace yet
        with Lab.create() as lab:
            program = lab.hosts["server"].popen(["sleep", "600"])
        assert program.returncode is not None
