"""Puts a relay between a machine's port and the bridge of a running lab, takes it out again, and speaks to it.

Nothing is written down: whether a machine's link is emulated is seen from the bridge that its port is on, what the
link does is asked of the relay. All of it is in the switch's namespace and goes with that. The machine does not
notice: its port, and a node's TAP, stay as they are, and only change bridges. That change is the last step in and the
first one out, so wherever a command is killed the link either works or is as it was; what else it leaves the next one
removes.

Read first: ``relay.py``.
"""

import contextlib
import json
import select
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from netlab import namespaces, python, wiring
from netlab.emulation.relay import OUTLIVES, READY, control_address
from netlab.errors import NetlabError

RELAY = "netlab.emulation.relay"  # the module that is its program
QUEUE_LENGTH = 20_000  # frames that wait for the relay: a burst of a large window's
START_SECONDS = 10.0
ANSWER_SECONDS = 5.0


class EmulationError(NetlabError):
    """A relay that does not start, or does not answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a relay goes: the switch's namespace, the machine's port, and its number, of which devices are named."""

    switch: str
    machine: str
    number: int

    @property
    def wire(self) -> str:
        """The bridge of two ports: a machine's name has no dot, so no machine has these names."""
        return f"wire.{self.number}"

    @property
    def near(self) -> str:
        """The relay's TAP on the machine's side."""
        return f"near.{self.number}"

    @property
    def far(self) -> str:
        """Its TAP on the bridge's side."""
        return f"far.{self.number}"


def is_there(place: Place) -> bool:
    """Whether the machine's link is emulated."""

    def on_its_wire(netlink: IPRoute) -> bool:
        wires = netlink.link_lookup(ifname=place.wire)
        port = netlink.get_links(wiring.index_of(netlink, place.machine))[0]
        return bool(wires) and port.get_attr("IFLA_MASTER") == wires[0]

    return wiring.with_netlink(place.switch, on_its_wire)


def insert(
    place: Place, alias: str, seed: int, start: Callable[..., "subprocess.Popen[Any]"], *, outlives: bool
) -> "subprocess.Popen[Any]":
    """Start a relay by ``start`` (`Host.popen` of the switch) and put it in place; frames pass it unchanged at first.

    It dies with this process, unless it ``outlives`` that, as it does once it is ready. Raises EmulationError when it
    does not start; then the machine's link is as it was.
    """
    _remove_remains(place)
    argv = python.module_command(RELAY, place.machine, place.near, place.far, str(seed))
    if outlives:
        argv.append(OUTLIVES)
    process = start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        said = process.stdout.readline() if select.select([process.stdout], [], [], START_SECONDS)[0] else ""
        if said != f"{READY}\n":
            process.kill()
            raise EmulationError(f"the relay of {place.machine} did not start", process.stderr.read().strip())
    wiring.with_netlink(place.switch, lambda netlink: _join(netlink, place, alias))
    return process


def _join(netlink: IPRoute, place: Place, alias: str) -> None:
    """Machine's port and near TAP on a bridge of their own, the far TAP on the lab's."""
    wiring.add_bridge(netlink, place.wire, alias, br_ageing_time=0)  # it learns nothing: what comes in goes out
    wire, bridge = (wiring.index_of(netlink, name) for name in (place.wire, wiring.BRIDGE))
    for tap, master in ((place.near, wire), (place.far, bridge)):
        index = wiring.index_of(netlink, tap)
        netlink.link("set", index=index, txqlen=QUEUE_LENGTH, master=master, IFLA_IFALIAS=alias, state="up")
    netlink.link("set", index=wiring.index_of(netlink, place.machine), master=wire)


def remove(place: Place) -> None:
    """Join the machine's port to the bridge again and end the relay, if there is one. Frames on their way go."""

    def part(netlink: IPRoute) -> None:
        netlink.link(
            "set", index=wiring.index_of(netlink, place.machine), master=wiring.index_of(netlink, wiring.BRIDGE)
        )

    if is_there(place):
        wiring.with_netlink(place.switch, part)
    _remove_remains(place)


def _remove_remains(place: Place) -> None:
    """Of a machine whose port is on the lab's bridge: its wire, and its relay, which may have got no further."""

    def remove_wire(netlink: IPRoute) -> None:
        for wire in netlink.link_lookup(ifname=place.wire):
            netlink.link("del", index=wire)

    wiring.with_netlink(place.switch, remove_wire)
    try:
        _ask(place, {"end": True})
    except OSError:  # there is none, or it was killed, or does not answer (yet)
        for pid in _relays(place):
            namespaces.kill(pid)


def _relays(place: Place) -> list[int]:
    """Processes in the switch that are this machine's relay."""
    found = []
    for pid in namespaces.processes_in([place.switch]):
        with contextlib.suppress(OSError):  # it has ended
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if [RELAY.encode(), place.machine.encode(), place.near.encode()] == words[3:6]:
                found.append(pid)
    return found


def ask(place: Place, **request: str) -> dict[str, Any]:
    """What the relay answers: for ``to`` and ``from`` each, ``settings`` and ``statistics``.

    The request names directions and the settings they shall have. Raises EmulationError when it does not answer.
    """
    try:
        answer = _ask(place, request)
    except OSError as error:
        raise EmulationError(
            f"the relay of {place.machine} does not answer: {error}",
            f"`netlab link clear {place.machine}` joins it to the bridge again.",
        ) from error
    if "error" in answer:
        raise EmulationError(f"the relay of {place.machine} refuses: {answer['error']}")
    return answer


def _ask(place: Place, request: dict[str, Any]) -> dict[str, Any]:
    def exchange() -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as asking:
            asking.settimeout(ANSWER_SECONDS)
            asking.bind("")  # an address of the kernel's choice, to be answered at
            asking.connect(control_address(place.machine))
            asking.send(json.dumps(request).encode())
            return asking.recv(1 << 16)

    answer = json.loads(namespaces.run_in(place.switch, exchange))
    assert isinstance(answer, dict)
    return answer
