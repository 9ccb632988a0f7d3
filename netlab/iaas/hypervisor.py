"""The daemon's side of its machines: requests to the zygote, and a control channel to each node.

A control channel is a socket pair. The boot message, with the secret in it, goes that way and never over a command
line or an environment. Back come signs of life and what became of the boot. A node runs a user's code, so what it
says is checked like a stranger's.
"""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

from ebbrt.lines import LineError
from netlab.iaas.line_peer import LinePeer
from netlab.iaas.machines import Hypervisor, Machine, MachineError, Machines, State

REMOVAL_SECONDS = 10.0  # for the kernel to remove a TAP whose process has ended: it waits for many others to go
LONGEST_REASON = 2000  # characters of a failure told by a node


class ZygoteHypervisor(Hypervisor):
    """Machines as forks of the zygote.

    zygote: the socket to it. place: what every node is told of where it is (``prefix_length``, ``bridge``,
    ``alias``). on_lost: called when the zygote is gone, and with it all nodes.
    """

    def __init__(self, zygote: socket.socket, place: dict[str, Any], on_lost: Callable[[], object]) -> None:
        self.machines: Machines  # set before anything is launched
        self.refused: Counter[str] = Counter()  # what nodes said that they must not, by reason
        self._zygote = zygote
        self._place = place
        self._on_lost = on_lost
        self._controls: dict[str, _Control] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        zygote.setblocking(False)
        asyncio.get_running_loop().add_reader(zygote.fileno(), self._from_zygote)

    def launch(self, machine: Machine) -> None:
        """Fork a node. Raises MachineError when the zygote takes no more requests."""
        ours, its = socket.socketpair()
        ours.setblocking(False)
        shape = {"cores": machine.shape.cores, "memory": machine.shape.memory}
        request = {"machine": machine.name, "address": machine.address, **shape, **self._place}
        try:
            socket.send_fds(self._zygote, [json.dumps(request).encode()], [its.fileno()])
        except OSError as error:
            ours.close()
            raise MachineError(f"the zygote takes no request: {error.strerror}") from error
        finally:
            its.close()
        control = _Control(self, machine)
        self._controls[machine.name] = control
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.create_unix_connection(lambda: control, sock=ours))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def start(self, machine: Machine, boot: dict[str, Any]) -> None:
        """Send the boot message."""
        self._controls[machine.name].send({"boot": boot})

    def kill(self, machine: Machine) -> None:
        """SIGKILL, through its parent: that process and no other."""
        try:
            self._zygote.send(json.dumps({"kill": machine.name}).encode())
        except OSError:  # it is gone, or has stopped: then nothing of ours goes on
            self._lost()

    async def removed(self, machine: Machine) -> None:
        """Wait until there is no interface of the TAP's name in this network namespace."""
        deadline = asyncio.get_running_loop().time() + REMOVAL_SECONDS
        while _interface_exists(machine.name):
            if asyncio.get_running_loop().time() > deadline:
                raise MachineError(f"its TAP is still there {REMOVAL_SECONDS:g} s after its process ended")
            await asyncio.sleep(0.002)

    def _from_zygote(self) -> None:
        while True:
            try:
                packet = self._zygote.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._lost()
                return
            self._zygote_says(json.loads(packet))

    def _zygote_says(self, document: dict[str, Any]) -> None:
        machine = self.machines.get(document["machine"])
        if machine is None:
            return
        if "pid" in document:
            machine.pid = document["pid"]
        else:
            control = self._controls.pop(machine.name, None)
            if control is not None:
                control.close()
            self.machines.process_ended(machine, document["ended"])

    def _lost(self) -> None:
        asyncio.get_running_loop().remove_reader(self._zygote.fileno())
        self._on_lost()


class _Control(LinePeer):
    """The control channel of one machine."""

    def __init__(self, hypervisor: ZygoteHypervisor, machine: Machine) -> None:
        super().__init__()
        self._hypervisor = hypervisor
        self._machine = machine

    def received(self, document: dict[str, Any]) -> None:
        """A node says that it lives, and now and then more."""
        machines = self._hypervisor.machines
        machine = self._machine
        machine.heard = machines.clock()
        if not machine.alive or "alive" in document:
            return
        if "failed" in document:
            machines.fail(machine, str(document["failed"])[:LONGEST_REASON])
        elif "dormant" in document and machine.state is State.BOOTING:
            machines.dormant(machine)
        elif "ready" in document and machine.state is State.STARTING and _is_port(document["ready"]):
            machines.ready(machine, document["ready"])
        else:
            raise LineError(f"a {machine.state} node said what it cannot")

    def ended(self, reason: str) -> None:
        """Without its control channel a node is of no use. How its process ended is what its failure will say."""
        if reason:
            self._hypervisor.refused[reason] += 1
            self._hypervisor.machines.fail(self._machine, reason)
        else:
            self._hypervisor.kill(self._machine)


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 16


def _interface_exists(name: str) -> bool:
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True
