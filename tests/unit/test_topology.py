"""Topologies: read, checked, written down and read again."""

from pathlib import Path

import pytest

from netlab.topology import (
    Machine,
    Topology,
    TopologyError,
    default_topology,
    document_of,
    load_topology,
    mac_address,
    topology_from,
)


def test_the_default_is_a_client_a_server_and_a_node_in_the_benchmarking_range():
    topology = default_topology()
    assert [machine.name for machine in topology.machines] == ["client", "server", "node"]
    assert topology.prefix_length == 16


def test_a_topology_survives_being_written_down():
    assert topology_from(document_of(default_topology())) == default_topology()


def test_a_file_is_read(tmp_path: Path):
    file = tmp_path / "pair.toml"
    file.write_text('network = "198.19.7.0/24"\n[hosts]\na = "198.19.7.1"\n[nodes]\nb = "198.19.7.2"\n')
    assert load_topology(file) == Topology(
        "198.19.7.0/24", hosts=(Machine("a", "198.19.7.1"),), nodes=(Machine("b", "198.19.7.2"),)
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hosts = [", "not TOML"),
        ("[hosts]\n", "no machine"),
        ('hosts = "a"', "hosts is not a table"),
        ("[hosts]\na = 1", "hosts.a is 1"),
        ("network = 5\n[hosts]", "network is 5"),
        ('speed = 1\n[hosts]\na = "198.18.0.1"', "unknown key 'speed'"),
        ('[hosts]\na = "198.18.0"', "address '198.18.0' of a"),
        ('[hosts]\na = "198.18.0.0"', "not one of a machine"),
        ('[hosts]\na = "198.18.255.255"', "not one of a machine"),
        ('[hosts]\na = "198.19.0.1"', "not one of a machine"),
        ('network = "10.0.0.0/8"\n[hosts]\na = "10.0.0.1"', "outside 198.18.0.0/15"),
        ('network = "198.18.0.1/16"\n[hosts]\na = "198.18.0.2"', "host bits"),
        ('[hosts]\na = "198.18.0.1"\nb = "198.18.0.1"', "b and a both have 198.18.0.1"),
        ('[hosts]\na = "198.18.0.1"\n[nodes]\na = "198.18.0.2"', "two machines are called 'a'"),
        ('[hosts]\nbridge = "198.18.0.1"', "cannot name a machine"),
        ('[hosts]\n"../x" = "198.18.0.1"', "cannot name a machine"),
        ('[hosts]\naaaaaaaaaaaaaaaa = "198.18.0.1"', "cannot name a machine"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name_and_the_reason(tmp_path: Path, text: str, complaint: str):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(TopologyError) as caught:
        load_topology(file)
    assert "wrong.toml" in caught.value.message
    assert complaint in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(TopologyError, match=r"nowhere\.toml"):
        load_topology(tmp_path / "nowhere.toml")


def test_mac_addresses_are_local_unicast_and_follow_the_address():
    assert mac_address("198.18.0.3") == "02:00:c6:12:00:03"
