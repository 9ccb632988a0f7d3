"""Makes a topology real: bridge, veth pairs and TAPs in namespaces that are there already.

Every device is born inside the lab's namespaces, a veth with one end in each, so the machine's own network is never
touched, not for a moment. Every device carries the alias ``netlab:LAB``. The switch's ports have the machines' names;
inside a host its interface is ``eth0``. The bridge forwards at once (no spanning tree, no delay, no multicast
snooping) and has no IPv6 itself, hosts ask for no routers, and bridged frames do not visit netfilter: nothing is on
the wire but what machines say. TCP of the hosts has the nodes' congestion control, whatever this machine's default is:
with BBR, which takes no notice of a loss, a transfer over a lossy link says nothing of a stack.
"""

import fcntl
import functools
import os
import struct
from collections.abc import Callable, Collection
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from pathlib import Path
from typing import Any, TypeVar

from pyroute2 import IPRoute

from netlab import namespaces
from netlab.topology import ULA, Machine, Topology, ipv6_address, mac_address, tap_mac_address

BRIDGE = "bridge"
HOST_INTERFACE = "eth0"
CONGESTION_CONTROL = "cubic"  # the nodes' default
RT_SCOPE_LINK = 253  # linux/rtnetlink.h
OUR_ROUTE = 1  # metrics of the two routes to the lab's network: the lower one is taken
KERNELS_ROUTE = 256
BRIDGE_MAC = "02:00:00:00:00:00"

# linux/if_tun.h
TUNSETIFF = 0x400454CA
TUNSETPERSIST = 0x400454CB
TUNSETOWNER = 0x400454CC
IFF_TAP = 0x0002
IFF_MULTI_QUEUE = 0x0100
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000

_T = TypeVar("_T")


NO_IPV6 = {"default/disable_ipv6": "1", "all/disable_ipv6": "1"}  # settings below /proc/sys/net/ipv6/conf
QUIET_IPV6 = {
    "default/accept_ra": "0",
    "default/router_solicitations": "0",
    "default/accept_dad": "0",
    "all/accept_dad": "0",
}


def quiet(namespace: str, ipv6: dict[str, str]) -> None:
    """Make these settings of IPv6, for the interfaces to come too, and keep bridged frames from netfilter."""

    def write_settings() -> None:
        settings = {f"/proc/sys/net/ipv6/conf/{name}": value for name, value in ipv6.items()}
        for table in ("arptables", "ip6tables", "iptables"):
            settings[f"/proc/sys/net/bridge/bridge-nf-call-{table}"] = "0"
        for path, value in settings.items():
            if Path(path).exists():
                Path(path).write_text(value)

    namespaces.run_in(namespace, write_settings)


def build(lab: str, topology: Topology, switch: str, hosts: dict[str, str], plain_taps: Collection[str] = ()) -> None:
    """Make every device of the lab. ``switch`` and ``hosts`` (by machine) name its namespaces.

    plain_taps: nodes whose TAPs are for one queue, for whoever opens them with IFF_TAP and IFF_NO_PI.
    """
    alias = alias_of(lab)
    quiet(switch, NO_IPV6)
    for namespace in hosts.values():
        quiet(namespace, QUIET_IPV6)
    with_netlink(switch, lambda netlink: _build_switch(netlink, topology, hosts, alias, plain_taps))
    for host in topology.hosts:
        configure = functools.partial(_configure_host, host=host, prefix_length=topology.prefix_length, alias=alias)
        with_netlink(hosts[host.name], configure)


def alias_of(lab: str) -> str:
    """The alias that every device of a lab carries."""
    return f"netlab:{lab}"


def with_netlink(namespace: str, function: Callable[[IPRoute], _T]) -> _T:
    """Call ``function`` inside the namespace with a netlink socket of it."""

    def open_and_call() -> _T:
        with IPRoute() as netlink:
            return function(netlink)

    return namespaces.run_in(namespace, open_and_call)


def index_of(netlink: IPRoute, name: str) -> int:
    """The index of the interface called ``name``."""
    return int(netlink.link_lookup(ifname=name)[0])


