"""The DHCP server of a lab: its host, what it gives, and topologies without room for it."""

import pytest

from netlab.dhcp_server import NAME, command, free_addresses, with_server
from netlab.topology import Machine, Topology, TopologyError, default_topology


def option(argv: list[str], name: str) -> list[str]:
    return [text.partition("=")[2] for text in argv if text.startswith(f"--{name}=")]


def test_the_server_has_the_last_address_and_gives_planned_ones_to_nodes() -> None:
    topology = with_server(default_topology())
    assert topology.hosts[-1] == Machine(NAME, "198.18.255.254")
    argv = command(topology)
    assert option(argv, "dhcp-host") == ["02:00:c6:12:00:03,198.18.0.3"]
    assert option(argv, "dhcp-range") == ["198.18.255.3,198.18.255.253,255.255.0.0,1h"]


def test_nobody_is_given_a_machines_address() -> None:
    machines = tuple(Machine(f"m{number}", f"198.18.0.{number}") for number in (1, 6, 14))
    topology = with_server(Topology("198.18.0.0/28", machines, ()))
    assert topology.hosts[-1].address == "198.18.0.13"
    assert [str(address) for address in free_addresses(topology)] == [f"198.18.0.{number}" for number in range(7, 13)]


def test_a_full_network_has_planned_addresses_only_or_no_server_at_all() -> None:
    pair = Topology("198.18.0.0/30", (Machine("a", "198.18.0.1"),), ())
    assert option(command(with_server(pair)), "dhcp-range") == ["198.18.0.0,static,255.255.255.252,1h"]
    with pytest.raises(TopologyError, match="no address left"):
        with_server(Topology("198.18.0.0/30", (Machine("a", "198.18.0.1"), Machine("b", "198.18.0.2")), ()))


def test_a_machine_may_not_have_the_servers_name() -> None:
    with pytest.raises(TopologyError, match="called 'dhcp' already"):
        with_server(Topology("198.18.0.0/16", (Machine("dhcp", "198.18.0.1"),), ()))
