"""memcached, unchanged, over kernel sockets: memcached's own clients are the judges, as of a node's (test_node)."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.live


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "netlab.cli", "frontend", "run", "memcached", *options]


class Frontend:
    """A front-end that serves memcached on a loopback address of this test run's own."""

    def __init__(self, process: "subprocess.Popen[str]", address: str, statistics: Path) -> None:
        self.process = process
        self.address = address
        self._statistics = statistics

    def statistics(self) -> dict[str, Any]:
        self._statistics.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 5
        while not self._statistics.exists():
            assert time.monotonic() < deadline, "it wrote no statistics"
            time.sleep(0.01)
        return json.loads(self._statistics.read_text())  # type: ignore[no-any-return]


def own_address() -> str:
    return f"127.{128 + (os.getpid() >> 8) % 64}.{os.getpid() % 256}.1"


@pytest.fixture(scope="module")
def frontend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Frontend]:
    statistics = tmp_path_factory.mktemp("frontend") / "statistics.json"
    address = own_address()
    argv = command("--ip", address, "--memory", "64", "--statistics", str(statistics))
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == f"ready: memcached on {address}:11211, kernel sockets\n"
            yield Frontend(process, address, statistics)
            process.terminate()
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()


def test_memccapable_passes_every_binary_test(frontend: Frontend) -> None:
    result = subprocess.run(
        ["memccapable", "-b", "-h", frontend.address, "-p", "11211"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "All tests passed" in result.stdout, result.stdout


def test_memcaslap_verifies_every_value(frontend: Frontend) -> None:
    before = frontend.statistics()["memory"]["payload_bytes_copied"]
    result = subprocess.run(
        ["memcaslap", "--binary", "-s", f"{frontend.address}:11211", "-T", "1", "-c", "64", "-t", "2s",
         "--verify=1.0"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    figures = dict(line.split(":", 1) for line in result.stdout.splitlines() if line.count(":") == 1)
    assert figures["verify_misses"].strip() == "0", result.stdout
    assert figures["verify_failed"].strip() == "0", result.stdout
    assert figures["get_misses"].strip() == "0", result.stdout
    after = frontend.statistics()
    assert after["memory"]["payload_bytes_copied"] == before, "a value was copied above the kernel"
    assert after["events"]["failures"] == 0


def request(opcode: int, key: bytes, extras: bytes = b"", value: bytes = b"") -> bytes:
    length = len(key) + len(extras) + len(value)
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, length, 7, 0) + extras + key + value


def test_a_client_that_does_not_read_is_held_back_and_then_gets_all(frontend: Frontend) -> None:
    value = b"".join(n.to_bytes(4, "big") for n in range(60_000))
    before = frontend.statistics()["memory"]["allocated_bytes"]  # of what other tests have stored
    with socket.create_connection((frontend.address, 11211), timeout=20) as client:
        replies = client.makefile("rb")
        client.sendall(request(1, b"large", bytes(8), value))
        assert replies.read(24)[6:8] == b"\0\0"
        client.settimeout(0.5)
        asked = 0
        with contextlib.suppress(TimeoutError):
            while asked < 1_000_000:
                client.sendall(request(0, b"large") * 100)
                asked += 100
        assert asked < 1_000_000, "it took requests whose replies nobody read"
        assert frontend.statistics()["memory"]["allocated_bytes"] - before < 4 << 20
        client.settimeout(20)
        for _ in range(min(asked, 100)):
            head = replies.read(24)
            assert head[6:8] == b"\0\0"
            assert replies.read(int.from_bytes(head[8:12], "big"))[4:] == value


def test_connections_come_and_go_and_leave_nothing(frontend: Frontend) -> None:
    before = frontend.statistics()
    clients = [socket.create_connection((frontend.address, 11211), timeout=20) for _ in range(300)]
    for number, client in enumerate(clients):
        client.sendall(request(1, b"key%d" % number, bytes(8), b"value") + request(10, b""))
    for number, client in enumerate(clients):
        assert client.makefile("rb").read(48)[24:26] == b"\x81\x0a"
        if number % 3 == 0:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    deadline = time.monotonic() + 5
    while frontend.statistics()["sockets"]["tcp"]["now"]:
        assert time.monotonic() < deadline
    after = frontend.statistics()
    assert after["memcached"]["sessions"]["open"] == 0
    assert after["sockets"]["tcp"]["accepted"] - before["sockets"]["tcp"]["accepted"] == 300
    ends = after["sockets"]["tcp"]["closed"]
    assert ends["reset"] - before["sockets"]["tcp"]["closed"].get("reset", 0) >= 100
    assert after["events"]["failures"] == 0


def test_a_port_that_is_taken_is_said(frontend: Frontend) -> None:
    result = subprocess.run(command("--ip", frontend.address), capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    assert f"cannot listen on {frontend.address}:11211" in result.stderr
    assert "listens on TCP port 11211 already" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_address_of_another_machine_is_said() -> None:
    result = subprocess.run(command("--ip", "192.0.2.1"), capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    assert "cannot listen on 192.0.2.1:11211: Cannot assign requested address" in result.stderr
    assert "Traceback" not in result.stderr
