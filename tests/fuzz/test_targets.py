"""The targets of coverage-guided fuzzing: each takes what it is meant for, changed or not; atheris can drive them."""

import os
import random
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.fuzz import targets

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", targets.TARGETS)
def test_a_target_survives_what_it_is_meant_for_with_anything_changed(name: str) -> None:
    chance = random.Random(name)
    target = targets.TARGETS[name]
    valid = targets.EXAMPLES[name]
    target(valid)
    for _ in range(60):
        data = bytearray(valid)
        for _ in range(chance.randrange(6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        target(bytes(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.5 else data))


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no package for this machine's Python")
def test_atheris_drives_a_target() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "link", "-runs=200", "-seed=1"],
        cwd=ROOT,
        env={**os.environ, "NETLAB_PURE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Done 200" in done.stderr
