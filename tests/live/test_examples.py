"""The documented examples, run as their docstrings say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.node_lab import running_node

EXAMPLES = Path("apps/examples")


def netlab_run(script: str, *arguments: str) -> str:
    """What the example prints, in a lab of its own."""
    argv = [sys.executable, "-m", "netlab.cli", "run", str(EXAMPLES / script), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    warnings = done.stderr.splitlines()  # that an event took long, which on a busy machine any may
    assert all("nothing else could" in warning for warning in warnings), done.stderr
    return done.stdout


def test_figure_2_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "apps.examples.figure2"], capture_output=True, text=True, timeout=20, check=True
    )
    counts = [int(number) for number in re.findall(r": (\d+)$", done.stdout, re.MULTILINE)]
    assert done.stdout.startswith("application: ")
    assert len(counts) == 3
    assert counts[0] <= counts[1] <= counts[2], "one node of one core: later counts are of more events"
    assert counts[0] > 0


@pytest.mark.live
def test_squares_over_eight_back_ends() -> None:
    output = netlab_run("squares.py", "--nodes", "8", "--numbers", "200000")
    assert output.startswith("8 nodes: 1@198.18.")
    assert f"sum up to {sum(number * number for number in range(200000))}\n" in output


@pytest.mark.live
def test_a_counter_over_two_nodes_of_two_cores() -> None:
    assert "2 nodes of 2 cores have counted to 402\n" in netlab_run("counter.py")


@pytest.mark.live
def test_the_words_of_a_file_of_the_front_end() -> None:
    words = len(Path("README.md").read_text().split())
    assert netlab_run("words.py", "--input", "README.md") == f"{words} words\n"


@pytest.mark.live
def test_a_node_on_an_event_manager_of_ones_own(tmp_path: Path) -> None:
    replacement = "event_manager=apps.examples.deadline_events:DeadlineEventManager"
    with running_node(tmp_path, "--ebb", replacement) as node:
        command = ["memccapable", "-b", "-h", node.address]
        done = node.client.run(command, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "All tests passed"), done.stdout


def test_an_event_manager_that_is_none_is_refused_by_name() -> None:
    argv = ["unshare", "--net", sys.executable, "-m", "netlab.cli", "node", "run", "memcached"]
    argv += ["--tap", "t", "--make-tap", "--ip", "198.18.0.3/16", "--ebb", "event_manager=json:dumps"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    assert done.returncode == 2
    assert "--ebb: json:dumps cannot be the event_manager" in done.stderr
