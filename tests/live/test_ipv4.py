"""IPv4 on a real TAP: fragments, DHCP, interfaces, routes, conflicts. The kernel and udhcpd are the peers."""

import re
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


def shown(node: RunningNode, address: str, *options: str) -> str:
    """What ping says of the options in the answer, the address of who answers and the times left out."""
    argv = ["ping", "-c", "1", "-W", "2", *options, address]
    result = node.client.run(argv, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    lines = result.stdout.split("time=")[1].split("---")[0].splitlines()[1:]
    text = re.sub(r"-?\b\d+( absolute)?( not-standard)?$", "TIME", "\n".join(lines), flags=re.MULTILINE)
    return text.replace(address, "HOST")


@pytest.mark.parametrize("options", [("-R",), ("-R", "-s", "3000"), ("-T", "tsonly"), ("-T", "tsandaddr")])
def test_the_route_and_times_that_ping_records_are_those_of_linux(node: RunningNode, options: tuple[str, ...]) -> None:
    linux = shown(node, node.lab.hosts["server"].address, *options)
    assert "RR:" in linux or "TS:" in linux
    assert shown(node, node.address, *options) == linux


NARROW = """
import sys
from scapy.all import ICMP, IP, Raw, conf, send, sr1
conf.verb = 0
node, client = sys.argv[1:]
reply = sr1(IP(src=client, dst=node) / ICMP(id=7) / Raw(bytes(1400)), timeout=2)
send(IP(src=client, dst=node) / ICMP(type=3, code=4, nexthopmtu=600) / Raw(bytes(reply)[:28]))
"""


def test_long_answers_go_in_fragments_where_a_router_says_that_the_path_is_narrow(tmp_path: Path) -> None:
    with running_node(tmp_path) as node:
        assert " 0% packet loss" in ping(node, 1400).stdout
        before = node.statistics()["stack"]["ipv4"]
        result = node.in_client(NARROW, node.client.address)
        assert result.returncode == 0, result.stderr
        assert " 0% packet loss" in ping(node, 1400).stdout
        after = node.statistics()["stack"]["ipv4"]
        assert before["sent_in_fragments"] == 0
        assert after["sent_in_fragments"] >= 3
        assert after["sent_fragments"] == 3 * after["sent_in_fragments"]


IDENTIFICATIONS = """
import sys
from scapy.all import ICMP, IP, TCP, UDP, conf, sr1
conf.verb = 0
probes = [ICMP(), TCP(sport=5, dport=9, flags="SA"), TCP(sport=6, dport=11211, flags="S"), UDP(dport=9)]
for probe in probes * 2:
    answer = sr1(IP(src=sys.argv[2], dst=sys.argv[1]) / probe, timeout=2)
    print(answer.id, answer.flags)
"""


def test_answers_of_a_node_do_not_count_what_it_sends(node: RunningNode) -> None:
    result = node.in_client(IDENTIFICATIONS, node.client.address)
    assert result.stdout.splitlines() == ["0 DF"] * 8, result.stdout + result.stderr


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


def test_dhcp_gives_one_address_and_a_router_beside_it(tmp_path: Path) -> None:
    """As some providers do it: a mask of all ones, and a router outside that answers ARP on the link."""
    (tmp_path / "leases").touch()
    configuration = tmp_path / "udhcpd.conf"
    text = UDHCPD.format(first="198.18.7.7", folder=tmp_path)
    configuration.write_text(text.replace("255.255.0.0", "255.255.255.255"))
    with Lab.create() as lab:
        client = lab.hosts["client"]
        server = client.popen(["udhcpd", "-f", str(configuration)], stderr=subprocess.DEVNULL)
        argv = [sys.executable, "-m", "netlab.cli", "node", "run", "memcached", "--tap", "node", "--ip", "dhcp"]
        process = lab.node_popen("node", argv, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready: memcached on 198.18.7.7:11211"), "it got no address"
        node = RunningNode(lab, process, tmp_path / "node.json")
        node.address = "198.18.7.7"
        client.run(["ip", "address", "add", "192.0.2.1/32", "dev", "lo"], check=True)
        for source in ("198.18.0.1", "192.0.2.1"):  # the router itself, and somebody behind it
            assert " 0% packet loss" in ping(node, 56, "-I", source).stdout
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
