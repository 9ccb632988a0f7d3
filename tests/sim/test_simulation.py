"""Nodes on links in one process: they talk TCP, time is virtual, and a seed fixes everything."""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.utils import rdpcap

from netlab.sim import Simulation, SimulationError
from netlab.sim.node import SimulatedNode
from netlab.sim.wire import End
from tests.sim_apps import ask, echo

ROOT = Path(__file__).parent.parent.parent
DATA = random.Random(1).randbytes(100_000)
TROUBLE = "delay=5ms,jitter=1ms,rate=20mbit,limit=20,loss=2%,reorder=2%:3ms,duplicate=1%,corrupt=1%"


@pytest.fixture
def simulation() -> Iterator[Simulation]:
    with Simulation(seed=7) as made:
        yield made


@pytest.mark.parametrize("settings", ["", "delay=20ms", TROUBLE])
def test_two_nodes_exchange_a_stream_whole(simulation: Simulation, settings: str) -> None:
    server = simulation.add_node("server", application=echo)
    client = simulation.add_node("client", application=ask(server.address, DATA))
    wire = simulation.link(client, server, settings)
    assert simulation.run(lambda: bool(client.application) and client.application.ended == "closed")
    assert bytes(client.application.received) == DATA
    lost = sum(way["lost"] for way in wire.statistics().values())
    assert (lost > 0) == (settings == TROUBLE)


def test_time_passes_as_the_link_says(simulation: Simulation) -> None:
    server = simulation.add_node("server", application=echo)
    client = simulation.add_node("client", application=ask(server.address, b"?"))
    simulation.link(client, server, "delay=100ms")
    assert simulation.run(lambda: bool(client.application) and client.application.received)
    assert simulation.now() == pytest.approx(0.6, abs=1e-3)  # three round trips: ARP, SYN, the byte itself


def test_nodes_of_one_address_differ_in_their_link_addresses_and_so_see_the_conflict(simulation: Simulation) -> None:
    nodes = [simulation.add_node(name, "198.18.0.1/15") for name in ("a", "b")]
    macs = [node.ports[0].device.mac for node in nodes]
    assert macs[0] != macs[1]
    assert all(mac[0] == 2 for mac in macs), "locally administered"
    simulation.link(*nodes)
    nodes[1].call(nodes[1].stack.interfaces[0].arp.announce)
    simulation.run(seconds=1)
    assert nodes[0].statistics()["stack"]["arp"]["address_conflicts"] == 1


def test_nothing_left_to_happen_ends_a_run(simulation: Simulation) -> None:
    simulation.add_node("alone")
    assert simulation.run(seconds=3600)
    assert simulation.now() == 3600


def test_a_capture_has_every_frame_that_was_sent_once_with_virtual_time(
    simulation: Simulation, tmp_path: Path
) -> None:
    switch = simulation.add_switch("switch")
    nodes = [simulation.add_node(f"n{number}", application=echo) for number in range(3)]
    for node in nodes:
        simulation.link(node, switch, "delay=1ms")
    client = simulation.add_node("client", application=ask(nodes[0].address, b"hello"))
    wire = simulation.link(client, switch, "delay=1ms")
    simulation.capture(tmp_path / "all.pcap")
    simulation.capture(tmp_path / "one.pcap", wire)
    simulation.run(lambda: bool(client.application) and client.application.received)
    simulation.close()
    packets = rdpcap(str(tmp_path / "all.pcap"))
    sent = sum(port["driver"]["tx_frames"] for node in simulation.nodes.values() for port in _ports(node))
    assert len(packets) == sent
    assert float(packets[0].time) == 1.0
    ways = wire.statistics().values()
    assert len(rdpcap(str(tmp_path / "one.pcap"))) == sum(way["frames"] for way in ways)


def _ports(node) -> list:  # type: ignore[no-untyped-def,type-arg]
    return list(node.statistics()["ports"].values())


def test_a_switch_floods_until_it_has_learned(simulation: Simulation) -> None:
    class Listener(End):
        frames = 0

        def receive(self, frame: bytes, header: bytes) -> None:
            self.frames += 1

    switch = simulation.add_switch("switch")
    server = simulation.add_node("server", application=echo)
    client = simulation.add_node("client", application=ask(server.address, DATA))
    listener = Listener("listener")
    for machine in (server, client, listener):
        simulation.link(machine, switch)
    assert simulation.run(lambda: bool(client.application) and client.application.ended == "closed")
    assert listener.frames == 1  # the request of ARP
    assert switch.statistics()["addresses"] == 2


