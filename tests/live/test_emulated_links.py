"""Emulated links of a lab that runs: what pings and transfers find, changes and clearing, and nothing left behind."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from netlab import namespaces
from netlab.emulation import insertion
from netlab.emulation.insertion import EmulationError
from netlab.emulation.settings import LinkSettingsError
from netlab.lab import Lab, LabError
from tests.live.test_lab_cleanup import is_running
from tests.live.test_lab_network import transfer

pytestmark = pytest.mark.live

OWNER = """
import time
from netlab.lab import Lab
with Lab.create() as lab:
    lab.emulate("client", to="delay=1ms")
    print(lab.name, lab.switch.processes[0].pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def lab():
    with Lab.create() as lab:
        yield lab


@pytest.fixture(autouse=True)
def _cleared(lab: Lab):
    yield
    for machine in lab.topology.machines:
        lab.unemulate(machine.name)


def pings(lab: Lab, count: int = 10) -> list[float]:
    """Round trips from client to server in milliseconds, of the pings that were answered."""
    argv = ["ping", "-n", "-i", "0.01", "-W", "1", "-c", str(count), lab.hosts["server"].address]
    said = lab.hosts["client"].run(argv, timeout=30, capture_output=True, text=True).stdout
    return [float(time) for time in re.findall(r"time=([\d.]+) ms", said)]


def ports(lab: Lab) -> str:
    return lab.switch.run(["ip", "-br", "link", "show", "master", lab.bridge], capture_output=True, text=True).stdout


def test_a_delay_is_added_each_way_changed_and_cleared(lab: Lab):
    lab.emulate("server", to="delay=20ms", from_="delay=30ms")
    assert 50 <= min(pings(lab)) < 52
    lab.emulate("server", from_="")
    assert 20 <= min(pings(lab)) < 22
    lab.unemulate("server")
    assert min(pings(lab)) < 5
    assert lab.emulated("server") is None


def test_both_machines_links_are_on_the_way(lab: Lab):
    lab.emulate("client", from_="delay=5ms")
    lab.emulate("server", to="delay=10ms")
    assert 15 <= min(pings(lab)) < 17


def test_loss_is_counted_where_it_happened(lab: Lab):
    lab.emulate("server", to="loss=30%", seed=3)
    answered = len(pings(lab, 40))
    counted = lab.emulated("server")
    assert counted is not None
    assert counted["to"]["settings"] == "loss=30%"
    assert counted["to"]["statistics"]["lost"] > 0
    assert counted["to"]["statistics"]["arrivals"] >= answered
    assert counted["from"]["statistics"]["lost"] == 0
    assert answered < 40


def test_a_rate_limits_a_transfer_of_one_direction_and_the_relay_keeps_up(lab: Lab):
    size = 4_000_000
    lab.emulate("server", to="rate=50mbit,limit=1000")
    towards = transfer(lab, "client", "server", size)
    assert 0.99 * size * 8 / 50e6 < towards < 2 * size * 8 / 50e6
    counted = lab.emulated("server")
    assert counted is not None
    assert counted["to"]["statistics"]["frames"] >= size / 1500  # as long as on a wire, none of 64 KiB
    assert counted["to"]["statistics"]["missed"] == counted["from"]["statistics"]["missed"] == 0


def test_a_corrupted_frame_is_caught_by_checksums(lab: Lab):
    lab.emulate("server", to="corrupt=2%", from_="corrupt=2%")
    transfer(lab, "client", "server", 1_000_000)  # which holds the size received against the one sent
    counted = lab.emulated("server")
    assert counted is not None
    assert counted["to"]["statistics"]["corrupted"] > 0


def test_a_machine_has_its_port_back_once_its_link_is_clear(lab: Lab):
    before = ports(lab)
    lab.emulate("node", to="delay=1ms")
    lab.emulate("node", to="delay=2ms")  # the same relay
    assert "far.2" in ports(lab)
    lab.unemulate("node")
    lab.unemulate("node")
    assert ports(lab) == before
    assert lab.switch.processes == []
    assert not re.search("(near|far|wire)\\.", lab.switch.run(["ip", "link"], capture_output=True, text=True).stdout)


def test_a_killed_relay_is_an_error_that_clearing_mends(lab: Lab):
    lab.emulate("server", to="delay=1ms")
    lab.switch.processes[0].kill()
    lab.switch.processes[0].wait()
    with pytest.raises(EmulationError, match="the relay of server does not answer"):
        lab.emulated("server")
    lab.unemulate("server")
    assert pings(lab)


def test_what_cannot_be_changes_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch):
    before = ports(lab)
    with pytest.raises(LinkSettingsError):
        lab.emulate("server", to="delay=1ms", from_="delay=1")
    with pytest.raises(LabError, match="nobody"):
        lab.emulate("nobody", to="delay=1ms")
    monkeypatch.setattr(insertion.Place, "near", "a name that is too long for an interface")
    with pytest.raises(EmulationError, match="did not start"):
        lab.emulate("server", to="delay=1ms")
    assert ports(lab) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whatever_ends_the_owner_ends_its_relays(number: signal.Signals):
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=-1, stderr=-1, text=True) as owner:
        assert owner.stdout is not None
        name, pid = owner.stdout.readline().split()
        owner.send_signal(number)
        owner.communicate(timeout=10)
    deadline = time.monotonic() + 5
    while is_running(int(pid)):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    if number == signal.SIGKILL:
        with Lab.create():  # which cleans
            pass
    assert not list(namespaces.DIRECTORY.glob(f"netlab.{name}.*"))


def netlab(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "netlab.cli", *arguments], capture_output=True, text=True, timeout=30, check=False
    )


def test_links_on_the_command_line():
    up = netlab("up", "--name", "linkcli", "--link", "node:delay=25ms,loss=1%", "--link", "client:to:rate=100mbit")
    assert up.returncode == 0, up.stderr
    lab = Lab.open("linkcli")
    try:
        changed = netlab("link", "set", "node", "--to", "loss=2%", "--lab", "linkcli")
        assert "loss=2%" in changed.stdout
        assert netlab("link", "set", "node", "loss=2", "--lab", "linkcli").returncode == 2
        shown = json.loads(netlab("link", "show", "--json", "--lab", "linkcli").stdout)
        assert [shown["node"][way]["settings"] for way in ("to", "from")] == ["loss=2%", "delay=25ms,loss=1%"]
        assert [shown["client"][way]["settings"] for way in ("to", "from")] == ["rate=100mbit", ""]
        assert shown["server"] is None
        assert netlab("link", "clear", "--lab", "linkcli").returncode == 0
        assert lab.emulated("node") is None
        lab.emulate("node", to="delay=1ms")
    finally:
        pids = namespaces.processes_in(["netlab.linkcli.switch"])
        lab.delete()
    assert pids
    assert not any(map(is_running, pids))
