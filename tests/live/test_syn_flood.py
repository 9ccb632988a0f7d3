"""A flood of SYNs from the lab's client against a node on a real TAP: who is connected stays, who comes gets in."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.node_lab import PORT, RunningNode, running_node

pytestmark = pytest.mark.live

FRAMES = 200_000
RATE = 100_000  # frames a second, if this machine can

# Sends FRAMES spoofed SYNs, each from another port of another neighbour, paced by the millisecond; prints the seconds.
FLOOD = """
import json, random, socket, struct, subprocess, sys, time
address, port, frames, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
socket.create_connection((address, port)).close()
link = json.loads(subprocess.run(["ip", "-j", "neigh", "show", address], capture_output=True, text=True).stdout)[0]
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((link["dev"], 0))
def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF ^ ((total & 0xFFFF) + (total >> 16))
chance = random.Random(1)
mac = bytes.fromhex(link["lladdr"].replace(":", ""))
to = socket.inet_aton(address)
made = []
for _ in range(20_000):
    source = to[:2] + bytes([chance.randrange(10, 250), chance.randrange(1, 255)])
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 44, 0, 0x4000, 64, 6, 0, source, to)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    ports = chance.randrange(1024, 65536), port
    tcp = struct.pack("!HHIIBBHHHI", *ports, chance.getrandbits(32), 0, 0x60, 2, 8192, 0, 0, 0x020405B4)
    sum_ = checksum(source + to + struct.pack("!HH", 6, 24) + tcp)
    tcp = tcp[:16] + struct.pack("!H", sum_) + tcp[18:]
    made.append(mac + b"\\x02\\0\\0\\0\\0\\xfe" + b"\\x08\\0" + ip + tcp)
start = time.monotonic()
for number in range(frames):
    try:
        out.send(made[number % len(made)])
    except OSError:
        pass  # the queue is full: a frame less
    if number % 100 == 99:
        ahead = start + number / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
print(time.monotonic() - start)
"""

# Asks over a connection that was open before, and over new ones, until it is told to stop; prints what it saw.
HONEST = """
import json, select, socket, sys, time
address, port = sys.argv[1], int(sys.argv[2])
def connect():
    s = socket.create_connection((address, port), timeout=20)
    s.settimeout(20)
    return s
def ask(s):
    s.sendall(b"version\\r\\n" if text else request)
    data = b""
    while len(data) < 24:
        data += s.recv(4096) or sys.exit("closed")
text = False
request = bytes([0x80, 0x0B]) + bytes(22)
old = connect()
ask(old)
print("ready", flush=True)
asked = opened = 0
slowest = 0.0
while not select.select([sys.stdin], [], [], 0)[0]:
    start = time.monotonic()
    ask(old)
    asked += 1
    with connect() as new:
        ask(new)
    opened += 1
    slowest = max(slowest, time.monotonic() - start)
print(json.dumps({"asked": asked, "opened": opened, "slowest": slowest}))
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("node")) as running:
        yield running


def test_a_flood_is_survived(node: RunningNode, record_property) -> None:
    honest = node.client.popen(
        [sys.executable, "-c", HONEST, node.address, str(PORT)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert honest.stdout.readline() == "ready\n"
        memory = node.resident_bytes()
        flood = node.in_client(FLOOD, str(PORT), str(FRAMES), str(RATE))
        assert flood.returncode == 0, flood.stderr
        time.sleep(0.1)
        output, _ = honest.communicate("\n", timeout=60)
        seen = json.loads(output)
    finally:
        honest.kill()
        honest.wait()
    record_property("seen", seen)
    record_property("frames_per_second", FRAMES / float(flood.stdout))
    assert seen["asked"] >= 3
    assert seen["opened"] >= 3
    statistics = node.statistics()["stack"]
    tcp = statistics["tcp"]
    assert tcp["syn_cookies"]["sent"] > 1_000
    assert tcp["syn_cookies"]["accepted"] >= 1
    assert tcp["connections"]["handshakes"] <= 1024
    assert statistics["arp"]["neighbours"] <= 300
    assert node.resident_bytes() - memory < 16 << 20
    assert node.process.poll() is None


def test_it_serves_as_before_afterwards(node: RunningNode) -> None:
    script = "import socket, sys; socket.create_connection((sys.argv[1], 11211), timeout=5).close(); print('open')"
    assert node.in_client(script).stdout == "open\n"
    assert Path("/proc", str(node.process.pid)).exists()
