"""A folder full of files named like modules: no command may run one of them, whatever it starts.

Beside a user's program as well: its own ``random.py``, ``stack.py`` and ``apps/`` break nothing, and the last two are
what the program gets when it asks for them (``docs/adr/0011-imports.md``).
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from netlab import registry

pytestmark = pytest.mark.live

NETLAB = [str(Path(sys.executable).with_name("netlab"))]
MODULE = [
    sys.executable,
    "-m",
    "netlab.cli",
]  # Python itself would take a `netlab.py` here; the rest is for us to keep out
OURS = ("apps", "captures", "drivers", "ebbrt", "netlab", "stack")
POISON = """
with open({marker!r}, "a") as marker:
    marker.write({name!r} + "\\n")
raise SystemExit("{name} was imported from the current folder")
"""
LAB = "poisonlab"
PROGRAM = """
import random
from ebbrt.front_end import run
from ebbrt.future import when_all

async def back_end(runtime):
    import random
    assert "poison" not in random.__file__

async def main(runtime):
    nodes = await when_all(runtime.node_allocator.allocate(1, "program:back_end"))
    print("nodes:", len(nodes))

if __name__ == "__main__":
    run(main)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of poison; what was executed of it is in ``marker`` beside it."""
    poisoned = tmp_path / "poison"
    poisoned.mkdir()
    for name in (*sys.stdlib_module_names, *OURS, "sitecustomize", "usercustomize"):
        text = POISON.format(marker=str(tmp_path / "marker"), name=name)
        (poisoned / f"{name}.py").write_text(text)
    (poisoned / "matplotlibrc").write_bytes(b"backend: module://random\n\xff\xfe\n")
    for program in ("ip", "tcpdump", "memcached", "sh", "tc"):
        (poisoned / program).write_text(f"#!/bin/sh\necho program {program} >> {tmp_path / 'marker'}\nexit 1\n")
        (poisoned / program).chmod(0o755)
    return poisoned


def run(folder: Path, *arguments: str, command: list[str] = NETLAB) -> "subprocess.CompletedProcess[str]":
    result = subprocess.run(
        [*command, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert executed(folder) == "", arguments
    return result


def executed(folder: Path) -> str:
    marker = folder.with_name("marker")
    return marker.read_text() if marker.exists() else ""


def test_the_poison_is_poison(folder: Path):
    subprocess.run([sys.executable, "-c", "import fractions"], cwd=folder, capture_output=True, check=False)
    assert executed(folder) != ""


def test_no_command_on_a_lab_runs_a_file_of_the_current_folder(folder: Path):
    def netlab(*arguments: str) -> None:
        result = run(folder, *arguments)
        assert result.returncode == 0, (arguments, result.stderr)

    netlab("up", "--name", LAB, "--link", "node:delay=1ms")
    try:
        netlab("link", "set", "--lab", LAB, "client", "delay=1ms")
        netlab("link", "clear", "--lab", LAB)
        (folder / "program.py").write_text(PROGRAM)
        netlab("run", "--lab", LAB, "program.py")
    finally:
        netlab("down", LAB)
    run(folder, "doctor")


def test_nor_does_one_that_is_started_by_python(folder: Path):
    (folder / "netlab.py").unlink()
    assert run(folder, "status", command=MODULE).returncode == 0


def test_a_relative_entry_of_the_path_runs_no_program_of_the_current_folder(folder: Path):
    environment = {**os.environ, "PATH": f".:{os.environ['PATH']}:"}
    argv = [*NETLAB, "up", "--name", LAB, "--link", "node:delay=1ms"]
    try:
        result = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert executed(folder) == ""
    finally:
        run(folder, "down", LAB)


def test_no_benchmark_runs_one_and_a_baseline_comes_from_its_own_folder_only(folder: Path):
    """The baseline is this very checkout: its node serves though the folder is poisoned."""
    options = ["--seconds", "1", "--rounds", "1", "--concurrency", "2", "--targets", "node,baseline"]
    result = run(folder, "bench", "memcached", *options, "--baseline", os.getcwd(), "--json", "-")
    rows = json.loads(result.stdout)["rows"]
    assert {row["target"] for row in rows} == {"node", "baseline"}
    assert "Traceback" not in run(folder, "plot", "no-such.csv").stderr  # the matplotlibrc there is not read either


def test_a_programs_own_modules_break_nothing_and_are_found(tmp_path: Path):
    """In the front-end and on its back-ends: of the standard library's names none, of ours those it may replace."""
    (tmp_path / "random.py").write_text("raise SystemExit('this is not the random that anybody wants')")
    (tmp_path / "stack.py").write_text("NAME = 'my stack'")
    (tmp_path / "ebbrt.py").write_text("raise SystemExit('this is not ebbrt')")
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps/__init__.py").write_text("")
    (tmp_path / "apps/mine.py").write_text(
        "import random, stack\n"
        "async def back_end(runtime):\n"
        "    assert stack.NAME == 'my stack'\n"
        "    random.random()\n"
    )
    program = """
import random, stack, sys
from apps import mine
from ebbrt.front_end import run

async def main(runtime):
    random.random()
    node, = runtime.node_allocator.allocate(1, "apps.mine:back_end", cores=2)
    await node
    print(stack.NAME, sys.argv, __file__, sys.modules["__main__"].main is main)

if __name__ == "__main__":
    run(main)
"""
    (tmp_path / "program.py").write_text(program)
    result = subprocess.run(
        [*NETLAB, "run", "program.py", "one"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "my stack ['program.py', 'one'] program.py True\n"


def teardown_module() -> None:
    assert LAB not in registry.names()
