"""IPv6 on a real TAP, with Linux as the peer: addresses, neighbours, groups, and traffic both ways."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netlab.lab import Lab
from netlab.topology import ULA
from tests.live.node_lab import RunningNode, node_command, running_node

pytestmark = pytest.mark.live

ADVERTISE = """
import sys
from scapy.all import Ether, ICMPv6ND_RA, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, IPv6, get_if_hwaddr, sendp
link = get_if_hwaddr("eth0")
frame = Ether(src=link, dst="33:33:00:00:00:01") / IPv6(src=sys.argv[1], dst="ff02::1", hlim=255)
frame = frame / ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptSrcLLAddr(lladdr=link)
frame = frame / ICMPv6NDOptPrefixInfo(prefix="2001:db8:77::", prefixlen=64, validlifetime=7200, preferredlifetime=3600)
sendp(frame, iface="eth0", verbose=False)
"""

STORE = """
import socket, struct, sys
def request(opcode, key, extras=b"", value=b""):
    length = len(key) + len(extras) + len(value)
    return struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, length, 7, 0) + extras + key + value
s = socket.create_connection((sys.argv[1], 11211), timeout=10)
value = bytes(range(256)) * 400
s.sendall(request(1, b"key", bytes(8), value) + request(0, b"key"))
data = b""
while len(data) < 24 + 24 + 4 + len(value):
    data += s.recv(65536) or sys.exit("closed")
assert data.endswith(value)
print("stored")
"""


def node_ipv6(lab: Lab) -> str:
    return lab.taps["node"].ipv6


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    address = str(ULA.network_address + 0xC6120003)
    with running_node(tmp_path_factory.mktemp("ipv6"), "--ip6", f"{address}/{ULA.prefixlen}") as running:
        assert address == node_ipv6(running.lab)
        yield running


def test_ping_of_every_size_is_answered(node: RunningNode) -> None:
    for size in (0, 56, 1452, 1453, 4000):
        result = node.client.run(
            ["ping", "-6", "-c", "3", "-i", "0.01", "-W", "2", "-s", str(size), node_ipv6(node.lab)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert result.returncode == 0, result.stdout + result.stderr


HEADERS = """
import sys, time
from scapy.all import *
conf.verb = 0
header = IPv6(src=sys.argv[2], dst=sys.argv[1])
echo = ICMPv6EchoRequest(id=7, data=bytes(40))
plain = bytes(header / echo)[40:]  # with its checksum

def with_headers(count):
    packet = echo
    for _ in range(count):
        packet = IPv6ExtHdrDestOpt() / packet
    return packet

hop_by_hop = IPv6ExtHdrFragment(id=7, nh=0) / Raw(bytes(IPv6ExtHdrHopByHop(nh=58)) + plain)
for packet in (with_headers(8), with_headers(48), hop_by_hop):
    is_answer = lambda p: IPv6 in p and p[IPv6].src == header.dst and p[IPv6].nh == 58 and p[IPv6].payload.type < 130
    sniffer = AsyncSniffer(iface="eth0", lfilter=is_answer)
    sniffer.start()
    time.sleep(0.3)
    send(header / packet)
    time.sleep(0.3)
    (answer,) = sniffer.stop()
    answer = answer[IPv6].payload
    print(type(answer).__name__, answer.code, getattr(answer, "ptr", ""))
"""


def test_extension_headers_are_answered_as_linux_answers_them(node: RunningNode) -> None:
    def answers(address: str) -> str:
        argv = [sys.executable, "-c", HEADERS, address, node.client.ipv6]
        result = node.client.run(argv, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        return result.stdout  # type: ignore[no-any-return]

    linux = answers(node.lab.hosts["server"].ipv6)
    assert linux.split() == ["ICMPv6EchoReply", "0", "ICMPv6EchoReply", "0", "ICMPv6ParamProblem", "1", "40"]
    assert answers(node_ipv6(node.lab)) == linux


def test_memcached_stores_over_ipv6(node: RunningNode) -> None:
    result = node.client.run(
        [sys.executable, "-c", STORE, node_ipv6(node.lab)], capture_output=True, text=True, timeout=60
    )
    assert result.stdout.strip() == "stored", result.stderr


def test_a_closed_port_refuses(node: RunningNode) -> None:
    for kind in ("SOCK_STREAM", "SOCK_DGRAM"):
        script = f"""
