"""A lab's network as the kernel sees it: reachable, quiet, steered and shaped as told."""

import os
import sys
import time
from pathlib import Path

import pytest

from netlab import privilege
from netlab.lab import Lab, LabError
from netlab.links import LinkError
from netlab.topology import ipv6_address, mac_address
from stack.tcp.controllers import DEFAULT_CONTROLLER

pytestmark = pytest.mark.live
needs_root = pytest.mark.skipif(privilege.INSIDE in os.environ, reason="RPS masks may be set by root only")

PING = """
import socket, struct, sys
ping = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
ping.settimeout(5)
ping.sendto(struct.pack("!BBHHH", 8, 0, 0xFFFF - 0x0800 - 7 - 1, 7, 1), (sys.argv[1], 0))
while ping.recv(2048)[20] != 0:  # echo reply
    pass
"""
RECEIVE = """
import socket
server = socket.create_server(("", 7000))
print("listening", flush=True)
connection = server.accept()[0]
total = 0
while data := connection.recv(1 << 20):
    total += len(data)
print(total, flush=True)
"""
SEND = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 7000))
connection.sendall(bytes(int(sys.argv[2])))
connection.shutdown(socket.SHUT_WR)
connection.recv(1)
"""
ACCEPT = """
import socket
server = socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True)
print("listening", flush=True)
connection = server.accept()[0]
print(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\\0").decode(), flush=True)
"""
SCAPY = """
import sys
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
print(IP(dst=sys.argv[1]).src, IPv6(dst=sys.argv[2]).src)
"""
CONNECT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 7000))
print(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\\0").decode(), flush=True)
"""


@pytest.fixture(scope="module")
def lab():
    with Lab.create() as lab:
        yield lab


def transfer(lab: Lab, sender: str, receiver: str, size: int) -> float:
    """Seconds that ``size`` bytes take over TCP."""
    with lab.hosts[receiver].popen([sys.executable, "-c", RECEIVE], stdout=-1, text=True) as sink:
        assert sink.stdout is not None
        assert sink.stdout.readline() == "listening\n"
        start = time.monotonic()
        lab.hosts[sender].run(
            [sys.executable, "-c", SEND, lab.hosts[receiver].address, str(size)], timeout=30, check=True
        )
        assert int(sink.stdout.readline()) == size
        return time.monotonic() - start


def ping(lab: Lab) -> None:
    """From client to server. Raises CalledProcessError when nothing comes back."""
    argv = [sys.executable, "-c", PING, lab.hosts["server"].address]
    lab.hosts["client"].run(argv, timeout=10, capture_output=True, check=True)


def test_hosts_reach_each_other_through_the_bridge(lab: Lab):
    ping(lab)
    neighbours = lab.hosts["client"].run(["ip", "neigh"], capture_output=True, text=True).stdout
    assert mac_address(lab.hosts["server"].address) in neighbours


@pytest.mark.parametrize("version", [4, 6])
def test_hosts_have_the_congestion_control_of_nodes(lab: Lab, version: int):
    available = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
    if DEFAULT_CONTROLLER not in available:
        pytest.skip(f"this kernel has no {DEFAULT_CONTROLLER}")
    server = lab.hosts["server"]
    with server.popen([sys.executable, "-c", ACCEPT], stdout=-1, text=True) as accepting:
        assert accepting.stdout is not None
        assert accepting.stdout.readline() == "listening\n"
        address = server.address if version == 4 else ipv6_address(server.address)
        argv = [sys.executable, "-c", CONNECT, address]
        connected = lab.hosts["client"].run(argv, timeout=10, capture_output=True, text=True, check=True).stdout
        assert (connected, accepting.stdout.readline()) == (f"{DEFAULT_CONTROLLER}\n", f"{DEFAULT_CONTROLLER}\n")


def test_scapy_on_a_host_sends_from_its_addresses(lab: Lab):
    """It reads the kernel's tables: a route there without a source was one from 0.0.0.0."""
    client, tap = lab.hosts["client"], lab.taps["node"]
    argv = [sys.executable, "-c", SCAPY, tap.address, tap.ipv6]
    said = client.run(argv, timeout=60, capture_output=True, text=True, check=True).stdout
    assert said.split() == [client.address, client.ipv6]


def test_a_host_whose_interface_was_down_is_back_when_it_is_up():
    with Lab.create() as lab:
        for state in ("down", "up"):
            lab.hosts["client"].run(["ip", "link", "set", lab.hosts["client"].interface, state], check=True)
        ping(lab)


def test_a_lab_reaches_nothing_else(lab: Lab):
    for machine in (lab.switch, *lab.hosts.values()):
        routes = machine.run(["ip", "-o", "route", "show", "table", "all"], capture_output=True, text=True).stdout
        for route in routes.splitlines():
            own = ("198.18", "fd6e:6574:6c61:62:", "fe80:", "multicast ff00::/8", "dev lo")
            assert any(text in route for text in own), route


def test_nobody_speaks_unasked(lab: Lab):
    assert lab.switch.run(["ip", "-6", "address"], capture_output=True, text=True).stdout == ""
    for host in lab.hosts.values():
        addresses = host.run(["ip", "-6", "-o", "address"], capture_output=True, text=True).stdout
        assert [line.split()[3].split("/")[0] for line in addresses.splitlines()][:2] == ["::1", host.ipv6]
        assert "tentative" not in addresses
        settings = [f"/proc/sys/net/ipv6/conf/eth0/{name}" for name in ("accept_ra", "router_solicitations")]
        assert host.run(["cat", *settings], capture_output=True, text=True).stdout.split() == ["0", "0"]
    settings = lab.switch.run(
        ["sh", "-c", "cat /proc/sys/net/bridge/bridge-nf-call-*"], capture_output=True, text=True
    ).stdout
    assert set(settings.split()) <= {"0"}


def test_the_switch_has_a_port_for_each_machine_and_marks_them_with_the_labs_name(lab: Lab):
    ports = lab.switch.run(["ip", "link", "show", "master", lab.bridge], capture_output=True, text=True).stdout
    for machine in lab.topology.machines:
        assert f" {machine.name}" in ports
    assert ports.count(f"alias netlab:{lab.name}") == 3


def test_the_tap_can_be_attached_by_name_with_a_virtio_net_header(lab: Lab):
    attach = """
import fcntl, os, struct, sys
from pathlib import Path
tap = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tap, 0x400454CA, struct.pack("16sH22x", b"node", 0x5102))
print(Path("/sys/class/net/node/carrier").read_text().strip())
"""
    result = lab.node_popen("node", [sys.executable, "-c", attach], stdout=-1, stderr=-1, text=True)
    out, err = result.communicate(timeout=10)
    assert (out, err) == ("1\n", "")
    assert len(lab.receive_masks("node")) == 1  # it stays when nobody has it open


@needs_root
def test_programs_run_on_the_cpu_they_were_given(lab: Lab):
    argv = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"]
    last = os.cpu_count() - 1
    assert lab.hosts["client"].run(argv, cpu=last, capture_output=True, text=True).stdout == f"{{{last}}}\n"
    lab.steer("client", 0)
    try:
        assert lab.hosts["client"].run(argv, capture_output=True, text=True).stdout == "{0}\n"
    finally:
        lab.unsteer("client")


@needs_root
def test_steering_a_host_sets_the_mask_of_each_queue_and_clears_it_again(lab: Lab):
    cpu = os.cpu_count() - 1
    lab.steer("server", cpu)
    assert set(lab.receive_masks("server")) == {1 << cpu}
    assert set(lab.receive_masks("client")) == {0}
    lab.unsteer("server")
    assert set(lab.receive_masks("server")) == {0}


def test_steering_a_node_leaves_its_tap_alone_and_pins_its_program(lab: Lab):
    lab.steer("node", 0)
    try:
        assert lab.receive_masks("node") == [0]
        argv = [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"]
        process = lab.node_popen("node", argv, stdout=-1, text=True)
        assert process.communicate(timeout=10)[0] == "{0}\n"
    finally:
        lab.unsteer("node")


@needs_root
def test_receive_processing_moves_to_the_steered_cpu(lab: Lab):
    """Sender on CPU 0, receiver steered to CPU 1: the softnet row of CPU 1 counts the frames handed to it by RPS."""
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one CPU: nothing to hand over to")

    def handed_over() -> int:
        with open("/proc/net/softnet_stat") as file:
            return int(file.read().splitlines()[1].split()[9], 16)  # received_rps: interrupts for RPS

    lab.steer("client", 0)
    lab.steer("server", 1)
    before = handed_over()
    transfer(lab, "client", "server", 4_000_000)
    steered = handed_over() - before
    lab.unsteer("client")
    lab.unsteer("server")
    assert steered > 10


@needs_root
def test_a_cpu_that_is_not_there_is_refused(lab: Lab):
    with pytest.raises(LinkError):
        lab.steer("server", 4095)
    assert set(lab.receive_masks("server")) == {0}


def test_shaping_limits_one_direction_and_is_removed(lab: Lab):
    size = 4_000_000
    lab.shape("server", 50_000_000)
    towards = transfer(lab, "client", "server", size)
    away = transfer(lab, "server", "client", size)
    lab.unshape("server")
    again = transfer(lab, "client", "server", size)
    assert 0.95 * size * 8 / 50e6 < towards < 2 * size * 8 / 50e6
    assert away < towards / 2
    assert again < towards / 2


def test_a_shaped_port_queues_without_drops_what_64_connections_may_have_outstanding(lab: Lab):
    lab.shape("server", 1_000_000_000)
    transfer(lab, "client", "server", 20_000_000)
    counters = lab.switch.run(["tc", "-s", "qdisc", "show", "dev", "server"], capture_output=True, text=True).stdout
    lab.unshape("server")
    assert "tbf" in counters
    assert "dropped 0" in counters


def test_shaping_a_node_is_shaping_its_tap(lab: Lab):
    lab.shape("node", 1_000_000_000)
    kinds = lab.switch.run(["tc", "qdisc", "show", "dev", "node"], capture_output=True, text=True).stdout
    assert "tbf" in kinds
    assert "rate 1Gbit" in kinds
    lab.unshape("node")
    kinds = lab.switch.run(["tc", "qdisc", "show", "dev", "node"], capture_output=True, text=True).stdout
    assert "tbf" not in kinds


def test_a_wrong_name_is_an_error_that_says_what_there_is(lab: Lab):
    for call in (lambda: lab.steer("nobody", 0), lambda: lab.shape("nobody", 1), lambda: lab.host("nobody")):
        with pytest.raises(LabError, match="nobody"):
            call()
    with pytest.raises(LabError, match="no program 'no-such-program'"):
        lab.hosts["client"].run(["no-such-program"])
