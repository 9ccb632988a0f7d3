"""Doing a thing once although several events ask for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ebbrt import ebb
from ebbrt.clock import ManualClock
from ebbrt.ebb import Core
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future, Promise, ready
from ebbrt.once import Once, WaitsForItselfError
from tests.fake_cores import FakeNode, simulation
from tests.several_cores import NeverHalt


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with simulation() as scheduler:
        yield FakeNode(scheduler, 0, 1, None)


@pytest.fixture
def core() -> Iterator[Core]:
    before = ebb.current_core()
    core = Core()
    core.enter()
    manager = EventManager(ManualClock())
    core.install(ebb.EVENT_MANAGER, manager)
    manager.add_idle_handler(NeverHalt())
    yield core
    manager.close()
    before.enter()


class Slow:
    """A function that blocks until it is told what to return."""

    def __init__(self) -> None:
        self.calls = 0
        self.answer: Promise[str] = Promise()

    def __call__(self) -> str:
        self.calls += 1
        future: Any = self.answer.future
        result: str = future.block()
        return result


def test_it_is_done_once_and_everybody_gets_the_result(node: FakeNode) -> None:
    once, slow = Once(), Slow()
    futures = [node.spawn(0, once.run, 1, slow) for _ in range(3)]
    node.scheduler.run()
    assert [future.done() for future in futures] == [False] * 3
    slow.answer.set_value("made")
    node.scheduler.run()
    assert [future.result() for future in futures] == ["made"] * 3
    assert slow.calls == 1
    assert node.run(0, once.run, 1, lambda: "again") == "again"


def test_everybody_gets_the_exception_and_the_next_one_tries_again(node: FakeNode) -> None:
    once, slow = Once(), Slow()
    futures = [node.spawn(0, once.run, 1, slow) for _ in range(3)]
    node.scheduler.run()
    slow.answer.set_error(OSError("away"))
    node.scheduler.run()
    assert [str(future.error()) for future in futures] == ["away"] * 3
    assert node.run(0, once.run, 1, lambda: "again") == "again"


def test_other_keys_do_not_wait(node: FakeNode) -> None:
    once, slow = Once(), Slow()
    waiting = node.spawn(0, once.run, 1, slow)
    node.scheduler.run()
    assert node.run(0, once.run, 2, lambda: "made") == "made"
    slow.answer.set_value("")
    node.scheduler.run()
    assert waiting.done()


def test_what_needs_itself_is_an_error(node: FakeNode) -> None:
    once = Once()
    with pytest.raises(WaitsForItselfError, match="1 needs 1"):
        node.run(0, once.run, 1, lambda: once.run(2, lambda: once.run(1, str)))


def test_two_events_that_need_each_others_work_are_an_error_not_a_hang(node: FakeNode) -> None:
    once, begin = Once(), Slow()

    def needs(other: int) -> Callable[[], object]:
        def work() -> object:
            begin()
            return once.run(other, str)

        return work

    futures: list[Future[Any]] = [node.spawn(0, once.run, 1, needs(2)), node.spawn(0, once.run, 2, needs(1))]
    node.scheduler.run()
    begin.answer.set_value("both have begun")
    node.scheduler.run()
    for future in futures:
        assert str(future.error()) in ("1 needs 2 needs 1", "2 needs 1 needs 2")


def test_coroutines_that_ask_for_the_same_wait_for_each_other(core: Core) -> None:
    once, slow = Once(), Slow()
    log: list[str] = []

    async def asks() -> None:
        await ready(None)
        log.append(once.run(1, slow))
        log.append(once.run(2, lambda: "alone"))

    for later in (True, True, False):
        ebb.event_manager.spawn(asks, force_async=later)
    for _ in range(2):
        ebb.event_manager.turn()
    assert (slow.calls, log) == (1, [])
    slow.answer.set_value("made")
    for _ in range(6):
        ebb.event_manager.turn()
    assert sorted(log) == ["alone"] * 3 + ["made"] * 3
    assert ebb.event_manager.statistics()["failures"] == 0
