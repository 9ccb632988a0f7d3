"""Every script below this folder passes, in the simulation; their names say which clause of which RFC they hold."""

from pathlib import Path

import pytest

from netlab.script.report import PASSED
from netlab.script.session import run_file

FOLDER = Path(__file__).parent
SCRIPTS = sorted(FOLDER.rglob("*.pkt"))


def name(path: Path) -> str:
    return str(path.relative_to(FOLDER).with_suffix(""))


@pytest.mark.parametrize("path", SCRIPTS, ids=name)
def test_script(path):
    report = run_file(path)
    assert report.outcome == PASSED, report.text()
