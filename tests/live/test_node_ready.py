"""What "ready" means: a node that neighbours reach, or lines that say what is missing, or no node at all."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from netlab.lab import Host, Lab
from netlab.topology import mac_address

pytestmark = pytest.mark.live
RUN = [sys.executable, "-m", "netlab.cli", "node", "run", "memcached"]
FREE = "198.18.0.77"  # the topology has given it to nobody
FREE6 = "fd6e:6574:6c61:62::77"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.create() as lab:
        yield lab


def refusal(where: Host, *options: str) -> str:
    """What a node says that does not start."""
    done = where.run([*RUN, *options], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, ""), done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return str(done.stderr)


def said_by(where: Host, *options: str, until: str = "ready") -> list[str]:
    """The lines on standard error of a node that has been ended once it was ready."""
    process = where.popen([*RUN, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=20)[1]
    assert line.startswith("ready"), said
    return [text for text in said.splitlines() if "nothing else could" not in text]  # this machine is busy


@pytest.mark.parametrize(
    "options", [[], ["--cores", "2"], ["--plain-tap"], ["--ip6", "fd6e:6574:6c61:62::c612:3/64"], ["--layers"]]
)
def test_a_node_in_its_place_has_nothing_to_say(lab: Lab, options: list[str]) -> None:
    assert said_by(lab.switch, "--tap", "node", "--ip", "198.18.0.3/16", *options) == []


def test_nobody_on_the_wire_hears_the_question_whether_it_answers(lab: Lab, tmp_path: Path) -> None:
    capture = ["tcpdump", "-i", "eth0", "-n", "-l", "-e", "--immediate-mode", "arp or icmp6"]
    heard = lab.hosts["client"].popen(capture, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert heard.stderr is not None
    assert any("listening on" in line for line in iter(heard.stderr.readline, ""))
    said_by(lab.switch, "--tap", "node", "--ip", "198.18.0.3/16", "--ip6", "fd6e:6574:6c61:62::c612:3/64")
    heard.terminate()
    frames = heard.communicate(timeout=10)[0]
    assert "02:00:c6:12:00:03" in frames, "nothing was heard at all"
    assert "06:00:c6:12:00:03" not in frames, frames


def test_a_tap_that_is_not_there_is_not_made(lab: Lab) -> None:
    """It was, and the node was ready behind it."""
    said = refusal(lab.switch, "--tap", "nod", "--ip", "198.18.0.3/16")
    assert "there is no TAP nod in this network namespace" in said
    assert "There is: node." in said
    said = refusal(lab.hosts["client"], "--tap", "node", "--ip", "198.18.0.3/16")
    assert "netlab exec --lab" in said
    links = lab.hosts["client"].run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    assert "node" not in links


@pytest.mark.parametrize("options", [[], ["--plain-tap"]])
def test_a_tap_is_made_when_asked_for_and_leads_nowhere_yet(lab: Lab, options: list[str]) -> None:
    host = lab.hosts["server"]
    (said,) = said_by(host, "--tap", "mine", "--make-tap", "--ip", "198.19.0.3/16", *options)
    assert "TAP mine leads nowhere" in said
    assert "mine" not in host.run(["ip", "-o", "link"], capture_output=True, text=True).stdout


@pytest.mark.parametrize("options", [["--make-tap"], ["--plain-tap", "--make-tap"], ["--plain-tap"]])
def test_a_name_of_sixteen_bytes_is_not_cut(lab: Lab, options: list[str]) -> None:
    said = refusal(lab.switch, "--tap", "sixteen-letters-", "--ip", f"{FREE}/16", *options)
    assert "sixteen-letters-" in said
    links = lab.switch.run(["ip", "-o", "link"], capture_output=True, text=True).stdout
    assert "sixteen" not in links


def test_what_is_no_tap_is_told_so(lab: Lab) -> None:
    for options in ([], ["--plain-tap"], ["--cores", "2"]):
        assert "it is no TAP" in refusal(lab.switch, "--tap", "bridge", "--ip", f"{FREE}/16", *options)


def test_a_tap_that_is_down_is_said(lab: Lab) -> None:
    lab.switch.run(["ip", "link", "set", "node", "down"], check=True)
    try:
        (said,) = said_by(lab.switch, "--tap", "node", "--ip", "198.18.0.3/16")
        assert "TAP node is down" in said
    finally:
        lab.switch.run(["ip", "link", "set", "node", "up"], check=True)


def test_a_tap_that_is_no_port_is_said_and_one_that_the_host_uses_is_not(lab: Lab) -> None:
    lab.switch.run(["ip", "link", "set", "node", "nomaster"], check=True)
    try:
        (said,) = said_by(lab.switch, "--tap", "node", "--ip", "198.18.0.3/16")
        assert "TAP node leads nowhere" in said
        lab.switch.run(["ip", "address", "add", "198.18.9.9/16", "dev", "node"], check=True)
        assert said_by(lab.switch, "--tap", "node", "--ip", "198.18.0.3/16") == []
        lab.switch.run(["ip", "address", "delete", "198.18.9.9/16", "dev", "node"], check=True)
    finally:
        lab.switch.run(["ip", "link", "set", "node", "master", lab.bridge], check=True)


@pytest.mark.parametrize("address", ["198.18.0.0/16", "198.18.255.255/16", "224.0.0.1/4", "127.0.0.1/8", "0.0.0.0/8"])
def test_an_address_that_no_host_has_is_refused(lab: Lab, address: str) -> None:
    assert f"TAP node cannot have {address}" in refusal(lab.switch, "--tap", "node", "--ip", address)


def test_another_machines_address_is_refused_by_name(lab: Lab) -> None:
    said = refusal(lab.switch, "--tap", "node", "--ip", "198.18.0.2/16")
    assert f"198.18.0.2 is the address of the host 'server' in the lab '{lab.name}'" in said
    assert "TAP node has been given 198.18.0.3/16" in said
    said = refusal(lab.switch, "--tap", "node", "--ip", "198.18.0.3/16", "--ip6", f"{lab.hosts['server'].ipv6}/64")
    assert "is the address of the host 'server'" in said


@pytest.mark.parametrize("cores", ["1", "2"])
def test_an_address_that_somebody_has_taken_meanwhile_is_refused(lab: Lab, cores: str) -> None:
    server = lab.hosts["server"]
    server.run(["ip", "address", "add", f"{FREE}/16", "dev", "eth0"], check=True)
    try:
        said = refusal(lab.switch, "--tap", "node", "--ip", f"{FREE}/16", "--cores", cores)
    finally:
        server.run(["ip", "address", "delete", f"{FREE}/16", "dev", "eth0"], check=True)
    assert f"{FREE} on TAP node is another machine's already: it is at {mac_address(server.address)}" in said


def test_so_is_an_ipv6_address(lab: Lab) -> None:
    server = lab.hosts["server"]
    server.run(["ip", "address", "add", f"{FREE6}/64", "dev", "eth0"], check=True)
    try:
        said = refusal(lab.switch, "--tap", "node", "--ip", "198.18.0.3/16", "--ip6", f"{FREE6}/64")
    finally:
        server.run(["ip", "address", "delete", f"{FREE6}/64", "dev", "eth0"], check=True)
    assert f"{FREE6} on TAP node is another machine's already: it is at {mac_address(server.address)}" in said


GRATUITOUS = """
import socket, sys
mac = bytes.fromhex(open("/sys/class/net/eth0/address").read().strip().replace(":", ""))
address = socket.inet_aton(sys.argv[1])
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(("eth0", 0))
link.send(b"\\xff" * 6 + mac + bytes.fromhex("08060001080006040001") + mac + address + bytes(6) + address)
"""


def test_a_conflict_that_comes_later_is_reported_and_the_address_kept(lab: Lab) -> None:
    argv = [*RUN, "--tap", "node", "--ip", f"{FREE}/16"]
    process = lab.node_popen("node", argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("ready")
    server = lab.hosts["server"]
    server.run([sys.executable, "-c", GRATUITOUS, FREE], check=True, timeout=30)
    line = next(line for line in iter(process.stderr.readline, "") if "nothing else could" not in line)
    assert f"{FREE} on TAP node is another machine's already: it is at {mac_address(server.address)}" in line
    assert "keeps it" in line
    ping = lab.hosts["client"].run(["ping", "-c", "1", "-W", "5", FREE], capture_output=True)
    assert ping.returncode == 0
    process.terminate()
    assert process.wait(timeout=20) == 0
    process.communicate()


# DHCP


def test_a_node_without_a_dhcp_server_says_so_and_ends(lab: Lab) -> None:
    said = refusal(lab.switch, "--tap", "node", "--ip", "dhcp", "--dhcp-limit", "6").splitlines()
    assert "no DHCP server answers on TAP node; the node goes on asking, for 6 seconds in all" in said[0]
    assert "TAP node has got no address by DHCP in 6 seconds: nobody has answered" in said[1]
    assert "netlab up --dhcp" in said[2]


@pytest.mark.parametrize("cores", ["1", "2"])
def test_a_lab_can_have_a_dhcp_server(cores: str) -> None:
    def netlab(*arguments: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "netlab.cli", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, timeout=120)

    name = f"dhcp{cores}"
    up = netlab("up", "--dhcp", "--name", name)
    assert up.returncode == 0, up.stderr
    try:
        lab = Lab.open(name)
        argv = [*RUN, "--tap", "node", "--ip", "dhcp", "--cores", cores]
        process = lab.node_popen("node", argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None
        line = process.stdout.readline()
        ping = lab.hosts["client"].run(["ping", "-c", "1", "-W", "5", "198.18.0.3"], capture_output=True)
        process.terminate()
        said = process.communicate(timeout=20)[1]
        assert line.startswith("ready: memcached on 198.18.0.3:11211"), said
        assert ping.returncode == 0
    finally:
        assert netlab("down", name).returncode == 0
    assert name not in netlab("status").stdout
