"""The machines of the simulated IaaS: what each is, which states it goes through, and what waits for that.

    booting -> dormant -> starting -> ready      and from each of them -> failed, or freed

A machine *boots* until its stack answers; then it is *dormant*: nobody's. Given to a user it is *starting*, until its
Messenger has reached the front-end and the application's function has returned; then it is *ready*. *Failed* is one
that died or stopped answering, *freed* one that was given back; both are being ended, and are gone from the list once
their process and their TAP are.
"""

import asyncio
import enum
import ipaddress
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol


class State(enum.StrEnum):
    """Where in its life a machine is."""

    BOOTING = "booting"
    DORMANT = "dormant"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    FREED = "freed"


AFTER = {
    State.BOOTING: {State.DORMANT, State.FAILED, State.FREED},
    State.DORMANT: {State.STARTING, State.FAILED, State.FREED},
    State.STARTING: {State.READY, State.FAILED, State.FREED},
    State.READY: {State.FAILED, State.FREED},
    State.FAILED: set(),
    State.FREED: set(),
}


class StateError(RuntimeError):
    """A machine was told to take a step that its state does not have."""


class MachineError(Exception):
    """The machine ended before it came to where somebody waited for it to be."""


@dataclass(frozen=True)
class Shape:
    """What a machine is made of: ``cores``, and ``memory`` in bytes beyond what its stack needs."""

    cores: int
    memory: int


