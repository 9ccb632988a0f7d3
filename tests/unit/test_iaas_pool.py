"""Machines, pool and users over a hypervisor that boots nothing: the test says what becomes of each machine."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from netlab.iaas.machines import (
    AFTER,
    Addresses,
    Hypervisor,
    Machine,
    MachineError,
    Machines,
    Shape,
    State,
    StateError,
)
from netlab.iaas.pool import Pool
from netlab.iaas.users import LimitError, Limits, Users

SMALL = Shape(1, 16 << 20)
LARGE = Shape(2, 64 << 20)


class NotedHypervisor(Hypervisor):
    def __init__(self) -> None:
        self.machines: Machines
        self.launched: list[Machine] = []
        self.started: dict[str, dict[str, Any]] = {}
        self.killed: list[str] = []
        self.fails = False
        self.taps_stay = False

    def launch(self, machine: Machine) -> None:
        if self.fails:
            raise MachineError("no machine to be had")
        self.launched.append(machine)

    def start(self, machine: Machine, boot: dict[str, Any]) -> None:
        self.started[machine.name] = boot

    def kill(self, machine: Machine) -> None:
        self.killed.append(machine.name)

    async def removed(self, machine: Machine) -> None:
        if self.taps_stay:
            raise MachineError("its TAP is still there")


class Iaas:
    """Machines and a pool of ``size`` small ones, under a clock that the test moves."""

    def __init__(self, size: int = 2, concurrency: int = 2, network: str = "198.18.0.0/24") -> None:
        self.now = 0.0
        self.hypervisor = NotedHypervisor()
        addresses = Addresses(network, ["198.18.0.1"])
        self.machines = Machines(self.hypervisor, addresses, lambda: self.now, silence=5.0)
        self.pool = Pool(self.machines, SMALL, size, concurrency)

    def boot_all(self) -> None:
        """Let every boot succeed, those too that follow from it."""
        while booting := [machine for machine in self.machines if machine.state is State.BOOTING]:
            self.machines.dormant(booting[0])

    def states(self) -> list[str]:
        return [machine.state.value for machine in self.machines]


async def turns() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that is a coroutine."""

    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    run.__module__ = test.__module__
    return run


# Machines


@pytest.mark.parametrize("before", list(State))
@pytest.mark.parametrize("after", list(State))
def test_a_machine_takes_only_the_steps_of_the_table(before: State, after: State) -> None:
    machine = Machine("iaas1", "198.18.0.2", SMALL, 0.0)
    machine.state = before
    if after in AFTER[before]:
        machine.enter(after, 3.0)
        assert (machine.state, machine.since) == (after, 3.0)
    else:
        with pytest.raises(StateError, match=f"from {before} to {after}"):
            machine.enter(after, 3.0)
        assert machine.state is before


@in_loop
async def test_ready_is_waited_for_and_so_is_the_end() -> None:
    iaas = Iaas()
    machine = iaas.machines.launch(SMALL)
    ready = asyncio.ensure_future(machine.ready())
    death = asyncio.ensure_future(machine.death())
    ended = asyncio.ensure_future(machine.ended())
    iaas.machines.dormant(machine)
    iaas.machines.start(machine, 1000, 1, {"application": "app:main"})
    assert iaas.hypervisor.started == {"iaas1": {"application": "app:main"}}
    await turns()
    assert not ready.done()
    iaas.machines.ready(machine, 9100)
    await ready
    assert not death.done()
    iaas.machines.free(machine)
    await death
    await turns()
    assert iaas.hypervisor.killed == ["iaas1"]
    assert not ended.done()
    iaas.machines.process_ended(machine, "killed")
    await ended
    assert len(iaas.machines) == 0
    assert machine.state is State.FREED


@in_loop
async def test_who_waits_for_a_machine_that_dies_is_told_why() -> None:
    iaas = Iaas()
    machine = iaas.machines.launch(SMALL)
    iaas.machines.dormant(machine)
    iaas.machines.start(machine, 1000, 1, {})
    ready = asyncio.ensure_future(machine.ready())
    await turns()
    iaas.machines.process_ended(machine, "its process was killed by SIGSEGV")
    with pytest.raises(MachineError, match="SIGSEGV"):
        await ready
    assert machine.state is State.FAILED
    assert iaas.machines.statistics()["last_failures"] == ["iaas1: its process was killed by SIGSEGV"]


