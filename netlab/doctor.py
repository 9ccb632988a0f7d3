"""What a lab needs of its machine, each thing tried for real rather than guessed from a version.

Kernel features are probed in a nameless network namespace that is gone when the probe ends.
"""

import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from netlab import links, namespaces, privilege, wiring
from netlab.errors import NetlabError

PROGRAMS = {  # program -> Debian package
    "ip": "iproute2",
    "setpriv": "util-linux",
    "taskset": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "memcached": "memcached",
    "memcaslap": "libmemcached-tools",
    "memccapable": "libmemcached-tools",
    "tcpdump": "tcpdump",
    "dnsmasq": "dnsmasq-base",
}
OPTIONAL = {"dnsmasq": "only `netlab up --dhcp` uses it"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: was it there, what was found, and what to do if it was not."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""
    needed: bool = True


def examine() -> list[Check]:
    """Look at everything, in the order in which it should be mended."""
    return [_rights(), _tun(), *_kernel(), *_programs(), _compiler(), _headers(), _build(), _cpus()]


def _rights() -> Check:
    if os.environ.get(privilege.INSIDE):
        return Check("rights", True, "a user namespace of your own")
    if os.geteuid() == 0:
        return Check("rights", True, "root")
    return Check("rights", False, "; ".join(privilege.obstacles()), privilege.sudo_command())


def _tun() -> Check:
    if not privilege.TUN.exists():
        return Check("/dev/net/tun", False, "not there", _as_root("modprobe tun"))
    if not os.access(privilege.TUN, os.R_OK | os.W_OK):
        return Check("/dev/net/tun", False, "may not be opened by you", privilege.sudo_command())
    return Check("/dev/net/tun", True, "may be opened")


def _kernel() -> list[Check]:
    if os.geteuid() != 0:
        remedy = privilege.sudo_command()
        return [Check(f"kernel: {name}", False, "cannot be probed without root", remedy) for name in PROBES]
    try:
        return namespaces.run_in_scratch(_probe_all)
    except namespaces.NamespaceError as error:
        return [Check("kernel: network namespaces", False, error.message, "A kernel with CONFIG_NET_NS.")]


def _probe_all() -> list[Check]:
    checks = [Check("kernel: network namespaces", True, "works")]
    with IPRoute() as netlink:
        for name, (probe, remedy) in PROBES.items():
            try:
                probe(netlink)
                checks.append(Check(f"kernel: {name}", True, "works"))
            except NetlabError as error:
                needed = name != "RPS" or not os.environ.get(privilege.INSIDE)  # there, shared mode still works
                checks.append(Check(f"kernel: {name}", False, error.message, error.remedy, needed))
            except (OSError, NetlinkError) as error:
                checks.append(Check(f"kernel: {name}", False, str(error), remedy))
    return checks


def _probe_bridge(netlink: IPRoute) -> None:
    netlink.link("add", ifname="probe-bridge", kind="bridge", br_stp_state=0, br_forward_delay=0)


def _probe_veth(netlink: IPRoute) -> None:
    netlink.link("add", ifname="probe-veth", kind="veth", peer="probe-peer")


def _probe_tap(netlink: IPRoute) -> None:
    wiring.make_tap("probe-tap")
    wiring.index_of(netlink, "probe-tap")


def _probe_tbf(netlink: IPRoute) -> None:
    links.add_bucket(netlink, "probe-veth", 10**9, 1 << 20)


def _probe_rps(netlink: IPRoute) -> None:
    links.write_masks("probe-veth", 1)


PROBES: dict[str, tuple[Callable[[IPRoute], None], str]] = {
    "bridge": (_probe_bridge, "modprobe bridge, or a kernel with CONFIG_BRIDGE"),
    "veth": (_probe_veth, "modprobe veth, or a kernel with CONFIG_VETH"),
    "TAP with a virtio-net header": (_probe_tap, "modprobe tun, or a kernel with CONFIG_TUN"),
    "tbf": (_probe_tbf, "modprobe sch_tbf, or a kernel with CONFIG_NET_SCH_TBF"),
    "RPS": (_probe_rps, "a kernel with CONFIG_RPS"),
}


def _programs() -> list[Check]:
    return [_program(program, package) for program, package in PROGRAMS.items()]


def _program(program: str, package: str) -> Check:
    found = shutil.which(program)
    if found:
        return Check(program, True, found)
    detail = "; ".join(["not installed", *filter(None, [OPTIONAL.get(program)])])
    return Check(program, False, detail, _as_root(f"apt-get install {package}"), needed=program not in OPTIONAL)


def _compiler() -> Check:
    compiler = sysconfig.get_config_var("CC") or "cc"
    found = shutil.which(compiler.split()[0])
    if found:
        return Check("C compiler", True, found)
    return Check("C compiler", False, f"{compiler} not installed", _as_root("apt-get install gcc"))


def _headers() -> Check:
    header = Path(sysconfig.get_path("include"), "Python.h")
    if header.exists():
        return Check("Python headers", True, str(header))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Check("Python headers", False, f"no {header}", _as_root(f"apt-get install python{version}-dev"))


def _build() -> Check:
    try:
        from ebbrt import build
    except ImportError as error:
        return Check("build", False, str(error), "make build")
    if build.mode() == "pure":
        return Check("build", True, "plain Python, as NETLAB_PURE asks; its speed says nothing")
    return Check("build", True, "compiled")


def _cpus() -> Check:
    count = len(os.sched_getaffinity(0))
    if count >= 2:
        return Check("CPUs", True, str(count))
    return Check("CPUs", False, f"{count}: client and server would share it", "use two or more", needed=False)


def _as_root(command: str) -> str:
    return command if os.geteuid() == 0 else f"sudo {command}"