def test_a_node_has_one_link_for_each_interface(simulation: Simulation) -> None:
    a, b, c = (simulation.add_node(name) for name in "abc")
    simulation.link(a, b)
    with pytest.raises(SimulationError, match="b is linked already"):
        simulation.link(b, c)
    b.add_interface("198.19.0.1/24")
    simulation.link(b, c)


def test_a_link_may_change_while_it_runs(simulation: Simulation) -> None:
    server = simulation.add_node("server", application=echo)
    client = simulation.add_node("client", application=ask(server.address, DATA))
    wire = simulation.link(client, server, "loss=100%")
    simulation.at(1.5, lambda: wire.change("delay=1ms"))
    assert not simulation.run(lambda: bool(client.application) and client.application.received, seconds=1.4)
    assert simulation.run(lambda: bool(client.application) and client.application.ended == "closed")
    assert wire.statistics()["client"]["lost"] > 1


def test_a_node_that_stops_has_ended(simulation: Simulation) -> None:
    server = simulation.add_node("server", application=echo)
    client = simulation.add_node("client", application=ask(server.address, DATA))
    simulation.link(client, server, "delay=1ms")
    simulation.at(0.0075, lambda: server.call(server.events.stop))
    assert simulation.run(lambda: bool(client.application) and client.application.ended, seconds=3600)
    assert client.application.ended in ("timeout", "unreachable")


def test_what_an_application_raises_when_it_starts_ends_the_run(simulation: Simulation) -> None:
    def fail(node: SimulatedNode) -> None:
        raise LookupError(node.name)

    simulation.add_node("broken", application=fail)
    with pytest.raises(LookupError, match="broken"):
        simulation.run()


def test_a_link_between_machines_of_one_host_carries_large_segments(simulation: Simulation, tmp_path: Path) -> None:
    server = simulation.add_node("server", application=echo, whole=True)
    client = simulation.add_node("client", application=ask(server.address, DATA), whole=True)
    simulation.link(client, server, "delay=100us")
    simulation.capture(tmp_path / "out.pcap")
    assert simulation.run(lambda: bool(client.application) and client.application.ended == "closed")
    assert bytes(client.application.received) == DATA
    simulation.close()
    assert max(len(packet) for packet in rdpcap(str(tmp_path / "out.pcap"))) > 10_000


def scenario(path: Path, seed: int) -> None:
    """Several nodes on links with every fault."""
    with Simulation(seed) as simulation:
        switch = simulation.add_switch("switch")
        server = simulation.add_node("server", application=echo)
        simulation.link(server, switch, TROUBLE)
        clients = [
            simulation.add_node(f"c{n}", application=ask(server.address, DATA[: 20_000 * n])) for n in (1, 2, 3)
        ]
        for client in clients:
            simulation.link(client, switch, TROUBLE, "delay=1ms")
        simulation.capture(path)
        assert simulation.run(lambda: all(client.application and client.application.ended for client in clients))


def digest(path: Path, seed: int = 7) -> str:
    scenario(path, seed)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_seed_fixes_every_byte_of_the_capture(tmp_path: Path) -> None:
    assert digest(tmp_path / "a.pcap") == digest(tmp_path / "b.pcap")
    assert digest(tmp_path / "a.pcap", seed=8) != digest(tmp_path / "b.pcap")


@pytest.mark.parametrize("pure", ["0", "1"])
def test_both_builds_write_the_same_capture(tmp_path: Path, pure: str) -> None:
    """Each in a process of its own, against this one, with another seed for Python's hashes."""
    result = subprocess.run(
        [sys.executable, __file__, str(tmp_path / "other.pcap")],
        env={**os.environ, "NETLAB_PURE": pure, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "123"},
        capture_output=True,
        text=True,
    )
    assert result.stdout.strip() == digest(tmp_path / "here.pcap"), result.stderr


if __name__ == "__main__":
    print(digest(Path(sys.argv[1])))
