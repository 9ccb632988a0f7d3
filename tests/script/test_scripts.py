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


def over_ipv6() -> list[Path]:
    """The scripts that say nothing of IPv4: no version, address, MSS or ICMP."""
    of_one_version = ("ip_version", "inet_addr", "mss 1460", "mss 1240", "icmp")
    return [path for path in SCRIPTS if not any(word in path.read_text() for word in of_one_version)]


@pytest.mark.parametrize("path", over_ipv6(), ids=name)
def test_script_over_ipv6(path):
    report = run_file(path, [("ip_version", "ipv6")])
    assert report.outcome == PASSED, report.text()
