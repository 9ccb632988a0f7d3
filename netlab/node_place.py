"""Where a node is about to be started: which TAPs there are, and what a lab has given to whom.

``netlab node run`` looks before it boots: a TAP that is not there is a slip, or the wrong network namespace, and an
address that the topology has given to another machine is that machine's, whether it answers now or not.
"""

import contextlib
import os
from ipaddress import IPv4Interface, IPv6Interface

from drivers.virtio.tap import exists
from netlab import interfaces, namespaces, registry
from netlab.errors import NetlabError
from netlab.node_config import Attachment, NodeConfig, NodeError
from netlab.registry import Record
from netlab.topology import SWITCH, ipv6_address


def check_place(config: NodeConfig) -> None:
    """Raise NodeError for a TAP that is not here, and for an address that is another machine's of this lab."""
    lab = lab_here()
    for attachment in config.attachments():
        if not config.make_tap and not exists(attachment.tap):
            raise NodeError(f"there is no TAP {attachment.tap} in this network namespace", _where(attachment.tap))
        if lab is not None:
            _check_owner(attachment, lab)


def lab_here() -> Record | None:
    """The lab in one of whose network namespaces this process is, or None."""
    for record in _records():
        if any(_is_here(name) for name in record.namespaces):
            return record
    return None


def _is_here(namespace: str) -> bool:
    """Whether this process is in the network namespace of that name."""
    try:
        return os.path.samestat(os.stat("/proc/thread-self/ns/net"), namespaces.path_of(namespace).stat())
    except OSError:
        return False


def _records() -> list[Record]:
    found = []
    for name in registry.names():
        with contextlib.suppress(NetlabError, OSError):  # a damaged one, or one that is just going
            found.append(registry.load(name))
    return found


def _where(tap: str) -> str:
    """What to do about a TAP that is not here."""
    for record in _records():
        planned = any(node.name == tap for node in record.topology.nodes)
        if planned and not _is_here(registry.namespace_of(record.name, SWITCH)):
            return f"The lab {record.name!r} has one: netlab exec --lab {record.name} switch -- netlab node run ..."
    taps = interfaces.taps()
    if taps:
        return f"There is: {', '.join(taps)}. --make-tap makes one that goes with the node."
    return f"Make it: ip tuntap add {tap} mode tap; or say --make-tap, for one that goes with the node."


def _check_owner(attachment: Attachment, lab: Record) -> None:
    own: list[IPv4Interface | IPv6Interface] = [] if attachment.address is None else [attachment.address]
    own += attachment.ipv6.addresses if attachment.ipv6 else ()
    for interface in own:
        for machine in lab.topology.machines:
            taken = str(interface.ip) in (machine.address, ipv6_address(machine.address))
            if taken and machine.name != attachment.tap:
                kind = "host" if machine in lab.topology.hosts else "node"
                raise NodeError(
                    f"{interface.ip} is the address of the {kind} {machine.name!r} in the lab {lab.name!r}",
                    _planned(attachment.tap, lab),
                )


def _planned(tap: str, lab: Record) -> str:
    for node in lab.topology.nodes:
        if node.name == tap:
            return f"TAP {tap} has been given {node.address}/{lab.topology.prefix_length}."
    return "Take an address that is nobody's: netlab status shows whose each is."
