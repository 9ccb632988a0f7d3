"""What a node is booted with, what is checked of it, and the error that tells why it was not booted."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Protocol

from ebbrt.configuration import Configuration
from netlab.errors import NetlabError, UsageError
from stack.ipv6.settings import Ipv6Settings
from stack.tcp.lookups import DEFAULT_LOOKUP, LOOKUPS

MOST_CORES = 64
PORTS = {"memcached": 11211, "transfer": 5001}  # that applications use when no other is named


@dataclass(frozen=True)
class Attachment:
    """One interface of a node: the TAP it is on, and its address and network; None: what DHCP says.

    ipv6: what it has of that; None: nothing.
    """

    tap: str
    address: IPv4Interface | None
    ipv6: Ipv6Settings | None = None


@dataclass(frozen=True)
class StaticRoute:
    """Packets for ``network`` go to ``gateway``, which is on the network of one of the interfaces."""

    network: IPv4Network
    gateway: IPv4Address


@dataclass(frozen=True)
class NodeConfig:
    """What a node is booted with.

    tap, address: its first interface, as in Attachment; more: the others. routes: beside those to its own networks.
    ipv6: what the first interface has of that.
    application: what it serves; None: nothing yet. memory: bytes the application may fill, on all cores together.
    cores: each a process; core n runs on CPU ``cpus[n % len(cpus)]``, so that with fewer CPUs than cores some share
    one, and wherever Linux puts it without any. seed: of all randomness, for a run that can be repeated; None: the
    machine's own. plain_tap: without header and offloads. make_tap: a TAP that is not there is made, and goes with the
    node. ask_first: serve a fifth of a second later, having asked whether anybody has a static address. dhcp_limit:
    seconds after which a node without an address ends; None: it asks for ever. layers: time the layers
    (``ebbrt.layers``). lookup: how TCP finds a segment's connection (``stack.tcp.lookups``). statistics: where SIGUSR1
    and the end write them. configuration: base Ebbs of other classes than the library's, on every core. arguments:
    what the application is told on the command line.
    """

    application: str | None
    tap: str
    address: IPv4Interface | None
    more: tuple[Attachment, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    ipv6: Ipv6Settings | None = None
    port: int = 11211
    memory: int = 1 << 30
    ring_size: int = 512
    cores: int = 1
    cpus: tuple[int, ...] = ()
    seed: int | None = None
    plain_tap: bool = False
    make_tap: bool = False
    ask_first: bool = False
    dhcp_limit: int | None = None
    layers: bool = False
    lookup: str = DEFAULT_LOOKUP
    statistics: Path | None = None
    configuration: Configuration = field(default_factory=Configuration)
    arguments: tuple[str, ...] = ()

    def attachments(self) -> tuple[Attachment, ...]:
        """All interfaces, in order."""
        return (Attachment(self.tap, self.address, self.ipv6), *self.more)


class Application(Protocol):
    """What a node, or a front-end, runs."""

    def statistics(self) -> dict[str, Any]:
        """Its counters."""


class NodeError(NetlabError):
    """A node could not be booted, or came to an end that nobody asked for."""


class NodeUsageError(NodeError, UsageError):
    """A node that cannot be asked for so."""


def check_application(application: str, applications: Iterable[str]) -> None:
    """Raise NodeError when it is none of ``applications``."""
    if application not in applications:
        raise NodeUsageError(f"there is no application {application!r}", f"There is: {', '.join(applications)}.")


def port_of(application: str, port: int | None) -> int:
    """The port that was named, or else the application's own. Raises NodeError when it is none."""
    if port is None:
        return PORTS.get(application, 0)  # 0: of no application, which is said when it is looked for
    if not 0 < port <= 0xFFFF:
        raise NodeUsageError(f"{port} is not a TCP port", "Use 1 to 65535.")
    return port


def check_lookup(lookup: str) -> None:
    """Raise NodeError when there is no such way to find a connection."""
    if lookup not in LOOKUPS:
        raise NodeUsageError(f"there is no connection look-up {lookup!r}", f"There is: {', '.join(LOOKUPS)}.")


def check_ring_size(ring_size: int) -> None:
    """Raise NodeError when no virtqueue can have so many descriptors."""
    if not 2 <= ring_size <= 32768 or ring_size & (ring_size - 1):
        raise NodeUsageError(f"--ring-size {ring_size} is not a power of two, 2 to 32768")


def take_no_arguments(application: str, arguments: Iterable[str]) -> None:
    """Raise NodeError when an application that knows none is told something."""
    if told := " ".join(arguments):
        raise NodeUsageError(f"{application} takes no arguments, and was told {told!r}", "Options begin with --.")


def check_cpus(cpus: Iterable[int]) -> None:
    """Raise NodeError for a CPU that this process may not run on."""
    allowed = os.sched_getaffinity(0)
    for cpu in cpus:
        if cpu not in allowed:
            may = ", ".join(map(str, sorted(allowed)))
            raise NodeUsageError(f"this process may not run on CPU {cpu}", f"It may on: {may}.")
