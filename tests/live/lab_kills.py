"""Ends commands on labs by seeded signals at seeded moments, and looks at what is left.

Runs in a ``/run`` of its own, which ``test_lab_kills.py`` mounts, so no other lab of this machine is seen or touched:

    unshare --mount sh -c 'mount -t tmpfs tmpfs /run && exec python -m tests.live.lab_kills FIRST_SEED SEEDS'

A command is a fork of this process, which has everything imported, so that a seed takes a second. Its processes are
known by a variable of their environment.
"""

import atexit
import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import netlab.iaas.launch
from netlab import cli, namespaces, registry
from netlab.emulation import insertion
from netlab.lab import Lab

TOKEN = "NETLAB_TEST_OF_KILLS"
VICTIM = "victim"
BYSTANDER = "bystander"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
LINK = "node:delay=1ms"
PROGRAM = "import time\nprint('began', flush=True)\ntime.sleep(30)\n"
TIME_LIMIT = 60.0
SETTLE_TIME = 10.0  # for the kernel to end what dies with its parent


def start(token: str, *arguments: str) -> int:
    """Fork a command; its pid."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        os.environ[TOKEN] = token
        quiet = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(quiet, descriptor)
        sys.argv = ["netlab", *arguments]
        try:
            cli.main()
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        atexit._run_exitfuncs()
    finally:
        os._exit(status)


def ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def netlab(*arguments: str) -> int:
    """Run a command to its end; its status."""
    pid = start("", *arguments)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def wait_until(condition: Callable[[], bool], limit: float = TIME_LIMIT) -> bool:
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.0005)
    return True


def processes_of(token: str) -> list[str]:
    """Command lines of the processes that a command and its children are."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"{TOKEN}={token}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(f"{entry.name} {(entry / 'cmdline').read_bytes().replace(bytes(1), b' ').decode()}")
    return found


def namespaces_of(lab: str) -> list[str]:
    return namespaces.names_with(registry.prefix(lab))


def other_labs() -> list[str]:
    return [name for name in registry.names() if name != BYSTANDER]


def answers(lab: Lab) -> bool:
    """Whether its machines reach each other."""
    client, server = lab.hosts["client"], lab.hosts["server"]
    return client.run(["ping", "-c1", "-W2", server.address], stdout=-3, stderr=-3, timeout=10).returncode == 0


# The moments at which a command can be ended: when something of its lab is there.
STEPS: dict[str, Callable[[], bool]] = {
    "at once": lambda: True,
    "the record": lambda: bool(other_labs()),
    "one namespace": lambda: any(namespaces_of(name) for name in other_labs()),
    "all namespaces": lambda: any(
        len(namespaces_of(name)) > len(record.topology.hosts)
        for record in registry.load_all()[0]
        for name in [record.name]
        if name != BYSTANDER
    ),
    "a process": lambda: any(namespaces.processes_in(namespaces_of(name)) for name in other_labs()),
    "half gone": lambda: not namespaces.exists(f"{registry.prefix(VICTIM)}client"),
}
COMMANDS = {
    "up": (["up", "--name", VICTIM], ("the record", "one namespace", "all namespaces")),
    "up --link": (["up", "--name", VICTIM, "--link", LINK], ("one namespace", "all namespaces", "a process")),
    "link set": (["link", "set", "--lab", VICTIM, "node", "delay=2ms"], ("at once", "a process")),
    "down": (["down", VICTIM], ("at once", "half gone")),
    "run": (["run", "--pool", "1"], ("the record", "one namespace", "all namespaces", "a process")),
}


class Kill:
    """What a seed says: which command, ended by what, when; and whether once more."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.token = f"seed{seed}"
        self.command = list(COMMANDS)[seed % len(COMMANDS)]
        self.signal = SIGNALS[(seed % len(COMMANDS) + seed // len(COMMANDS)) % len(SIGNALS)]
        self.arguments, steps = COMMANDS[self.command]
        self.step = chance.choice(steps)
        self.delay = chance.choice((0.0, chance.uniform(0, 0.05), chance.uniform(0, 0.5)))
        self.again = chance.uniform(0, 0.05) if chance.random() < 0.3 else None

    def __str__(self) -> str:
        more = "" if self.again is None else f", and again after {self.again:.3f} s"
        return f"{self.token}: {self.command}, {self.signal.name} {self.delay:.3f} s after {self.step}{more}"

    def carry_out(self, program: str) -> None:
        arguments = [*self.arguments, program] if self.command == "run" else self.arguments
        pid = start(self.token, *arguments)
        assert wait_until(lambda: STEPS[self.step]() or ended(pid)), "it never came so far"
        time.sleep(self.delay)
        os.kill(pid, self.signal)
        if self.again is not None:
            time.sleep(self.again)
            os.kill(pid, self.signal)
        assert wait_until(lambda: ended(pid)), "it does not end"
        os.waitpid(pid, 0)


def check(kill: Kill) -> None:
    """What must hold now, and after cleaning."""
    for record in registry.load_all()[0]:
        if record.name == VICTIM and record.owner is None:  # it counts as up: then it is whole
            lab = Lab.open(VICTIM)
            assert answers(lab), "it is up, and does not answer"
            if kill.command == "link set":
                assert netlab(*COMMANDS["link set"][0]) == 0, "the link cannot be set any more"
                assert answers(lab)
                assert netlab("link", "clear", "--lab", VICTIM) == 0
                assert answers(lab)
                assert not insertion.is_there(lab._place("node"))
            assert netlab("down", VICTIM) == 0
    assert netlab("clean") == 0
    assert other_labs() == [], "a record"
    assert {path.name for path in registry.DIRECTORY.iterdir()} == {"lock", f"{BYSTANDER}.json"}, "a file"
    left = [name for name in namespaces.names_with("") if not name.startswith(registry.prefix(BYSTANDER))]
    assert left == [], "a namespace"
    assert wait_until(lambda: processes_of(kill.token) == [], SETTLE_TIME), processes_of(kill.token)
    aliases = [path.read_text().strip() for path in Path("/sys/class/net").glob("*/ifalias")]
    assert not [alias for alias in aliases if alias.startswith("netlab:")], "a device outside"


def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    os.environ.pop(TOKEN, None)
    assert registry.names() == [], "this is not a /run of its own"
    program = Path(tempfile.mkdtemp()) / "program.py"
    program.write_text(PROGRAM)
    assert netlab("up", "--name", BYSTANDER, "--link", LINK) == 0
    bystander = Lab.open(BYSTANDER)
    record = bystander.record.path.read_text()
    living = sorted(namespaces.processes_in(namespaces_of(BYSTANDER)))
    assert len(living) == 1
    try:
        for seed in range(first, first + count):
            kill = Kill(seed)
            print(kill, flush=True)
            if kill.command in ("down", "link set"):
                assert netlab("up", "--name", VICTIM, "--link", "client:delay=1ms") == 0
            kill.carry_out(str(program))
            check(kill)
            assert bystander.record.path.read_text() == record
            assert sorted(namespaces.processes_in(namespaces_of(BYSTANDER))) == living
            assert answers(bystander)
            assert bystander.emulated("node") is not None
    finally:
        program.unlink()
        program.parent.rmdir()
        for name in registry.names():  # of this /run only
            with contextlib.redirect_stdout(io.StringIO()):
                netlab("down", name)
        netlab("clean")
    print(f"{count} kills: nothing was left", flush=True)


if __name__ == "__main__":
    main()