@in_loop
async def test_a_silent_machine_fails_and_is_killed() -> None:
    iaas = Iaas()
    silent, lively = iaas.machines.launch(SMALL), iaas.machines.launch(SMALL)
    iaas.now = 5.0
    iaas.machines.check_silent()
    assert iaas.states() == ["booting", "booting"]
    lively.heard = 1.0
    iaas.now = 5.5
    iaas.machines.check_silent()
    assert iaas.states() == ["failed", "booting"]
    assert "silent for 5 s" in silent.reason
    assert iaas.hypervisor.killed == [silent.name]
    iaas.now = 20.0
    iaas.machines.free(lively)
    iaas.machines.check_silent()  # both are being ended already
    assert iaas.hypervisor.killed == [silent.name, lively.name]


@in_loop
async def test_an_address_rests_until_all_others_were_used() -> None:
    iaas = Iaas(network="198.18.0.0/29")  # .1 is taken: five are left
    machines = [iaas.machines.launch(SMALL) for _ in range(5)]
    assert [machine.address for machine in machines] == [f"198.18.0.{last}" for last in range(2, 7)]
    with pytest.raises(MachineError, match="addresses"):
        iaas.machines.launch(SMALL)
    for machine in (machines[3], machines[1]):
        iaas.machines.process_ended(machine, "killed")
    await turns()
    assert [iaas.machines.launch(SMALL).address for _ in range(2)] == ["198.18.0.5", "198.18.0.3"]


@in_loop
async def test_a_machine_whose_tap_stays_keeps_its_address_and_its_place() -> None:
    iaas = Iaas()
    iaas.hypervisor.taps_stay = True
    machine = iaas.machines.launch(SMALL)
    iaas.machines.process_ended(machine, "killed")
    await turns()
    assert iaas.machines.get(machine.name) is machine
    assert iaas.machines.statistics()["last_failures"][-1] == "iaas1: its TAP is still there"


# Pool


@in_loop
async def test_the_pool_fills_up_one_by_one() -> None:
    iaas = Iaas(size=3)
    iaas.pool.turn()
    for count in range(1, 4):
        assert iaas.states() == ["dormant"] * (count - 1) + ["booting"]
        iaas.machines.dormant(iaas.hypervisor.launched[-1])
    assert iaas.states() == ["dormant"] * 3


@in_loop
async def test_a_dormant_machine_is_handed_out_at_once_and_replaced_when_it_has_started() -> None:
    iaas = Iaas(size=1)
    iaas.pool.turn()
    iaas.boot_all()
    machine = await iaas.pool.ask(SMALL)
    assert machine.state is State.DORMANT
    assert iaas.pool.statistics()["given_at_once"] == 1
    assert iaas.states() == ["dormant"]
    iaas.machines.start(machine, 0, 1, {})
    assert iaas.states() == ["starting"]
    iaas.machines.ready(machine, 1)
    assert iaas.states() == ["ready", "booting"]


@in_loop
async def test_nothing_is_booted_ahead_while_a_users_machine_starts() -> None:
    iaas = Iaas(size=2)
    iaas.pool.turn()
    iaas.boot_all()
    first = await iaas.pool.ask(SMALL)
    iaas.machines.start(first, 0, 1, {})
    iaas.boot_all()
    second = await iaas.pool.ask(SMALL)
    iaas.machines.start(second, 0, 2, {})
    launched = len(iaas.hypervisor.launched)
    iaas.pool.turn()
    assert len(iaas.hypervisor.launched) == launched
    iaas.machines.ready(first, 1)
    iaas.pool.turn()
    assert len(iaas.hypervisor.launched) == launched
    iaas.machines.fail(second, "it failed")
    assert len(iaas.hypervisor.launched) == launched + 1