import socket, sys
s = socket.socket(socket.AF_INET6, socket.{kind})
s.settimeout(2)
try:
    s.connect((sys.argv[1], 9)); s.send(b"x"); s.recv(1)
except ConnectionRefusedError:
    print("refused")
"""
        result = node.client.run([sys.executable, "-c", script, node_ipv6(node.lab)], capture_output=True, text=True)
        assert result.stdout.strip() == "refused", result.stderr


def test_a_node_connects_to_linux_over_ipv6() -> None:
    with Lab.create() as lab:
        server = lab.hosts["server"]
        argv = [sys.executable, "-m", "apps.transfer.linux", "serve", "--address", server.ipv6]
        serving = server.popen(argv, stdout=subprocess.PIPE, text=True)
        assert serving.stdout is not None
        assert serving.stdout.readline().startswith("ready")
        tap = lab.taps["node"]
        where = ["--tap", tap.name, "--ip", f"{tap.address}/{tap.prefix_length}", "--ip6", f"{tap.ipv6}/64"]
        command = [sys.executable, "-m", "netlab.cli", "node", "run", "transfer", *where]
        process = lab.node_popen(
            "node",
            [*command, "put", server.ipv6, "1000000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        output, _ = process.communicate(timeout=60)
        serving.terminate()
        serving.wait(timeout=10)
        serving.stdout.close()
    outcome = json.loads(next(line for line in output.splitlines() if line.startswith("{")))
    assert outcome["equal"], output


def test_a_router_advertisement_gives_addresses(tmp_path: Path) -> None:
    with running_node(tmp_path, "--ip6", "auto") as node:
        client = node.client
        shown = client.run(
            ["ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link"], capture_output=True, text=True
        )
        local = shown.stdout.split()[3].split("/")[0]
        client.run([sys.executable, "-c", ADVERTISE, local], check=True)
        node.statistics_once(lambda counted: counted["stack"]["ndp"]["addresses"] == 3)
        node.statistics_once(lambda counted: counted["stack"]["ndp"]["tentative"] == 0)
        client.run(["ip", "-6", "addr", "add", "2001:db8:77::1/64", "dev", "eth0", "nodad"], check=True)
        client.run(["ping", "-6", "-c", "1", "-W", "1", "-I", "2001:db8:77::1", "ff02::1%eth0"], capture_output=True)
        wait_for(lambda: "2001:db8:77:" in neighbours(node))
        found = [line.split()[0] for line in neighbours(node).splitlines() if line.startswith("2001:db8:77:")]
        result = client.run(["ping", "-6", "-c", "1", "-W", "2", found[0]], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout


def neighbours(node: RunningNode) -> str:
    return str(node.client.run(["ip", "-6", "neigh"], capture_output=True, text=True).stdout)


def test_groups_are_reported_as_tshark_reads_it(tmp_path: Path) -> None:
    with Lab.create() as lab:
        listener = lab.hosts["client"].popen(
            ["tshark", "-l", "-i", "eth0", "-Y", "icmpv6.type == 143", "-T", "fields",
             "-e", "icmpv6.mldr.mar.multicast_address", "-e", "icmpv6.checksum.status"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert listener.stderr is not None
        while "Capturing" not in listener.stderr.readline():
            pass
        tap = lab.taps["node"]
        process = lab.node_popen(
            "node", node_command(tap, "--ip6", f"{tap.ipv6}/64"), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready")
        assert listener.stdout is not None
        lines = [listener.stdout.readline().split()]
        while len(lines) < 12 and lines[-1][0] != "ff02::1:ff12:3":  # hosts report theirs too
            lines.append(listener.stdout.readline().split())
        for one in (process, listener):
            one.terminate()
            one.wait(timeout=10)
            one.stdout.close()
        listener.stderr.close()
    assert lines[-1] == ["ff02::1:ff12:3", "1"]
