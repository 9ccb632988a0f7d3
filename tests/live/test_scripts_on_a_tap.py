"""A handful of scripts on a live TAP, in real time: the runner is the far side; driver and device are a node's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netlab.script.report import PASSED
from netlab.script.session import run_file

pytestmark = pytest.mark.live
FOLDER = Path(__file__).parents[1] / "script"
TOLERANCE = ("tolerance_usecs", "300000")  # whatever else runs on this machine; the simulation is exact


NAMES = [
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
]


@pytest.mark.parametrize("name", NAMES)
def test_script_on_a_tap(name):
    report = run_file(FOLDER / f"{name}.pkt", [TOLERANCE], live=True)
    assert report.outcome == PASSED, report.text()


@pytest.mark.parametrize("pure", ["0", "1"])
def test_scripts_on_a_tap_in_both_builds(pure):
    """Live tests are run in one build; the script layer, with the stack below it, has to work in both."""
    command = [Path(sys.executable).parent / "netlab", "script", "--live", "--tolerance", TOLERANCE[1]]
    files = [FOLDER / f"{name}.pkt" for name in NAMES]
    environment = {**os.environ, "NETLAB_PURE": pure}
    ended = subprocess.run(
        [*command, *files], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == f"{len(NAMES)} passed"


def test_a_packet_may_be_longer_than_the_mtu(tmp_path):
    """As in the simulation: what the other end sends is the script's business, the MTU the stack's."""
    (tmp_path / "x.pkt").write_text(
        "--mtu=1000\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n"
        "+0 < S 0:0(0) win 32792 <mss 1000>\n+0 > S. 0:0(0) ack 1 <mss 960>\n+.1 < . 1:1(0) ack 1 win 32792\n"
        "+0 accept(3, ..., ...) = 4\n+0 < P. 1:60001(60000) ack 1 win 32792\n+0 > . 1:1(0) ack 60001\n"
        "+0 read(4, ..., 60000) = 60000\n"
    )
    report = run_file(tmp_path / "x.pkt", [TOLERANCE], live=True)
    assert report.outcome == PASSED, report.text()
