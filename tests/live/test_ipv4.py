"""IPv4 on a real TAP: fragments, DHCP, interfaces, routes, conflicts. The kernel and udhcpd are the peers."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from ebbrt.network import UdpHandler
from netlab.lab import Lab
from netlab.topology import Machine, Topology
from stack.dhcp.configure import Dhcp, LeaseListener
from tests.live.node_lab import RunningNode, running_node
from tests.stack_harness import Harness

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    with running_node(tmp_path_factory.mktemp("node")) as running:
        yield running


def ping(node: RunningNode, size: int, *options: str) -> "subprocess.CompletedProcess[str]":
    arguments = ["ping", "-c", "3", "-i", "0.01", "-W", "2", "-s", str(size), *options, node.address]
    return node.client.run(arguments, capture_output=True, text=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("size", [1473, 8000, 65507])
def test_long_pings_travel_in_fragments_both_ways(node: RunningNode, size: int) -> None:
    before = node.statistics()["stack"]
    result = ping(node, size)
    assert result.returncode == 0, result.stdout
    assert " 0% packet loss" in result.stdout
    after = node.statistics()["stack"]
    assert after["ipv4_reassembly"]["reassembled"] == before["ipv4_reassembly"]["reassembled"] + 3
    assert after["ipv4"]["sent_in_fragments"] == before["ipv4"]["sent_in_fragments"] + 3


def test_fragments_reach_a_node_of_two_cores(tmp_path: Path) -> None:
    with running_node(tmp_path, "--cores", "2") as node:
        result = ping(node, 8000)
        assert " 0% packet loss" in result.stdout, result.stdout


# DHCP


UDHCPD = """
start {first}
end {first}
interface eth0
lease_file {folder}/leases
pidfile {folder}/pid
min_lease 10
opt lease 20
opt subnet 255.255.0.0
opt router 198.18.0.1
"""


@pytest.mark.parametrize("cores", ["1", "2"])
def test_an_address_from_dhcp_is_renewed(tmp_path: Path, cores: str) -> None:
    """The server is Debian's udhcpd; it gives 20 seconds, so that T1 comes after 10."""
    given = "198.18.7.7"
    (tmp_path / "leases").touch()
    configuration = tmp_path / "udhcpd.conf"
    configuration.write_text(UDHCPD.format(first=given, folder=tmp_path))
    with Lab.create() as lab:
        client = lab.hosts["client"]
        server = client.popen(["udhcpd", "-f", str(configuration)], stderr=subprocess.DEVNULL)
        statistics = tmp_path / "node.json"
        argv = [sys.executable, "-m", "netlab.cli", "node", "run", "memcached", "--tap", "node", "--ip", "dhcp"]
        argv += ["--cores", cores, "--statistics", str(statistics)]
        process = lab.node_popen("node", argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"ready: memcached on {given}:11211"), "it got no address"
        node = RunningNode(lab, process, statistics)
        node.address = given
        assert " 0% packet loss" in ping(node, 56).stdout
        counted = node.statistics_once(lambda now: now["dhcp"]["0"]["renewed"] >= 1, seconds=15)
        assert counted["dhcp"]["0"]["state"] == "bound"
        for _ in range(8):  # flows that come to all cores
            script = "import socket, sys; socket.create_connection((sys.argv[1], 11211), timeout=2)"
            assert node.in_client(script).returncode == 0
        assert " 0% packet loss" in ping(node, 56).stdout
        server.terminate()
        process.terminate()
        assert process.wait(timeout=10) == 0
        process.stdout.close()


# Several interfaces


TWO_TAPS = Topology(
    "198.18.0.0/16", (Machine("client", "198.18.0.1"),), (Machine("a", "198.18.0.3"), Machine("b", "198.18.0.4"))
)


def test_a_node_of_two_interfaces_answers_on_each_for_that_ones_address_only(tmp_path: Path) -> None:
    with Lab.create(TWO_TAPS) as lab:
        client = lab.hosts["client"]
        client.run(["ip", "address", "add", "198.19.0.1/16", "dev", "eth0"], check=True)
        client.run(["ip", "route", "add", "192.0.2.0/24", "dev", "lo"], check=True)
        client.run(["ip", "address", "add", "192.0.2.1/32", "dev", "lo"], check=True)
        argv = [sys.executable, "-m", "netlab.cli", "node", "run", "memcached"]
        argv += ["--tap", "a", "--ip", "198.18.0.3/16", "--tap", "b", "--ip", "198.19.0.4/16"]
        argv += ["--route", "192.0.2.0/24 via 198.19.0.1", "--statistics", str(tmp_path / "node.json")]
        process = lab.node_popen("a", argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready"), "the node did not start"

        def reaches(address: str, *options: str) -> bool:
            return client.run(["ping", "-c", "1", "-W", "1", *options, address], capture_output=True).returncode == 0

        assert reaches("198.18.0.3")
        assert reaches("198.19.0.4")
        assert reaches("198.19.0.4", "-I", "192.0.2.1"), "the answer did not take the static route"
        client.run(["ip", "route", "add", "198.18.0.4/32", "via", "198.19.0.4"], check=True)
        assert not reaches("198.18.0.4")
        process.terminate()
        assert process.wait(timeout=10) == 0
        process.stdout.close()


# Conflicts


def test_a_linux_host_with_the_same_address_is_noticed_and_answered(node: RunningNode) -> None:
    server = node.lab.hosts["server"]
    before = node.statistics()["stack"]["addresses"]["0"]
    server.run(["ip", "address", "add", f"{node.address}/16", "dev", "eth0"], check=True)
    script = f"""
import socket
from scapy.layers.l2 import ARP, Ether
mac = open("/sys/class/net/eth0/address").read().strip()
frame = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=1, hwsrc=mac, psrc="{node.address}", pdst="{node.address}")
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
link.send(bytes(frame))
"""
    server.run([sys.executable, "-c", script], check=True, timeout=60)
    counted = node.statistics_once(lambda now: now["stack"]["addresses"]["0"]["conflicts"] > before["conflicts"])[
        "stack"
    ]["addresses"]["0"]
    server.run(["ip", "address", "delete", f"{node.address}/16", "dev", "eth0"], check=True)
    assert (counted["state"], counted["given_up"]) == ("kept", 0)
    assert " 0% packet loss" in ping(node, 56).stdout


# tshark, on what the stack sends


def test_tshark_finds_nothing_wrong_with_our_igmp_and_dhcp(tmp_path: Path) -> None:
    harness = Harness()
    socket = harness.stack.udp.bind(7, UdpHandler())
    socket.join("239.1.2.3")
    socket.leave("239.1.2.3")
    Dhcp(harness.stack, LeaseListener()).configure(harness.interface)
    harness.advance(0)
    wrpcap(str(tmp_path / "sent.pcap"), [Ether(frame) for frame in harness.device.frames()])
    fields = ["igmp.type", "igmp.record_type", "igmp.maddr", "dhcp.option.dhcp", "_ws.expert.message"]
    arguments = ["tshark", "-r", str(tmp_path / "sent.pcap"), "-o", "ip.check_checksum:TRUE", "-T", "fields"]
    for field in fields:
        arguments += ["-e", field]
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=True)
    seen = [line.split("\t") for line in result.stdout.splitlines()]
    reports = [line for line in seen if line[0] == "0x22"]
    assert [line[1:3] for line in reports] == [["4", "239.1.2.3"], ["3", "239.1.2.3"]]
    assert [line[3] for line in seen if line[3]] == ["1"]
    assert not [line[4] for line in seen if "hecksum" in line[4] or "alformed" in line[4]]
