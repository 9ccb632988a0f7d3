"""A lab: one private network of Linux hosts and nodes, which leaves nothing behind.

    with Lab.create() as lab:
        lab.hosts["client"].run(["ping", "-c1", lab.hosts["server"].address])

Whatever ends the ``with`` (an exception, Ctrl-C, SIGTERM, SIGHUP) ends every process in the lab and removes its
namespaces. After a SIGKILL the next `Lab.create`, or ``netlab clean``, does so by the lab's record (``registry.py``).

Read next: ``topology.py`` for the shape, ``wiring.py`` for how it is made, ``links.py`` for steering and shaping,
``emulation/`` for links that delay and lose.
"""

import atexit
import contextlib
import shutil
import signal
import subprocess
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from types import FrameType, TracebackType
from typing import Any

from netlab import links, namespaces, privilege, registry, wiring
from netlab.emulation import insertion
from netlab.emulation.insertion import Place
from netlab.emulation.settings import LinkSettings
from netlab.errors import NetlabError, UsageError
from netlab.registry import Owner, Record
from netlab.topology import SWITCH, Topology, default_topology, ipv6_address, mac_address

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DEFAULT_BUFFER = 4 << 20  # bytes: 64 connections x 8 KiB outstanding, eight times over


class LabError(NetlabError):
    """A machine that is not there, or a program that cannot be started."""


class UnknownMachineError(LabError, UsageError):
    """A lab has no machine of that name."""


@dataclass(slots=True)
class Host:
    """A Linux machine of the lab: a network namespace with one interface. The switch is one too, without addresses."""

    name: str
    namespace: str
    address: str
    prefix_length: int
    interface: str
    ipv6: str = ""
    cpu: int | None = None  # where its programs run by default, while the lab is in own-core mode
    processes: list["subprocess.Popen[Any]"] = field(default_factory=list, repr=False)

    def popen(self, argv: list[str], cpu: int | None = None, **keywords: Any) -> "subprocess.Popen[Any]":
        """Start ``argv`` inside the machine and return at once; keywords are those of `subprocess.Popen`.

        The process is pinned to ``cpu``, or to the CPU the machine is steered to. It is in a session of its own, so
        a Ctrl-C at the keyboard reaches the lab's owner only, and dies when this one does, or with the lab. Raises
        LabError when there is no such program.
        """
        require_program(argv[0])
        keywords.setdefault("start_new_session", True)
        where = self.cpu if cpu is None else cpu
        command = namespaces.command_in(self.namespace, argv, where)
        process = subprocess.Popen(command, **keywords)
        self.processes.append(process)
        return process

    def run(
        self, argv: list[str], timeout: float | None = None, cpu: int | None = None, **keywords: Any
    ) -> "subprocess.CompletedProcess[Any]":
        """Run ``argv`` inside the machine to its end; keywords are those of `subprocess.run`."""
        require_program(argv[0])
        keywords.setdefault("start_new_session", True)
        command = namespaces.command_in(self.namespace, argv, self.cpu if cpu is None else cpu)
        return subprocess.run(command, timeout=timeout, **keywords)


@dataclass(frozen=True, slots=True)
class Tap:
    """Where a node attaches: the TAP's name in the switch's namespace, and the addresses planned for the node."""

    name: str
    address: str
    prefix_length: int
    mac: str
    ipv6: str


