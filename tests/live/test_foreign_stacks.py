"""A foreign stack on a lab's TAP: what docs/foreign-stacks.md says, carried out."""

import errno
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.lab import Lab, LabError
from tests.live.node_lab import node_command

pytestmark = pytest.mark.live
PAGE = Path("docs/foreign-stacks.md")
OPEN = """
import fcntl, os, struct, sys
fd = os.open("/dev/net/tun", os.O_RDWR)
try:
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"node", int(sys.argv[1], 16)))
    print("open")
except OSError as error:
    print(error.errno)
"""
TAP, NO_PI, MULTI_QUEUE, VNET_HDR = 0x0002, 0x1000, 0x0100, 0x4000


@pytest.fixture(scope="module")
def plain() -> Iterator[Lab]:
    with Lab.create(plain_taps=["node"]) as lab:
        yield lab


def opened(lab: Lab, flags: int) -> str:
    argv = [sys.executable, "-c", OPEN, f"{flags:x}"]
    return lab.switch.run(argv, capture_output=True, text=True, timeout=30, check=True).stdout.strip()  # type: ignore[no-any-return]


def test_the_example_answers_a_ping(plain: Lab, tmp_path: Path) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    (tmp_path / "echo.py").write_text(found[1])
    argv = [sys.executable, str(tmp_path / "echo.py")]
    process = plain.node_popen("node", argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "attached\n"
    ping = ["ping", "-c", "3", "-i", "0.05", "-W", "5", plain.taps["node"].address]
    done = plain.hosts["client"].run(ping, capture_output=True, text=True, timeout=60)
    process.kill()
    process.wait()
    process.stdout.close()
    assert " 0% packet loss" in done.stdout, done.stdout


PYTAP2 = """
from pytap2 import TapDevice, TapMode
from scapy.layers.l2 import ARP, Ether
tap = TapDevice(TapMode.Tap)
print(tap.name, flush=True)
while True:
    asked = Ether(tap.read())
    if ARP in asked and asked[ARP].op == 1 and asked[ARP].pdst == "198.18.0.77":
        mac = "02:00:00:00:00:77"
        answer = ARP(op=2, hwsrc=mac, psrc="198.18.0.77", hwdst=asked.src, pdst=asked[ARP].psrc)
        tap.write(bytes(Ether(src=mac, dst=asked.src) / answer))
"""


def test_a_tap_that_pytap2_makes_joins_the_lab(plain: Lab) -> None:
    client = plain.hosts["client"]
    process = plain.switch.popen([sys.executable, "-P", "-c", PYTAP2], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    plain.switch.run(["ip", "link", "set", name, "master", "bridge", "up"], check=True)
    client.run(["ping", "-c", "1", "-W", "5", "198.18.0.77"], capture_output=True, timeout=60)
    known = client.run(["ip", "neighbour", "show", "198.18.0.77"], capture_output=True, text=True, check=True).stdout
    process.kill()
    process.wait()
    process.stdout.close()
    assert "lladdr 02:00:00:00:00:77" in known


def test_the_table_of_flags_is_true(plain: Lab) -> None:
    assert opened(plain, TAP | NO_PI) == "open"
    assert opened(plain, TAP | NO_PI | VNET_HDR) == "open"
    assert opened(plain, TAP | NO_PI | MULTI_QUEUE) == str(errno.EINVAL)
    with Lab.create() as lab:
        assert opened(lab, TAP | NO_PI | MULTI_QUEUE) == "open"
        assert opened(lab, TAP | NO_PI | MULTI_QUEUE | VNET_HDR) == "open"
        assert opened(lab, TAP | NO_PI) == str(errno.EINVAL)


@pytest.mark.parametrize("options", [[], ["--plain-tap"]])
def test_a_node_of_one_core_runs_on_it_too(plain: Lab, options: list[str]) -> None:
    argv = node_command(plain.taps["node"], *options)
    process = plain.node_popen("node", argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("ready")
    memccapable = ["memccapable", "-b", "-h", plain.taps["node"].address]
    done = plain.hosts["client"].run(memccapable, capture_output=True, text=True, timeout=60)
    process.terminate()
    assert process.communicate(timeout=20)[1] == ""
    assert "All tests passed" in done.stdout


def test_a_node_of_two_cores_is_told_why_not(plain: Lab) -> None:
    argv = node_command(plain.taps["node"], "--cores", "2")
    done = plain.switch.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "it is made for one queue" in done.stderr


def test_a_node_that_the_topology_does_not_have_is_refused() -> None:
    with pytest.raises(LabError, match="no node 'nobody'"):
        Lab.create(plain_taps=["nobody"])
