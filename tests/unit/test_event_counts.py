"""Counts of events: the paper's Figure 2, over fake links and a fake Messenger."""

from collections.abc import Iterator
from typing import Any

import pytest

from ebbrt import ebb
from ebbrt.clock import ManualClock
from ebbrt.ebb import Core, event_manager
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future, Promise, failed, ready
from ebbrt.iobuf import IOBuf
from ebbrt.messages import NodeId, NodeLostError, pack, unpack
from tests.fakes import make_allocator

HOME = NodeId(0, "198.18.0.1", 1)
BACK_END = NodeId(7, "198.18.0.7", 1)


class FakeMessenger:
    def __init__(self, answers: dict[int, Any]) -> None:
        self.answers = answers
        self.asked: list[tuple[int, str]] = []

    def call(self, node: NodeId, ebb_id: int, data: IOBuf, timeout: int) -> Future[IOBuf]:
        assert (ebb_id, timeout > 0) == (ebb.EVENT_MANAGER, True)
        self.asked.append((node.number, unpack(data)))
        future: Future[IOBuf] = self.answers[node.number]
        return future


class FakeLinks:
    number, count = 0, 2

    def call(self, core: int, function: Any) -> Future[int]:
        assert core == 1
        return ready(100)


@pytest.fixture
def core() -> Iterator[Core]:
    before = ebb.current_core()
    core = Core()
    core.enter()
    manager = EventManager(ManualClock())
    core.install(ebb.EVENT_MANAGER, manager)
    core.install(ebb.MEMORY_ALLOCATOR, make_allocator())
    yield core
    manager.close()
    before.enter()


def counts() -> list[int]:
    seen: list[int] = []

    def event() -> None:
        seen.extend((event_manager.get_num(), event_manager.get_num_node(), event_manager.get_num_core()))

    event_manager.spawn(event)
    return seen


def test_a_node_that_knows_no_other_is_the_whole_application(core: Core, capsys: pytest.CaptureFixture[str]) -> None:
    event_manager.spawn(
        lambda: print(event_manager.get_num(), event_manager.get_num_node(), event_manager.get_num_core())
    )
    assert capsys.readouterr().out == "1 1 1\n"
    core.install(ebb.CORE_LINKS, FakeLinks())
    assert counts() == [102, 102, 2]


def test_the_home_asks_every_back_end_and_leaves_out_the_dead(core: Core) -> None:
    allocator = make_allocator()
    late: Promise[IOBuf] = Promise()
    fake = FakeMessenger({7: ready(pack(allocator, 1000)), 8: late.future})
    core.install(ebb.MESSENGER, fake)
    event_manager.joined(BACK_END)
    event_manager.joined(NodeId(8, "198.18.0.8", 1))
    seen = counts()
    assert (seen, fake.asked) == ([], [(7, "node"), (8, "node")]), "blocks"
    event_manager.left(8)
    late.set_error(NodeLostError("died"))
    event_manager.spawn(event_manager.stop, force_async=True)
    event_manager.run()
    assert seen == [1001, 1, 1]


def test_a_back_end_asks_the_home_and_hears_of_failures(core: Core) -> None:
    allocator = make_allocator()
    fake = FakeMessenger({0: ready(pack(allocator, 5000))})
    core.install(ebb.MESSENGER, fake)
    event_manager.joined(HOME)
    assert counts() == [5000, 1, 1]
    assert fake.asked == [(0, "application")]
    for answer in (ready(pack(allocator, "many")), failed(NodeLostError("gone"))):
        fake.answers[0] = answer
        before = event_manager.statistics()["failures"]
        assert counts() == []
        assert event_manager.statistics()["failures"] == before + 1


def test_questions_of_other_nodes_are_answered_or_refused(core: Core) -> None:
    allocator = make_allocator()
    for question in ("node", "application"):
        assert unpack(event_manager.receive_call(BACK_END, pack(allocator, question)).result()) == 0
    assert isinstance(event_manager.receive_call(BACK_END, pack(allocator, "weather")).error(), ValueError)
