"""A DHCP server for a lab: dnsmasq, on a host that is there for nothing else.

A node asks it from its TAP and gets the address that the topology has planned for it; whoever else asks gets one that
is nobody's. It gives neither a router nor a name server, which a lab does not have.
"""

import subprocess
import tempfile
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from netlab import namespaces
from netlab.lab import Lab, LabError
from netlab.topology import Machine, Topology, TopologyError, mac_address

NAME = "dhcp"
PROGRAM = "dnsmasq"
MOST_LEASES = 250  # beside the nodes'
LEASE = "1h"
START_SECONDS = 10.0


def with_server(topology: Topology) -> Topology:
    """The topology and a host for the server, at the last free address. Raises TopologyError when there is none."""
    if any(machine.name == NAME for machine in topology.machines):
        raise TopologyError(f"a machine is called {NAME!r} already", f"--dhcp adds a host {NAME!r}: rename yours.")
    free = free_addresses(topology)
    if not free:
        raise TopologyError(f"{topology.network} has no address left for a DHCP server", "Take a larger network.")
    return Topology(topology.network, (*topology.hosts, Machine(NAME, str(free[-1]))), topology.nodes)


def free_addresses(topology: Topology) -> list[IPv4Address]:
    """The last addresses in a row that no machine has, in order; MOST_LEASES and one at most."""
    network = IPv4Network(topology.network)
    taken = {IPv4Address(machine.address) for machine in topology.machines}
    free: list[IPv4Address] = []
    for number in range(int(network.broadcast_address) - 1, int(network.network_address), -1):
        address = IPv4Address(number)
        if address in taken or len(free) > MOST_LEASES:
            if free:
                break
            continue
        free.append(address)
    return free[::-1]


def command(topology: Topology) -> list[str]:
    """How dnsmasq is started on the host that `with_server` has added."""
    free = free_addresses(topology)
    mask = IPv4Network(topology.network).netmask
    given = f"{free[0]},{free[-1]}" if free else f"{IPv4Network(topology.network).network_address},static"
    return [
        PROGRAM,
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        "--pid-file",  # none
        "--leasefile-ro",  # leases live as long as the lab
        "--port=0",  # no DNS
        "--interface=eth0",
        "--bind-interfaces",
        "--dhcp-authoritative",
        "--no-ping",  # who is given an address asks for it by itself
        "--dhcp-option=3",  # no router
        "--dhcp-option=6",  # no name server
        f"--dhcp-range={given},{mask},{LEASE}",
        *(f"--dhcp-host={mac_address(node.address)},{node.address}" for node in topology.nodes),
    ]


def start(lab: Lab) -> None:
    """Start the server in a lab whose topology has its host; it serves when this returns, until the lab is deleted.

    Raises LabError.
    """
    namespace = lab.hosts[NAME].namespace
    argv = namespaces.command_in(namespace, command(lab.topology), dies_with_parent=False)
    with tempfile.TemporaryFile() as complaints:
        nowhere = subprocess.DEVNULL
        process = subprocess.Popen(argv, start_new_session=True, stdin=nowhere, stdout=nowhere, stderr=complaints)
        deadline = time.monotonic() + START_SECONDS
        while not namespaces.run_in(namespace, _is_served):
            if process.poll() is not None or time.monotonic() > deadline:
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip()
                raise LabError(f"the DHCP server did not start: {said or 'it said nothing'}")
            time.sleep(0.01)


def _is_served() -> bool:
    """Whether somebody has UDP port 67 in this namespace."""
    return any(
        line.split()[1].endswith(":0043") for line in Path("/proc/thread-self/net/udp").read_text().splitlines()[1:]
    )
