"""Whatever ends a command on a lab, at any moment: ``netlab clean`` leaves nothing of it, and touches nothing else."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.live

SEEDS = int(os.environ.get("NETLAB_LAB_KILLS", "6"))  # how many; by hand: 50 and more
FIRST = int(os.environ.get("NETLAB_LAB_KILLS_FIRST", "0"))
OWN_RUN = 'mount --make-rprivate / && mount -t tmpfs tmpfs /run && exec "$@"'


def test_a_lab_that_is_killed_while_it_is_made_changed_or_removed_leaves_nothing_after_cleaning():
    argv = [sys.executable, "-m", "tests.live.lab_kills", str(FIRST), str(SEEDS)]
    command = ["unshare", "--mount", "sh", "-c", OWN_RUN, "sh", *argv]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60 + 30 * SEEDS, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{SEEDS} kills: nothing was left" in result.stdout
