"""A handful of scripts on a live TAP, in real time: the runner is the far side; driver and device are a node's."""

from pathlib import Path

import pytest

from netlab.script.report import PASSED
from netlab.script.session import run_file

pytestmark = pytest.mark.live
FOLDER = Path(__file__).parents[1] / "script"
TOLERANCE = ("tolerance_usecs", "300000")  # whatever else runs on this machine; the simulation is exact


@pytest.mark.parametrize(
    "name",
    [
        "rfc9293/3.5-active-open",
        "rfc9293/3.5-passive-open",
        "rfc9293/3.6-close-first",
        "rfc9293/3.6-half-close",
        "rfc9293/3.10.7.1-closed-syn",
        "rfc9293/3.10.7.4-out-of-order",
        "rfc5961/3.2-reset-in-window",
        "rfc7323/3.2-timestamps",
        "rfc2018/4-latest-first",
        "rfc1122/4.1.3.3-udp-icmp",
    ],
)
def test_script_on_a_tap(name):
    report = run_file(FOLDER / f"{name}.pkt", [TOLERANCE], live=True)
    assert report.outcome == PASSED, report.text()