class Lab:
    """One lab that runs. Make it with `create`, or reach a detached one with `open`."""

    def __init__(self, record: Record) -> None:
        topology = record.topology
        length = topology.prefix_length
        self.record = record
        self.name = record.name
        self.topology = topology
        self.bridge = wiring.BRIDGE
        self.switch = Host(SWITCH, registry.namespace_of(record.name, SWITCH), "", length, wiring.BRIDGE)
        self.hosts = {
            host.name: Host(
                host.name,
                registry.namespace_of(record.name, host.name),
                host.address,
                length,
                wiring.HOST_INTERFACE,
                ipv6_address(host.address),
                record.cpus.get(host.name),
            )
            for host in topology.hosts
        }
        self.taps = {
            node.name: Tap(node.name, node.address, length, mac_address(node.address), ipv6_address(node.address))
            for node in topology.nodes
        }
        self._handlers: dict[signal.Signals, Any] = {}  # what SIGTERM and SIGHUP did before
        self._outlives = False
        self._relays: dict[str, subprocess.Popen[Any]] = {}  # by machine, of those that this process has started

    @classmethod
    def create(
        cls,
        topology: Topology | None = None,
        name: str | None = None,
        *,
        detached: bool = False,
        plain_taps: Collection[str] = (),
    ) -> "Lab":
        """Make a lab, after removing what labs whose owner died have left.

        ``name`` None takes the first free of lab1, lab2... A ``detached`` lab is to outlive this process: it does from
        `detach` on, which says that it is finished.
        ``plain_taps`` names nodes whose TAPs any program can open, and no node of several cores (``wiring.make_tap``).
        Raises PrivilegeError without the rights, RegistryError when the name is taken, NetlabError when the kernel
        lacks something; whatever it raises, nothing stays behind.
        """
        privilege.require()
        topology = default_topology() if topology is None else topology
        for node in plain_taps:
            if node not in [each.name for each in topology.nodes]:
                known = ", ".join(each.name for each in topology.nodes) or "none"
                raise UnknownMachineError(f"the topology has no node {node!r}", f"It has {known}.")
        with registry.locked():
            _clean_locked()
            record = registry.claim(name, topology, Owner.current())
        lab = cls(record)
        lab._outlives = detached
        atexit.register(lab.delete)
        lab._catch_signals()
        try:
            lab._build(plain_taps)
        except BaseException:
            lab.delete()
            raise
        return lab

    @classmethod
    def open(cls, name: str) -> "Lab":
        """Reach a lab that runs already. Raises RegistryError when there is none of that name."""
        record = registry.load(name)
        if record.is_abandoned:
            raise LabError(f"the process that owned the lab {name!r} has died", "netlab clean removes what it left.")
        return cls(record)

    def detach(self) -> None:
        """A lab made ``detached`` is finished: from now on it belongs to no process, and stays until `delete`."""
        with _deferred_signals():
            self.record.owner = None
            self.record.save()
            atexit.unregister(self.delete)
        self._restore_signals()

    def __enter__(self) -> "Lab":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.delete()

    def delete(self) -> None:
        """End every process in the lab and remove its namespaces and its record. Does nothing the second time."""
        with _deferred_signals():
            if self.record.owner is None:  # should this process be killed, the rest of the lab is known for a rest
                self.record.owner = Owner.current()
                with contextlib.suppress(registry.RegistryError):  # what cannot be written can still be removed
                    self.record.save()
            machines = (self.switch, *self.hosts.values())
            processes = [process for machine in machines for process in machine.processes]
            for process in processes:  # one that has only just begun is in none of the namespaces yet
                if process.poll() is None:
                    process.terminate()
            _delete_recorded(self.record)
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
            for machine in machines:
                machine.processes.clear()
            self._relays.clear()
            atexit.unregister(self.delete)
        self._restore_signals()

    def node_popen(
        self, node: str, argv: list[str], cpu: int | None = None, **keywords: Any
    ) -> "subprocess.Popen[Any]":
        """Start a node's program in the switch's namespace, where its TAP is; as `Host.popen` otherwise."""
        self._check_node(node)
        return self.switch.popen(argv, self.record.cpus.get(node) if cpu is None else cpu, **keywords)

    def steer(self, machine: str, cpu: int) -> None:
        """Give the machine a CPU of its own: own-core mode, see ``links.py`` for what that means and why it is fair.

        Programs started in it from now on run there; for a Linux host, receive processing does too, by an RPS mask on
        its interface that is read back. A node needs none: its own reading takes frames in. Start a node, or pin what
        runs already, on the same CPU.
        """
        self._steer(machine, cpu)
        self.record.cpus[machine] = cpu
        self.record.save()

    def unsteer(self, machine: str) -> None:
        """Back to Linux's default: frames are processed on the sender's CPU, programs run on any."""
        self._steer(machine, None)
        self.record.cpus.pop(machine, None)
        self.record.save()

    def receive_masks(self, machine: str) -> list[int]:
        """The RPS masks in force on the machine's interface (a node's TAP), a queue each; 0 is the default."""
        if machine in self.hosts:
            return links.receive_masks(self.hosts[machine].namespace, wiring.HOST_INTERFACE)
        self._check_node(machine)
        return links.receive_masks(self.switch.namespace, machine)

    def shape(self, machine: str, rate_bits_per_s: int, buffer_bytes: int = DEFAULT_BUFFER) -> None:
        """Limit what goes *towards* the machine, on Ethernet and above, to this rate: one direction only.

        A token bucket on the switch's port to it, the same for hosts and nodes. What the machine sends is limited by
        the shaping of its receivers: for a link of 1 Gb/s both ways between two machines, shape both. Frames over the
        rate wait, up to ``buffer_bytes`` of them; those beyond are dropped. Segmentation offload stays on.
        """
        self._check_machine(machine)
        links.shape_port(self.switch.namespace, machine, rate_bits_per_s, buffer_bytes)
        self.record.shaped[machine] = rate_bits_per_s
        self.record.save()

    def unshape(self, machine: str) -> None:
        """Remove the limit that `shape` set, if any."""
        self._check_machine(machine)
        if self.record.shaped.pop(machine, None) is not None:
            links.unshape_port(self.switch.namespace, machine)
            self.record.save()

    def emulate(self, machine: str, to: str | None = None, from_: str | None = None, *, seed: int = 0) -> None:
        """Let what goes ``to`` the machine, and what comes ``from`` it, be like this from now on.

        Settings are texts, ``emulation/settings.py`` has the form: ``"delay=25ms,loss=1%"``; delay is one way. None
        leaves a direction as it is, "" clears it. Frames of an emulated link pass a relay process, at up to some
        hundred Mb/s and as long as on a wire; `unemulate` takes that out again. ``seed`` fixes which frames a fault
        hits; it is that of a link which was not emulated before.
        Raises LinkSettingsError, LabError when there is no such machine, EmulationError when no relay can be started.
        """
        wanted = {"to": to, "from": from_}
        settings = {direction: str(LinkSettings.parse(text)) for direction, text in wanted.items() if text is not None}
        place = self._place(machine)
        with registry.locked():  # or two might insert one each
            if not insertion.is_there(place):
                outlives = self._outlives or self.record.owner != Owner.current()
                alias = wiring.alias_of(self.name)
                self._relays[machine] = insertion.insert(place, alias, seed, self.switch.popen, outlives=outlives)
        insertion.ask(place, **settings)

    def unemulate(self, machine: str) -> None:
        """Join the machine's port to the bridge again, if its link is emulated; frames on their way are dropped."""
        place = self._place(machine)
        with registry.locked():
            insertion.remove(place)
        if machine in self._relays:
            relay = self._relays.pop(machine)
            relay.wait()
            self.switch.processes.remove(relay)

    def emulated(self, machine: str) -> dict[str, Any] | None:
        """What the machine's emulated link does: for ``"to"`` and ``"from"``, ``"settings"`` and ``"statistics"``.

        The statistics are those of `Link`, and ``missed``: frames that the relay did not get to take. None when the
        link is not emulated.
        """
        place = self._place(machine)
        return insertion.ask(place) if insertion.is_there(place) else None

    def host(self, name: str) -> Host:
        """The Linux machine called ``name``, the switch among them. Raises LabError when there is none."""
        if name == self.switch.name:
            return self.switch
        if name not in self.hosts:
            known = ", ".join([*self.hosts, self.switch.name])
            raise UnknownMachineError(f"the lab {self.name!r} has no host {name!r}", f"It has {known}.")
        return self.hosts[name]

    def _build(self, plain_taps: Collection[str]) -> None:
        for machine in (self.switch, *self.hosts.values()):
            self.record.namespaces.append(machine.namespace)
            self.record.save()
            try:
                namespaces.create(machine.namespace)
            except namespaces.NamespaceError:
                self.record.namespaces.remove(machine.namespace)  # it is not ours to remove
                self.record.save()
                raise
        hosts = {host.name: host.namespace for host in self.hosts.values()}
        wiring.build(self.name, self.topology, self.switch.namespace, hosts, plain_taps)

    def _place(self, machine: str) -> Place:
        self._check_machine(machine)
        names = [each.name for each in self.topology.machines]
        return Place(self.switch.namespace, machine, names.index(machine))

    def _steer(self, machine: str, cpu: int | None) -> None:
        if machine in self.hosts:
            links.steer_receive(self.hosts[machine].namespace, wiring.HOST_INTERFACE, cpu)
            self.hosts[machine].cpu = cpu
        else:
            self._check_node(machine)

    def _check_machine(self, machine: str) -> None:
        if machine not in self.hosts and machine not in self.taps:
            known = ", ".join([*self.hosts, *self.taps])
            raise UnknownMachineError(f"the lab {self.name!r} has no machine {machine!r}", f"It has {known}.")

    def _check_node(self, node: str) -> None:
        if node not in self.taps:
            raise UnknownMachineError(
                f"the lab {self.name!r} has no node {node!r}", f"It has {', '.join(self.taps) or 'none'}."
            )

    def _catch_signals(self) -> None:
        """Let SIGTERM and SIGHUP end the ``with`` as an exception does."""
        self._handlers = end_by_exception()

    def _restore_signals(self) -> None:
        for number, handler in self._handlers.items():
            if signal.getsignal(number) is _exit_by_signal:
                signal.signal(number, handler)
        self._handlers.clear()


