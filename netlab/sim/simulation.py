"""A simulation: nodes and links in one process, under virtual time; a seed fixes everything that happens in it.

    with Simulation(seed=7) as simulation:
        server = simulation.add_node("server", application=serve)
        client = simulation.add_node("client", application=ask)
        simulation.link(client, server, "delay=5ms,rate=100mbit,limit=50,loss=1%")
        simulation.capture(Path("out.pcap"))
        simulation.run(seconds=10)

The nodes are those that run on TAPs, from the virtio device up (``node``), and the links those of the relay between
real machines (``netlab.emulation``, ``wire``). Time stands still while anything runs, and then jumps to what is next
(``agenda``). Nothing here takes rights, sleeps, or depends on the machine.
"""

from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Any

from ebbrt import ebb
from ebbrt.constants import FOREVER
from ebbrt.tcp_settings import DEFAULT_SETTINGS, TcpSettings
from netlab.emulation.settings import LinkSettings
from netlab.errors import NetlabError
from netlab.sim.agenda import BEGINNING, Agenda
from netlab.sim.capture import Capture
from netlab.sim.node import DEFAULT_MEMORY, SimulatedNode
from netlab.sim.switch import Switch, SwitchPort
from netlab.sim.wire import End, Wire, settings_of

NETWORK = IPv4Network("198.18.0.0/15")  # the benchmarking range, RFC 2544
SECOND = 1_000_000_000

Linkable = End | SimulatedNode | Switch


class SimulationError(NetlabError):
    """A simulation that cannot be built as asked."""


class Simulation:
    """Build it, ``run`` it as often as wanted, and close it; as a context manager it is closed at the end."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.agenda = Agenda()
        self.clock = self.agenda.clock
        self.nodes: dict[str, SimulatedNode] = {}
        self.switches: dict[str, Switch] = {}
        self.wires: list[Wire] = []
        self._captures: list[tuple[Capture, Wire | None]] = []
        self._last_address = 0
        self._to_boot: list[tuple[SimulatedNode, Callable[[SimulatedNode], Any]]] = []
        self._before = ebb.current_core()

    def add_node(
        self,
        name: str,
        address: str | None = None,
        application: Callable[[SimulatedNode], Any] | None = None,
        *,
        tcp: TcpSettings = DEFAULT_SETTINGS,
        sack: bool = True,
        memory: int = DEFAULT_MEMORY,
        mtu: int = 1500,
        whole: bool = False,
    ) -> SimulatedNode:
        """A node with one interface.

        address: with its network's length; without, the next of 198.18.0.0/15.
        application: called with the node when the simulation first runs; what it returns is ``node.application``.
        tcp: what the node's connections start with. sack: whether they offer selective acknowledgments.
        memory: bytes of node memory.
        whole: large segments and partial checksums go over its link as they are, as between TAPs of one host.
        """
        if name in self.nodes or name in self.switches:
            raise SimulationError(f"there are two machines of the name {name!r}")
        address = self._next_address() if address is None else address
        node = SimulatedNode(self.agenda, name, address, f"{self.seed}/{name}", memory, tcp, sack)
        node.add_interface(address, mtu, whole)
        self.nodes[name] = node
        if application is not None:
            self._to_boot.append((node, application))
        return node

    def add_switch(self, name: str) -> Switch:
        """A learning switch; it has as many ports as links."""
        if name in self.nodes or name in self.switches:
            raise SimulationError(f"there are two machines of the name {name!r}")
        switch = Switch(name, self.clock)
        self.switches[name] = switch
        return switch

    def link(
        self, a: Linkable, b: Linkable, settings: LinkSettings | str = "", back: LinkSettings | str | None = None
    ) -> Wire:
        """Join two machines.

        settings: what the link does to frames from ``a`` to ``b``, as ``netlab.emulation.settings`` has it; delays are
            one way. back: from ``b`` to ``a``; the same when it is not given.
        """
        ends = self._free_end(a), self._free_end(b)
        there = settings_of(settings)
        seed = f"{self.seed}/{len(self.wires)}"
        wire = Wire(self.agenda, *ends, there, there if back is None else settings_of(back), seed)
        self.wires.append(wire)
        for capture, only in self._captures:
            if only is None:
                _attach(capture, wire, True)
        return wire

    def capture(self, path: Path, wire: Wire | None = None) -> Capture:
        """Write what enters ``wire`` to a pcap file; without one, each frame once: as it is sent, not as switched."""
        capture = Capture(path)
        self._captures.append((capture, wire))
        for one in self.wires if wire is None else [wire]:
            _attach(capture, one, wire is None)
        return capture

    def at(self, seconds: float, function: Callable[[], object]) -> None:
        """Call ``function`` when so much time has passed from now; outside of any node: see ``SimulatedNode.call``."""
        self.agenda.add(self.clock.now() + round(seconds * SECOND), function)

    def run(self, until: Callable[[], bool] | None = None, seconds: float = 60.0) -> bool:
        """Go on until ``until()`` holds, nothing is left to happen, or so much virtual time has passed.

        Whether ``until()`` holds at the end; without it, whether nothing is left to happen.
        """
        end = self.clock.now() + round(seconds * SECOND)
        try:
            self._boot()
            if self.agenda.run(until, end):
                return True
            if until is None or self.agenda.next_time() != FOREVER:
                self.clock.time = end
            return until is None and self.agenda.next_time() == FOREVER
        finally:
            self._before.enter()

    def now(self) -> float:
        """Seconds of virtual time since the beginning."""
        return (self.clock.now() - BEGINNING) / SECOND

    def statistics(self) -> dict[str, Any]:
        """The counters of all nodes, switches and links, by name; the virtual time, and how many events there were."""
        return {
            "seconds": self.now(),
            "events": self.agenda.calls,
            "nodes": {name: node.statistics() for name, node in self.nodes.items()},
            "switches": {name: switch.statistics() for name, switch in self.switches.items()},
            "links": {wire.name: wire.statistics() for wire in self.wires},
        }

    def close(self) -> None:
        """Complete the captures and end the nodes."""
        for capture, _ in self._captures:
            capture.close()
        for node in self.nodes.values():
            node.close()
        self._before.enter()

    def __enter__(self) -> "Simulation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _boot(self) -> None:
        """Start the applications of nodes that were added since the last run, in that order."""
        waiting, self._to_boot = self._to_boot, []
        for node, application in waiting:
            node.boot(application)

    def _free_end(self, machine: Linkable) -> End:
        """Where a further link of the machine is plugged in. Raises SimulationError when there is no place."""
        if isinstance(machine, Switch):
            return machine.add_port()
        for end in machine.ports if isinstance(machine, SimulatedNode) else [machine]:
            if end.out is None:
                return end
        raise SimulationError(f"{machine.name} is linked already", "Give it another interface, or use a switch.")

    def _next_address(self) -> str:
        """The next one that no node has."""
        taken = {node.address for node in self.nodes.values()}
        while True:
            self._last_address += 1
            address = str(NETWORK[self._last_address])
            if address not in taken:
                return f"{address}/{NETWORK.prefixlen}"


def _attach(capture: Capture, wire: Wire, unless_switched: bool) -> None:
    for direction in (wire.there, wire.back):
        if not (unless_switched and isinstance(direction.source, SwitchPort)):
            direction.captures.append(capture)
