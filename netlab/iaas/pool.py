"""The pool: machines that have booted before anybody asked for them.

Whoever needs a machine of the pool's shape gets a dormant one at once. For any other shape, or when none is left, one
is booted. Boots that somebody waits for go first, and only so many at a time; the pool is filled up, one by one, when
nobody waits, and no user's machine is starting.
"""

import asyncio
from collections import Counter, deque
from typing import Any

from netlab.iaas.machines import Machine, MachineError, Machines, Shape, State


class Pool:
    """Hands out dormant machines; keeps ``size`` of them, of one ``shape``. Boots ``concurrency`` at a time."""

    def __init__(self, machines: Machines, shape: Shape, size: int, concurrency: int) -> None:
        self.shape = shape
        self.size = size
        self._machines = machines
        self._concurrency = concurrency
        self._booting: set[Machine] = set()
        self._dormant: list[Machine] = []
        self._handed_out: set[Machine] = set()  # and not started yet
        self._waiting: deque[tuple[Shape, asyncio.Future[Machine]]] = deque()
        self._filling = True  # not after a boot for the pool has failed, until somebody asks for a machine
        self._asked = 0
        self._ready_made = 0

    def ask(self, shape: Shape) -> "asyncio.Future[Machine]":
        """A dormant machine, the caller's from now on; to be cancelled by who wants it no more.

        Fails with MachineError when none could be booted.
        """
        future: asyncio.Future[Machine] = asyncio.get_running_loop().create_future()
        self._asked += 1
        self._filling = True
        self._waiting.append((shape, future))
        self.turn()
        if future.done():
            self._ready_made += 1
        return future

    def turn(self) -> None:
        """Do what can be done now: hand out what is dormant, boot what is missing, let go what nobody wants."""
        self._hand_out()
        for shape in self._missing():
            if len(self._booting) >= self._concurrency:
                break
            self._launch(shape)
        for machine in [machine for machine in self._dormant if machine.shape != self.shape]:
            self._machines.free(machine)
        for machine in self._dormant[self.size :]:
            self._machines.free(machine)
        busy = self._waiting or self._booting or self._handed_out or self._machines.starting()
        if not busy and self._filling and len(self._dormant) < self.size:
            self._launch(self.shape)

    def statistics(self) -> dict[str, Any]:
        """Dormant machines, boots under way, who waits; machines asked for, and given at once."""
        return {
            "size": self.size,
            "dormant": len(self._dormant),
            "booting": len(self._booting),
            "waiting": len(self._waiting),
            "asked": self._asked,
            "given_at_once": self._ready_made,
        }

    def _hand_out(self) -> None:
        waiting = self._waiting
        self._waiting = deque()
        for shape, future in waiting:
            if future.done():  # nobody waits any longer
                continue
            found = next((machine for machine in self._dormant if machine.shape == shape), None)
            if found is None:
                self._waiting.append((shape, future))
            else:
                self._dormant.remove(found)
                self._handed_out.add(found)
                future.set_result(found)

    def _missing(self) -> list[Shape]:
        """The shapes that are waited for and not being booted, in the order they were asked for."""
        under_way = Counter(machine.shape for machine in self._booting)
        missing = []
        for shape, _ in self._waiting:
            if under_way[shape]:
                under_way[shape] -= 1
            else:
                missing.append(shape)
        return missing

    def _launch(self, shape: Shape) -> None:
        try:
            machine = self._machines.launch(shape)
        except MachineError as error:
            self._not_booted(shape, error)
            return
        self._booting.add(machine)
        machine.watchers.append(self._changed)

    def _changed(self, machine: Machine) -> None:
        self._handed_out.discard(machine)
        if machine in self._booting:
            self._booting.remove(machine)
            if machine.state is State.FAILED:
                self._not_booted(machine.shape, MachineError(machine.reason))
        if machine.state is State.DORMANT:
            self._dormant.append(machine)
        elif machine in self._dormant:
            self._dormant.remove(machine)
        self.turn()

    def _not_booted(self, shape: Shape, error: MachineError) -> None:
        """Tell the first who waits for such a machine; when nobody does, try no more for now."""
        for index, (wanted, future) in enumerate(self._waiting):
            if wanted == shape and not future.done():
                del self._waiting[index]
                future.set_exception(error)
                return
        self._filling = False