@in_loop
async def test_boots_at_a_time_are_bounded_and_in_order() -> None:
    iaas = Iaas(size=0, concurrency=2)
    tasks = [iaas.pool.ask(SMALL) for _ in range(5)]
    await turns()
    assert iaas.states() == ["booting"] * 2
    done: list[int] = []
    for _ in range(5):
        booting = [machine for machine in iaas.machines if machine.state is State.BOOTING]
        assert len(booting) <= 2
        iaas.machines.dormant(booting[0])
        await turns()
        done.append(sum(task.done() for task in tasks))
        assert [task.done() for task in tasks] == [True] * done[-1] + [False] * (5 - done[-1])
    assert done == [1, 2, 3, 4, 5]
    assert len({task.result().name for task in tasks}) == 5


@in_loop
async def test_another_shape_is_booted_for_whoever_asks() -> None:
    iaas = Iaas(size=1)
    iaas.pool.turn()
    iaas.boot_all()
    task = iaas.pool.ask(LARGE)
    await turns()
    assert [machine.shape for machine in iaas.machines] == [SMALL, LARGE]
    iaas.boot_all()
    assert (await task).shape == LARGE
    assert iaas.pool.statistics()["given_at_once"] == 0


@in_loop
async def test_who_gives_up_waiting_leaves_no_machine_too_many() -> None:
    iaas = Iaas(size=0)
    task = iaas.pool.ask(LARGE)
    await turns()
    task.cancel()
    await turns()
    iaas.boot_all()
    assert iaas.states() == ["freed"]


@in_loop
async def test_a_boot_that_fails_fails_the_first_who_waits() -> None:
    iaas = Iaas(size=0, concurrency=1)
    first, second = (iaas.pool.ask(SMALL) for _ in range(2))
    await turns()
    iaas.machines.fail(iaas.hypervisor.launched[0], "no memory")
    await turns()
    with pytest.raises(MachineError, match="no memory"):
        await first
    assert iaas.states() == ["failed", "booting"]
    iaas.boot_all()
    assert (await second).state is State.DORMANT


@in_loop
async def test_a_boot_for_the_pool_that_fails_is_not_tried_again_until_somebody_asks() -> None:
    iaas = Iaas(size=2)
    iaas.pool.turn()
    iaas.machines.fail(iaas.hypervisor.launched[0], "no memory")
    iaas.pool.turn()
    assert iaas.states() == ["failed"]
    task = iaas.pool.ask(SMALL)
    await turns()
    iaas.boot_all()
    machine = await task
    iaas.machines.start(machine, 0, 1, {})
    iaas.machines.ready(machine, 1)
    iaas.boot_all()
    assert iaas.states() == ["failed", "ready", "dormant", "dormant"]


@in_loop
async def test_no_machine_to_be_had_is_said() -> None:
    iaas = Iaas(size=0)
    iaas.hypervisor.fails = True
    with pytest.raises(MachineError, match="no machine to be had"):
        await iaas.pool.ask(SMALL)
    assert len(iaas.machines) == 0


@in_loop
async def test_a_dormant_machine_that_dies_is_replaced() -> None:
    iaas = Iaas(size=1)
    iaas.pool.turn()
    iaas.boot_all()
    iaas.machines.process_ended(iaas.hypervisor.launched[0], "killed")
    assert iaas.states() == ["failed", "booting"]


# Users


def test_a_user_has_limits() -> None:
    users = Users({1000: Limits(nodes=2, cores=2, memory=32 << 20), 0: Limits()})
    assert users.knows(1000)
    assert not users.knows(1001)
    for cores, memory, said in ((3, 1, "3 cores"), (1, 33 << 20, "33 MiB")):
        with pytest.raises(LimitError, match=said):
            users.take(1000, cores, memory)
    users.take(1000, 2, 32 << 20)
    users.take(1000, 1, 1)
    with pytest.raises(LimitError, match="has 2 nodes"):
        users.take(1000, 1, 1)
    users.take(0, 1, 1)  # one user's limit is not another's
    users.give_back(1000)
    users.take(1000, 1, 1)
    assert users.statistics() == {"nodes": {"1000": 2, "0": 1}, "refused": 3}
