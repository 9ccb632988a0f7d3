"""The shape of a lab, as plain data: which machines there are and which addresses they have.

A topology touches nothing. ``netlab.wiring`` makes it real, and is the only place that does; so a topology can be
written down, compared, and kept in a lab's record. A lab is one bridged network; every machine has one link to it:
a **host** is a Linux machine in a network namespace of its own, a **node** is a library-OS machine behind a TAP.

Read next: ``lab.py``.
"""

import ipaddress
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlab.errors import UsageError

BENCHMARK_RANGE = ipaddress.IPv4Network("198.18.0.0/15")  # RFC 2544 appendix C: never routed on the Internet
SWITCH = "switch"  # the machine of every lab whose network namespace holds the bridge and the TAPs
RESERVED_NAMES = frozenset({"bridge", SWITCH, "lo", "all", "default"})
ULA = ipaddress.IPv6Network("fd6e:6574:6c61:62::/64")  # RFC 4193; "netlab", as nobody outside ever sees it
NAME = re.compile(r"[a-z][a-z0-9-]{0,14}")  # a machine's name is also its port's, and IFNAMSIZ leaves 15 bytes


class TopologyError(UsageError):
    """A topology that cannot be built, and where it says so."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One end of a link: a name, also that of its port on the switch, and an IPv4 address."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Topology:
    """One bridged network: its prefix, its Linux hosts, and the nodes planned behind TAPs."""

    network: str
    hosts: tuple[Machine, ...]
    nodes: tuple[Machine, ...]

    def __post_init__(self) -> None:
        _check(self)

    @property
    def prefix_length(self) -> int:
        """Length of the network's prefix in bits."""
        return ipaddress.IPv4Network(self.network).prefixlen

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Hosts, then nodes."""
        return self.hosts + self.nodes


def default_topology() -> Topology:
    """The paper's: one client, one Linux server, one node."""
    return Topology(
        network="198.18.0.0/16",
        hosts=(Machine("client", "198.18.0.1"), Machine("server", "198.18.0.2")),
        nodes=(Machine("node", "198.18.0.3"),),
    )


def mac_address(address: str) -> str:
    """The MAC address of the machine with this IPv4 address: ``02:00`` (locally administered), then the address.

    Fixed, so that two captures of one topology differ only in what the machines did.
    """
    return ":".join(f"{byte:02x}" for byte in b"\x02\x00" + ipaddress.IPv4Address(address).packed)


def tap_mac_address(address: str) -> str:
    """The MAC address of the kernel's side of a node's TAP: a node there comes by its `mac_address` from it."""
    return f"06{mac_address(address)[2:]}"


def ipv6_address(address: str) -> str:
    """The IPv6 address of the machine with this IPv4 address, which is its last 32 bits."""
    return str(ULA.network_address + int(ipaddress.IPv4Address(address)))


def load_topology(path: Path) -> Topology:
    """Read a topology from a TOML file.

    The file says ``network = "198.18.0.0/16"`` and has tables ``[hosts]`` and ``[nodes]`` of ``name = "address"``.
    Raises TopologyError with the file's name and what in it is wrong.
    """
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise TopologyError(f"cannot read the topology {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TopologyError(f"{path} is not TOML: {error}") from error
    try:
        return topology_from(document)
    except TopologyError as error:
        raise TopologyError(f"{path}: {error.message}", error.remedy) from error


def topology_from(document: dict[str, Any]) -> Topology:
    """Check a parsed document (of a TOML file or a lab's record) and make the topology it describes."""
    unknown = sorted(set(document) - {"network", "hosts", "nodes"})
    if unknown:
        raise TopologyError(f"unknown key {unknown[0]!r}", "A topology has network, [hosts] and [nodes].")
    network = document.get("network", default_topology().network)
    if not isinstance(network, str):
        raise TopologyError(f"network is {network!r}", 'Write it as a string, such as "198.18.0.0/16".')
    return Topology(network, _machines(document, "hosts"), _machines(document, "nodes"))


def document_of(topology: Topology) -> dict[str, Any]:
    """The document that `topology_from` makes this topology of."""
    return {
        "network": topology.network,
        "hosts": {host.name: host.address for host in topology.hosts},
        "nodes": {node.name: node.address for node in topology.nodes},
    }


def _machines(document: dict[str, Any], table: str) -> tuple[Machine, ...]:
    entries = document.get(table, {})
    if not isinstance(entries, dict):
        raise TopologyError(f"{table} is not a table", f'Write [{table}] and below it lines such as a = "198.18.0.1".')
    for name, address in entries.items():
        if not isinstance(address, str):
            raise TopologyError(f"{table}.{name} is {address!r}", f'Write {name} = "198.18.0.1".')
    return tuple(Machine(name, address) for name, address in entries.items())


def _check(topology: Topology) -> None:
    try:
        network = ipaddress.IPv4Network(topology.network)
    except ValueError as error:
        raise TopologyError(f"network {topology.network!r}: {error}", f"Use a part of {BENCHMARK_RANGE}.") from error
    if not network.subnet_of(BENCHMARK_RANGE):
        raise TopologyError(
            f"network {network} lies outside {BENCHMARK_RANGE}", "Labs use the benchmarking range of RFC 2544 only."
        )
    if not topology.machines:
        raise TopologyError("no machine", "Name at least one host or node.")
    names: set[str] = set()
    addresses: dict[str, str] = {}
    for machine in topology.machines:
        if not NAME.fullmatch(machine.name) or machine.name in RESERVED_NAMES:
            raise TopologyError(
                f"{machine.name!r} cannot name a machine",
                "Use 1 to 15 of a-z, 0-9 and '-', a letter first; bridge, switch, lo, all and default are taken.",
            )
        if machine.name in names:
            raise TopologyError(f"two machines are called {machine.name!r}", "Give each its own name.")
        names.add(machine.name)
        _check_address(machine, network)
        if machine.address in addresses:
            raise TopologyError(f"{machine.name} and {addresses[machine.address]} both have {machine.address}")
        addresses[machine.address] = machine.name


def _check_address(machine: Machine, network: ipaddress.IPv4Network) -> None:
    try:
        address = ipaddress.IPv4Address(machine.address)
    except ValueError as error:
        raise TopologyError(f"address {machine.address!r} of {machine.name}: {error}") from error
    if address not in network or address in (network.network_address, network.broadcast_address):
        raise TopologyError(f"address {address} of {machine.name} is not one of a machine in {network}")
