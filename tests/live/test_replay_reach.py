"""Traffic for a lab's addresses stays in labs: ``netlab replay`` goes there from a host of the lab, or not at all."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from captures.reach import OutsideLabError, require_lab
from netlab import namespaces
from netlab.lab import Lab
from tests.conversation import GET, SET, Conversation, reply, request, save
from tests.live.test_capture_live import SERVER, end, start_memcached

pytestmark = pytest.mark.live

IFA_F_NODAD = 2  # linux/if_addr.h: the address serves at once
NETLAB = [sys.executable, "-m", "netlab.cli"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.create() as made:
        yield made


def netlab(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NETLAB, *arguments], capture_output=True, text=True, timeout=30, check=False)


def recording(tmp_path: Path) -> Path:
    talk = Conversation().handshake().client(request(SET, b"k", b"v")).server(reply(SET, cas=1))
    return save(tmp_path / "a.pcap", talk.client(request(GET, b"k")).server(reply(GET, b"v", cas=1)).close().packets)


def with_default_route(address: str) -> str:
    """Make the calling thread's network a machine with a default route, and say what became of ``address``."""
    with IPRoute() as ip:
        ip.link("add", ifname="out", kind="veth", peer={"ifname": "in"})
        index = ip.link_lookup(ifname="out")[0]
        for each in (index, ip.link_lookup(ifname="in")[0]):
            ip.link("set", index=each, state="up")
        ip.addr("add", index=index, address="10.9.9.2", prefixlen=24)
        ip.addr("add", index=index, address="fd99::2", prefixlen=64, flags=IFA_F_NODAD)
        ip.route("add", dst="default", gateway="10.9.9.1")
        ip.route("add", dst="default", gateway="fd99::1", family=10)
    try:
        require_lab(address)
    except OutsideLabError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("address", ["198.18.0.3", "198.19.255.1", "fd6e:6574:6c61:62::c612:3", "::ffff:198.18.0.3"])
def test_an_address_of_a_lab_is_refused_outside(address: str) -> None:
    said = namespaces.run_in_scratch(lambda: with_default_route(address))
    assert f"{address} is an address of a lab" in said


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.9.9.7", "198.17.255.255"])
def test_other_addresses_are_nobodys_business(address: str) -> None:
    assert namespaces.run_in_scratch(lambda: with_default_route(address)) == ""


def test_without_a_route_nothing_can_leave() -> None:
    namespaces.run_in_scratch(lambda: require_lab("198.18.0.3"))


def test_replay_goes_from_a_host_of_the_lab(tmp_path: Path, lab: Lab) -> None:
    process = start_memcached(lab)
    try:
        ran = netlab(
            "replay", str(recording(tmp_path)), "--lab", lab.name, "--from", "client", "--to", SERVER, "--json"
        )
    finally:
        end(process)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["equal"] == 2


def test_replay_names_the_hosts_that_there_are(tmp_path: Path, lab: Lab) -> None:
    ran = netlab("replay", str(recording(tmp_path)), "--lab", lab.name, "--from", "nobody", "--to", SERVER)
    assert ran.returncode != 0
    assert "nobody" in ran.stderr
    assert "Traceback" not in ran.stderr
