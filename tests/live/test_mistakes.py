"""What a newcomer sees of a mistake in an application: one line, with its place in the application's file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """\
from ebbrt.front_end import run
from ebbrt.future import when_all

def back_end(runtime):
    print("here is a node")
    if runtime.command_line.has("there"):
        misspelt_there

async def front_end(runtime):
    if runtime.command_line.has("here"):
        misspelt_here
    await when_all(runtime.node_allocator.allocate(2, "__main__:back_end"))
    print("done")

run(front_end)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PROGRAM)
    return path


def run(command: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}
    )


def told(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Standard error without warnings of long events, which a busy machine may have any of."""
    return [line for line in done.stderr.splitlines() if "nothing else could" not in line]


def test_a_mistake_in_the_front_end_is_a_line_with_its_place(program: Path) -> None:
    done = run([sys.executable, str(program), "--here"])
    assert done.returncode == 1
    assert told(done) == [
        f"{program}:11: NameError: name 'misspelt_here' is not defined",
        "NETLAB_TRACEBACK=1 in the environment shows the traceback.",
    ]
    asked = run([sys.executable, str(program), "--here"], NETLAB_TRACEBACK="1")
    assert "Traceback" in asked.stderr


def test_ctrl_c_of_a_front_end_is_no_traceback(tmp_path: Path) -> None:
    program = tmp_path / "mine.py"
    program.write_text(
        "from ebbrt.front_end import run\nfrom ebbrt.future import Promise\n"
        "async def main(runtime):\n    never = Promise()\n    print('waiting', flush=True)\n"
        "    await never.future\nrun(main)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert "Traceback" not in said
    assert process.returncode == -signal.SIGINT


def test_the_debuggers_q_ends_the_run_without_a_word(tmp_path: Path) -> None:
    program = tmp_path / "mine.py"
    program.write_text("from ebbrt.front_end import run\nasync def main(runtime):\n    breakpoint()\nrun(main)\n")
    done = subprocess.run(
        [sys.executable, str(program)], input="q\n", capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.live
def test_a_program_needs_no_guard_and_what_nodes_print_has_their_names(program: Path) -> None:
    done = run([sys.executable, "-m", "netlab.cli", "run", str(program)])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines() + told(done)
    assert sorted(lines) == ["done", "node 1: here is a node", "node 2: here is a node"]


@pytest.mark.live
def test_a_mistake_on_a_node_is_told_with_its_place_there(program: Path) -> None:
    done = run([sys.executable, "-m", "netlab.cli", "run", str(program), "--there"])
    assert done.returncode == 1
    there = f"{program}:7: NameError: name 'misspelt_there' is not defined"
    assert "Traceback" not in done.stderr
    assert f"node 1: ERROR: {there}" in told(done)
    assert f"{program}:12: NodeFailedError: mine:back_end failed: {there}" in told(done)
