"""tshark judges transfers over clean links: it finds no trouble in a node's that it does not find in Linux's."""

import contextlib
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.bench.matrix import Case, Ends, captured, topology
from netlab.lab import Lab

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]

SIZE = 20_000_000
# A machine that is busy with something else delays ACKs, and then a probe (RFC 8985) goes out: now and then, and of
# Linux hosts' too. A fault of the protocol is there each time.
ATTEMPTS = 4
KINDS = (  # what `tcp.analysis.flags` is made of
    "retransmission",
    "fast_retransmission",
    "spurious_retransmission",
    "out_of_order",
    "lost_segment",
    "ack_lost_segment",
    "duplicate_ack",
    "keep_alive",
    "keep_alive_ack",
    "reused_ports",
    "zero_window",
    "zero_window_probe",
    "zero_window_probe_ack",
    "window_full",
    "window_update",
)


def found_by_tshark(path: Path) -> Counter[str]:
    """How many frames of the capture tshark flags, by kind."""
    argv = ["tshark", "-n", "-r", str(path), "-Y", "tcp.analysis.flags", "-T", "fields"]
    for kind in KINDS:
        argv += ["-e", f"tcp.analysis.{kind}"]
    lines = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    found: Counter[str] = Counter()
    for line in lines:
        kinds = [kind for kind, value in zip(KINDS, line.split("\t"), strict=True) if value]
        found.update(kinds or ["other"])
    return found


@pytest.fixture(scope="module")
def ends() -> Iterator[Ends]:
    with Lab.create(topology()) as lab, contextlib.closing(Ends(lab)) as ends:
        yield ends


def verdict(ends: Ends, pair: str, operation: str, folder: Path) -> Counter[str]:
    path = folder / f"{pair}-{operation}.pcap"
    result = captured(ends, Case(pair, operation, SIZE, "clean"), path)
    assert result.failure == ""
    return found_by_tshark(path)


def found_between_linux_hosts(ends: Ends, folder: Path) -> Counter[str]:
    """What tshark finds in transfers from Linux to Linux, both ways: the most of each kind."""
    return verdict(ends, "linux-linux", "get", folder) | verdict(ends, "linux-linux", "put", folder)


@pytest.fixture(scope="module")
def linux(ends: Ends, tmp_path_factory: pytest.TempPathFactory) -> Counter[str]:
    """The most of each kind so far."""
    return found_between_linux_hosts(ends, tmp_path_factory.mktemp("linux"))


@pytest.mark.parametrize("operation", ["get", "put"])
@pytest.mark.parametrize("pair", ["node-node", "node-linux", "linux-node"])
def test_nothing_is_found_that_is_not_found_between_linux_hosts(
    ends: Ends, linux: Counter[str], pair: str, operation: str, tmp_path: Path
):
    found = verdict(ends, pair, operation, tmp_path)
    for _ in range(ATTEMPTS - 1):
        if not found - linux:
            return
        linux |= found_between_linux_hosts(ends, tmp_path)  # as the machine is now
        found &= verdict(ends, pair, operation, tmp_path)  # what is there each time
    assert not found - linux, f"{pair}, {operation}: each time {dict(found)}, and between Linux hosts {dict(linux)}"


def test_tshark_finds_trouble_where_there_is_some(ends: Ends, tmp_path: Path):
    ends.set_link("loss=5%")
    try:
        path = tmp_path / "loss.pcap"
        assert captured(ends, Case("linux-linux", "put", 500_000, "loss"), path).failure == ""
        assert found_by_tshark(path)["retransmission"] > 0
    finally:
        ends.set_link("")