def _build_switch(
    netlink: IPRoute, topology: Topology, hosts: dict[str, str], alias: str, plain_taps: Collection[str]
) -> None:
    netlink.link("set", index=1, state="up")
    bridge = add_bridge(netlink, BRIDGE, alias, address=BRIDGE_MAC)
    for host in topology.hosts:
        peer = {"ifname": HOST_INTERFACE, "address": mac_address(host.address), "net_ns_fd": hosts[host.name]}
        netlink.link("add", ifname=host.name, kind="veth", peer=peer)
    for node in topology.nodes:
        make_tap(node.name, node.name in plain_taps)
        netlink.link("set", index=index_of(netlink, node.name), address=tap_mac_address(node.address))
    for machine in topology.machines:
        netlink.link("set", index=index_of(netlink, machine.name), master=bridge, IFLA_IFALIAS=alias, state="up")


def add_bridge(netlink: IPRoute, name: str, alias: str, **attributes: Any) -> int:
    """Make a bridge that forwards at once and says nothing; its index."""
    quiet_settings = {"br_stp_state": 0, "br_forward_delay": 0, "br_mcast_snooping": 0}
    netlink.link("add", ifname=name, kind="bridge", **quiet_settings, **attributes)
    index = index_of(netlink, name)
    netlink.link("set", index=index, IFLA_IFALIAS=alias, state="up")
    return index


def congestion_control() -> str:
    """What TCP on a lab's hosts uses: the nodes', or this machine's default where the kernel does not have that."""
    settings = Path("/proc/sys/net/ipv4")
    if CONGESTION_CONTROL in (settings / "tcp_available_congestion_control").read_text().split():
        return CONGESTION_CONTROL
    return (settings / "tcp_congestion_control").read_text().strip()


def _configure_host(netlink: IPRoute, host: Machine, prefix_length: int, alias: str) -> None:
    interface = index_of(netlink, HOST_INTERFACE)
    netlink.link("set", index=1, state="up")
    netlink.link("set", index=interface, IFLA_IFALIAS=alias, state="up")
    addresses = [f"{host.address}/{prefix_length}"]
    if Path("/proc/sys/net/ipv6").exists():
        addresses.append(f"{ipv6_address(host.address)}/{ULA.prefixlen}")
    for address in map(ip_interface, addresses):
        _add_address(netlink, interface, address)


def _add_address(netlink: IPRoute, interface: int, address: IPv4Interface | IPv6Interface) -> None:
    """Add it, and a route of our own to its network: a route may say what a namespace may not, the controller.

    It is preferred to the kernel's, which stays: a link that goes down loses ours, and comes up with the kernel's. It
    names the source as the kernel's does: programs that read the table (scapy) send from there.
    """
    kernels = {"IFA_RT_PRIORITY": KERNELS_ROUTE}
    netlink.addr("add", index=interface, address=str(address.ip), prefixlen=address.network.prefixlen, **kernels)
    ours: dict[str, Any] = {"priority": OUR_ROUTE, "metrics": {"cc_algo": congestion_control()}}
    if address.version == 4:  # of IPv6 the kernel's has none either, and takes none while the address is tentative
        ours["prefsrc"] = str(address.ip)
    netlink.route("add", dst=str(address.network), oif=interface, scope=RT_SCOPE_LINK, **ours)


def make_tap(name: str, plain: bool = False) -> None:
    """Make the TAP ``name``, for nodes of one core or of several, that stays when nobody has it open.

    A node attaches to it later by name. Whether it is for several queues the kernel keeps for ever, and lets in only
    who says the same; whether frames have a header, only as long as somebody has it open. plain: for one queue, so a
    node of one core attaches to it, and any program that knows of neither. Called inside the switch's namespace.
    """
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    try:
        flags = IFF_TAP | IFF_NO_PI | (0 if plain else IFF_VNET_HDR | IFF_MULTI_QUEUE)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(descriptor, TUNSETOWNER, os.geteuid())
        fcntl.ioctl(descriptor, TUNSETPERSIST, 1)
    finally:
        os.close(descriptor)