def running() -> list[Record]:
    """The records of all labs that can be read, those whose owner died among them."""
    return registry.load_all()[0]


def clean() -> list[str]:
    """Remove what labs whose owner died have left, and labs whose record is damaged; returns their names.

    Labs that run are not touched. Raises NetlabError, when all that can be removed is, for one that cannot.
    """
    privilege.require()
    with registry.locked():
        removed, failures = _clean_locked()
        for error in registry.load_all()[1]:
            if not error.in_use:
                delete_unreadable(error.name)
                removed.append(error.name)
    if failures:
        raise failures[0]
    return removed


def delete_unreadable(name: str) -> None:
    """Remove a lab whose record cannot be read: the namespaces that bear its name, and the record."""
    namespaces.remove_with_processes(namespaces.names_with(registry.prefix(name)))
    registry.forget(name)


def _clean_locked() -> tuple[list[str], list[NetlabError]]:
    """Names of the labs that were removed; what stood in the way of others."""
    removed: list[str] = []
    failures: list[NetlabError] = []
    registry.forget_unfinished()
    for record in running():
        if record.is_abandoned:
            try:
                _delete_recorded(record)
            except NetlabError as error:
                failures.append(error)
            else:
                removed.append(record.name)
    return removed, failures


def _delete_recorded(record: Record) -> None:
    """Delete exactly what is on record."""
    namespaces.remove_with_processes(record.namespaces)
    record.namespaces.clear()
    record.forget()


def require_program(program: str) -> None:
    """Raise LabError unless ``program`` can be started."""
    if shutil.which(program) is None:
        raise LabError(f"there is no program {program!r}", "netlab doctor names the Debian package of those we use.")


def end_by_exception() -> dict[signal.Signals, Any]:
    """Turn SIGTERM and SIGHUP into SystemExit where they would just end the process; returns what they did before."""
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, _exit_by_signal)
    return before


def _exit_by_signal(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


@contextlib.contextmanager
def _deferred_signals() -> Iterator[None]:
    """Hold back the signals that would end the process until the body is done; a second Ctrl-C loses nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    handlers = {
        number: signal.signal(number, lambda number, frame: arrived.append(number)) for number in ENDING_SIGNALS
    }
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if arrived:
        signal.raise_signal(arrived[0])