class Machine:
    """One machine: its shape, its address, its state since when, and who uses it."""

    def __init__(self, name: str, address: str, shape: Shape, now: float) -> None:
        self.name = name  # also of its TAP
        self.address = address
        self.shape = shape
        self.state = State.BOOTING
        self.since = now  # of the state, in seconds of the daemon's clock
        self.heard = now  # when it last gave a sign of life
        self.pid = 0
        self.port = 0  # where its Messenger listens, once it is ready
        self.uid: int | None = None  # of the user that has it
        self.number: int | None = None  # by which that user's application knows it
        self.reason = ""  # why it ended
        self.gone = False  # process and TAP are no more
        self.watchers: list[Callable[[Machine], object]] = []  # told of every new state
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def alive(self) -> bool:
        """Whether it has neither failed nor been freed."""
        return bool(AFTER[self.state])

    def enter(self, state: State, now: float, reason: str = "") -> None:
        """Take a step. Raises StateError when there is none from here to there."""
        if state not in AFTER[self.state]:
            raise StateError(f"machine {self.name} cannot go from {self.state} to {state}")
        self.state = state
        self.since = self.heard = now
        self.reason = reason
        for watcher in list(self.watchers):
            watcher(self)
        self._wake()

    def now_gone(self) -> None:
        """Its process and its TAP are no more."""
        self.gone = True
        self.watchers.clear()
        self._wake()

    async def ready(self) -> None:
        """Wait until it is ready. Raises MachineError when it ends before."""
        while self.state is not State.READY:
            if not self.alive:
                raise MachineError(self.reason)
            await self._change()

    async def death(self) -> None:
        """Wait until it has failed or was freed."""
        while self.alive:
            await self._change()

    async def ended(self) -> None:
        """Wait until nothing is left of it."""
        while not self.gone:
            await self._change()

    async def _change(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        waiting = self._waiting
        self._waiting = []
        for future in waiting:
            if not future.done():  # it was cancelled
                future.set_result(None)


class Addresses:
    """The addresses of a network that its own machines do not use; given out in turn, so that each rests longest."""

    def __init__(self, network: str, taken: Iterable[str]) -> None:
        self._network = ipaddress.IPv4Network(network)
        self._taken = {ipaddress.IPv4Address(address) for address in taken}
        self._fresh = iter(self._network.hosts())
        self._rested: deque[str] = deque()

    def take(self) -> str:
        """One that no machine has. Raises MachineError when all are in use."""
        for address in self._fresh:
            if address not in self._taken:
                return str(address)
        if not self._rested:
            raise MachineError(f"all addresses of {self._network} are in use")
        return self._rested.popleft()

    def give_back(self, address: str) -> None:
        """Its machine is gone."""
        self._rested.append(address)


class Hypervisor(Protocol):
    """What really runs machines; it says what becomes of them through `Machines`."""

    def launch(self, machine: Machine) -> None:
        """Begin to boot it. Raises MachineError when that cannot even begin."""

    def start(self, machine: Machine, boot: dict[str, Any]) -> None:
        """Give a dormant machine its boot message."""

    def kill(self, machine: Machine) -> None:
        """End its process."""

    async def removed(self, machine: Machine) -> None:
        """Wait until its TAP is no more, its process having ended. Raises MachineError when it stays."""


class Machines:
    """All machines there are, by name; every step a machine takes is taken here.

    ``clock`` gives seconds; a machine that is silent for ``silence`` of them counts as hung.
    """

    def __init__(
        self, hypervisor: Hypervisor, addresses: Addresses, clock: Callable[[], float], silence: float
    ) -> None:
        self.clock = clock
        self.failures: deque[str] = deque(maxlen=16)  # the last ones, in words
        self._hypervisor = hypervisor
        self._addresses = addresses
        self._silence = silence
        self._machines: dict[str, Machine] = {}
        self._serial = 0
        self._steps: Counter[State] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Machine]:
        return iter(list(self._machines.values()))

    def __len__(self) -> int:
        return len(self._machines)

    def get(self, name: str) -> Machine | None:
        """The machine of that name, unless it is gone."""
        return self._machines.get(name)

    def launch(self, shape: Shape) -> Machine:
        """Begin to boot a machine. Raises MachineError when there is no address left, or no machine to be had."""
        self._serial += 1
        machine = Machine(f"iaas{self._serial}", self._addresses.take(), shape, self.clock())
        try:
            self._hypervisor.launch(machine)
        except MachineError:
            self._addresses.give_back(machine.address)
            raise
        self._machines[machine.name] = machine
        self._steps[State.BOOTING] += 1
        return machine

    def dormant(self, machine: Machine) -> None:
        """It has booted."""
        self._enter(machine, State.DORMANT)

    def start(self, machine: Machine, uid: int, number: int, boot: dict[str, Any]) -> None:
        """Give a dormant machine to a user, whose application knows it by ``number``.

        Raises MachineError when it has ended since it was handed out.
        """
        if not machine.alive:
            raise MachineError(machine.reason)
        machine.uid = uid
        machine.number = number
        self._enter(machine, State.STARTING)
        self._hypervisor.start(machine, boot)

    def ready(self, machine: Machine, port: int) -> None:
        """Its application has set itself up, and its Messenger listens on ``port``."""
        machine.port = port
        self._enter(machine, State.READY)

    def fail(self, machine: Machine, reason: str) -> None:
        """Something is wrong with it: end it, unless it ends already."""
        if machine.alive:
            self.failures.append(f"{machine.name}: {reason}")
            self._enter(machine, State.FAILED, reason)
            self._hypervisor.kill(machine)

    def free(self, machine: Machine) -> None:
        """It was given back: end it, unless it ends already."""
        if machine.alive:
            self._enter(machine, State.FREED, "it was freed")
            self._hypervisor.kill(machine)

    def process_ended(self, machine: Machine, how: str) -> None:
        """Its process is no more; ``how`` it ended, in words."""
        self.fail(machine, how)
        task = asyncio.get_running_loop().create_task(self._remove(machine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def check_silent(self) -> None:
        """Fail the machines that have hung."""
        now = self.clock()
        for machine in self:
            if machine.alive and now - machine.heard > self._silence:
                self.fail(machine, f"it was silent for {self._silence:g} s: it hangs, or an event of it runs too long")

    def starting(self) -> bool:
        """Whether the boot of some user's machine is under way."""
        return any(machine.state is State.STARTING for machine in self._machines.values())

    def statistics(self) -> dict[str, Any]:
        """Machines by state now, how many ever entered each, and the last failures."""
        now = Counter(machine.state for machine in self)
        return {
            "now": {state.value: now[state] for state in State},
            "ever": {state.value: self._steps[state] for state in State},
            "last_failures": list(self.failures),
        }

    def _enter(self, machine: Machine, state: State, reason: str = "") -> None:
        machine.enter(state, self.clock(), reason)
        self._steps[state] += 1

    async def _remove(self, machine: Machine) -> None:
        try:
            await self._hypervisor.removed(machine)
        except MachineError as error:  # it keeps its address, and its place on the list
            self.failures.append(f"{machine.name}: {error}")
            return
        del self._machines[machine.name]
        self._addresses.give_back(machine.address)
        machine.now_gone()
