"""``netlab capture`` under a seeded killer: whatever ends it, and when, every packet that tcpdump had written is kept.

``NETLAB_KILL_SEED`` and ``NETLAB_KILLS`` say where the seeds begin and how many runs there are. What tcpdump had
written when the signal was sent is read from the kernel (``/proc/PID/io``), not from anything of ours; that no packet
is missing between two that were kept, from the numbers which the packets carry.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from captures.files import Packet, read_packets
from netlab.lab import Lab

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
NETLAB = [sys.executable, "-m", "netlab.cli"]
SEED = int(os.environ.get("NETLAB_KILL_SEED", "1"))
RUNS = int(os.environ.get("NETLAB_KILLS", "5"))

SENDER = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(("198.18.0.2", 9))
for number in range(40_000):
    sent = False
    while not sent:
        try:
            sent = s.send(number.to_bytes(4, "big") * 10) > 0
        except ConnectionRefusedError:  # the answer to an earlier one
            pass
    time.sleep(0.0005)
"""
SIGNALS = {
    "SIGINT": [signal.SIGINT],
    "SIGINT twice": [signal.SIGINT, signal.SIGINT],
    "SIGTERM": [signal.SIGTERM],
    "SIGHUP": [signal.SIGHUP],
    "SIGKILL": [signal.SIGKILL],
}
STEPS = ("before it listens", "while it listens", "while it ends")


@pytest.fixture(scope="module")
def lab() -> Iterator[str]:
    name = f"kills{os.getpid()}"
    subprocess.run([*NETLAB, "up", "--name", name], check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    yield name
    subprocess.run([*NETLAB, "down", name], check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)


@pytest.fixture
def traffic(lab: str) -> Iterator[None]:
    """Numbered packets from the client, two thousand a second at most."""
    sender = Lab.open(lab).host("client").popen([sys.executable, "-c", SENDER])
    yield
    sender.kill()
    sender.wait()


def ours(path: Path) -> list[int]:
    """The pids of the capture's processes: the writer, which names ``path``, and tcpdump, which feeds it."""
    found, pipes = [], set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if b"pcapng_writer" in command and os.fsencode(path) in command:
                found.append(int(process.name))
                pipes.add(os.readlink(process / "fd/0"))
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text() == "tcpdump\n" and os.readlink(process / "fd/1") in pipes:
                found.append(int(process.name))
    return found


def written_by_tcpdump(path: Path) -> int:
    """Bytes that the capture's tcpdump has written so far, messages with them; 0 when it does not run."""
    for pid in ours(path):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text() == "tcpdump\n":
                counters = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
                return int(counters["wchar"])
    return 0


def started(path: Path) -> None:
    """Return when a process of the capture is there."""
    deadline = time.monotonic() + 20
    while not ours(path):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def end_of(path: Path) -> None:
    """Return when no process of the capture is left."""
    deadline = time.monotonic() + 20
    while ours(path):
        assert time.monotonic() < deadline, f"processes {ours(path)} are left"
        time.sleep(0.02)


def numbers(packets: list[Packet]) -> list[int]:
    return [int.from_bytes(packet.frame[42:46], "big") for packet in packets]


@pytest.mark.usefixtures("traffic")
@pytest.mark.parametrize("seed", range(SEED, SEED + RUNS))
def test_what_tcpdump_had_written_is_kept(tmp_path: Path, lab: str, seed: int) -> None:
    chance = random.Random(seed)
    name, step = chance.choice(list(SIGNALS)), chance.choice(STEPS)
    path = tmp_path / "a.pcapng"
    command = [*NETLAB, "capture", "client", "--lab", lab, "-o", str(path), "--filter", "udp port 9"]
    process = subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    listened = False
    try:
        assert process.stderr is not None
        if step == STEPS[0]:
            if chance.random() < 0.6:
                started(path)
            time.sleep(chance.uniform(0, 0.4))
        else:
            listened = "Listening" in process.stderr.readline()
            assert listened
            time.sleep(chance.uniform(0, 1.5))
        written = written_by_tcpdump(path)  # now: asked for its counters at the end, it writes much that is no packet
        if step == STEPS[2]:
            process.send_signal(signal.SIGINT)
            time.sleep(chance.uniform(0, 0.6))
        for number in SIGNALS[name]:
            process.send_signal(number)
            time.sleep(chance.uniform(0, 0.1))
        said, complaint = process.communicate(timeout=30)
        listened = listened or "Listening" in complaint
    finally:
        process.kill()
        process.wait()
    end_of(path)
    about = f"seed {seed}: {name} {step}: exit {process.returncode}, {said!r}, {complaint!r}"
    left = {each.name for each in tmp_path.iterdir()}
    assert left <= {"a.pcapng", "a.pcapng.json"} | ({"a.pcapng.json.part"} if name == "SIGKILL" else set()), about
    if listened:
        assert path.exists(), about
        if name != "SIGKILL":
            assert str(path) in said, about
            assert process.returncode in (0, -SIGNALS[name][-1]), about  # it may come behind the last word
    if path.exists():
        packets = list(read_packets(path))
        found = numbers(packets)
        assert found == list(range(found[0], found[0] + len(found))) if found else True, about
        kept = 24 + sum(16 + len(packet.frame) for packet in packets)
        messages = 120  # bytes by which tcpdump says that it listens
        print(f"{about}: {len(found)} packets, {kept} bytes kept of {written}")  # for a run by hand, with -rA
        assert kept >= written - messages, about
    else:
        assert written == 0, about


def test_the_killer_sees_what_tcpdump_writes(tmp_path: Path, lab: str, traffic: None) -> None:
    """The judge of the other tests is not blind: it sees tcpdump's bytes grow, and its end."""
    path = tmp_path / "a.pcapng"
    command: list[Any] = [*NETLAB, "capture", "client", "--lab", lab, "-o", path, "--filter", "udp port 9"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert "Listening" in process.stderr.readline()
        deadline = time.monotonic() + 10
        while written_by_tcpdump(path) < 10_000:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        process.stderr.close()
    finally:
        process.kill()
        process.wait()
    end_of(path)
    assert len(list(read_packets(path))) > 90


@pytest.mark.usefixtures("traffic")
def test_a_full_disk_keeps_and_names_what_fitted(tmp_path: Path, lab: str) -> None:
    path = tmp_path / "a.pcapng"
    limited = ["prlimit", "--fsize=20000", *NETLAB, "capture", "client", "--lab", lab, "-o", str(path)]
    done = subprocess.run(limited, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ended by: output" in done.stdout
    assert "File too large" in done.stderr
    assert f"packets captured are in {path}." in done.stderr
    assert "Traceback" not in done.stderr
    packets = list(read_packets(path))
    assert f"{len(packets)} packets in" in done.stdout
    assert len(packets) > 100
    end_of(path)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-o", "."], ". is a folder; name a file in it"),
        (["-o", "a.pcapng", "--interface", "any"], "a capture on 'any'"),
        (["-o", "notes.txt"], "notes.txt exists and is not what an earlier netlab capture wrote"),
    ],
)
def test_it_is_refused_before_anything_is_captured(tmp_path: Path, lab: str, options: list[str], reason: str) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    command = [*NETLAB, "capture", "client", "--lab", lab, *options]
    done = subprocess.run(command, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Listening" not in done.stderr
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("notes.txt", "mine")]
