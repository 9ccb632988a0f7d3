"""Every command of the README is run, in its order, as a newcomer would: one after the other, in one lab."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netlab.bench.results import Row, to_csv

pytestmark = pytest.mark.live
ROOT = Path(__file__).parents[2]
FOLDERS = ("apps", "captures", "docs", "netlab", "tests")

# What is not run, and why. Anything else must work.
NOT_RUN = {
    "make demo": "what it runs has tests of its own, and takes three minutes",
    "netlab bench matrix": "tests/live/test_transfer_matrix.py runs a short one",
    "make test": "this is one of its tests",
    "netlab exec switch -- netlab node run memcached --tap node --ip dhcp": "there is no DHCP server in this lab",
    "netlab exec switch -- netlab node run memcached --tap node --ip dhcp --ip6 auto": "likewise, nor a router",
}
# What a benchmark is given besides, so that it takes seconds: the last value of an option counts.
SHORTER = {
    "netlab bench memcached": "--seconds 1 --rounds 1 --concurrency 16",
    "netlab bench connections": "--rounds 1",
    "netlab bench transfer": "--seconds 0.2 --rounds 1",
    "netlab sim netlab/sim/examples/cluster.py": "--seconds 1",
    "netlab bench runtime": "--rounds 1",
    "netlab script --live": "--tolerance 200000",
}
UNTIL_CTRL_C = re.compile(r"netlab (exec switch -- netlab )?(node|frontend|iaas) run |netlab capture ")
BEGUN = re.compile(r"^(ready|Listening)", re.MULTILINE)
STATUSES = {"netlab diff": (0, 1)}  # 1: there are differences


def commands() -> list[str]:
    """The README's indented commands, without comments, one by one."""
    found = []
    for line in (ROOT / "README.md").read_text().splitlines():
        if line.startswith("    ") and line.split()[0] in ("netlab", "make", "sudo"):
            text = line.partition(" #")[0].strip().removeprefix("sudo ")
            found += [each.strip() for each in text.split(";")]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that looks like a checkout, with the newcomer's own files."""
    here = tmp_path / "checkout"
    here.mkdir()
    for name in FOLDERS:
        (here / name).symlink_to(ROOT / name)
    (tmp_path / "before").symlink_to(ROOT)
    shutil.copy(ROOT / "apps/examples/figure2.py", here / "app.py")
    shutil.copy(ROOT / "netlab/sim/examples/lossy_transfer.py", here / "scenario.py")
    shutil.copy(next((ROOT / "tests/script/rfc9293").glob("*passive-open.pkt")), here / "mine.pkt")
    shutil.copy(ROOT / "captures/reference/memcached-linux.pcapng", here / "linux.pcapng")
    (here / "out" / "run").mkdir(parents=True)
    (here / "out" / "run" / "results.csv").write_text(to_csv([Row("concurrency", "node", 1, 32, 1, 1.0, 1.0, 1.0, 0)]))
    yield here
    run("netlab down lab1", here)  # of a test that has failed


def environment() -> dict[str, str]:
    """With the command in the PATH, as the README says."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def run(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        shlex.split(command), cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )


@contextmanager
def begun(command: str, folder: Path) -> Iterator[None]:
    """A command that goes on until Ctrl-C, which it gets after the body."""
    said = folder / "said.txt"
    with said.open("w") as file:
        process = subprocess.Popen(
            shlex.split(command), cwd=folder, env=environment(), stdout=file, stderr=subprocess.STDOUT
        )
        try:
            deadline = time.monotonic() + 30
            while not BEGUN.search(said.read_text()):
                assert process.poll() is None, f"{command}\n{said.read_text()}"
                assert time.monotonic() < deadline, f"{command}\n{said.read_text()}"
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    assert "Traceback" not in said.read_text()


def test_the_readmes_commands_work_in_their_order(folder: Path) -> None:
    listed = commands()
    assert len(listed) > 30
    assert NOT_RUN.keys() <= set(listed)
    for command in listed:
        if command in NOT_RUN or command == "netlab demo":
            continue
        if UNTIL_CTRL_C.match(command):
            with begun(command, folder):
                if command.startswith("netlab iaas run"):
                    assert run("netlab iaas status", folder).returncode == 0
            continue
        if command == "netlab iaas status":
            continue  # of the daemon above
        carry_out(command.replace("out/<run>", "out/run"), folder)


def carry_out(command: str, folder: Path) -> None:
    """Run a command that ends by itself, with what it needs beside it."""
    if command.startswith("netlab diff"):
        shutil.copy(folder / "linux.pcapng", folder / "node.pcapng")  # nothing was said while the other was made
    name = " ".join(command.split()[:3])
    started = time.monotonic()
    given = f"{command} {SHORTER[name]}" if name in SHORTER else command
    if name.startswith("netlab replay"):
        server = "netlab exec switch -- netlab node run memcached --tap node --ip 198.18.0.3/16"
        with begun(server, folder):
            done = run(given, folder)
    else:
        done = run(given, folder)
    statuses = STATUSES.get(" ".join(command.split()[:2]), (0,))
    print(f"{time.monotonic() - started:6.1f} s  {given}", flush=True)
    assert done.returncode in statuses, f"{given}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
