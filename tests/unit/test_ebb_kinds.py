"""Shared, multi-core and replicated Ebbs, over the cores of nodes in one process; their teardown."""

from collections.abc import Iterator
from typing import Any

import msgpack
import pytest

from ebbrt.cores import CoreError
from ebbrt.ebb import EVENT_MANAGER, GLOBAL_ID_MAP, LOCAL_ID_MAP, NODE_EBBS, Core, EbbRef, ebb_id_of
from ebbrt.ebb_ids import EbbError, named_id
from ebbrt.ebb_kinds import ReplicatedRoot, Root, create_multicore, create_replicated, create_shared, destroy
from ebbrt.future import Future, Promise
from tests.fake_cores import FakeGlobalIdMap, FakeNode, Scheduler, simulation

closed: list[int] = []  # the core of each representative that was torn down
made: list[int] = []  # the core of each that was made


class Counter:
    def __init__(self, start: int, core: int = 0) -> None:
        self.count = start
        self.core = core
        self.gate: Promise[int] = Promise()
        made.append(core)

    def increment(self, by: int = 1) -> int:
        self.count += by
        return self.count

    def where(self) -> int:
        return self.core

    def later(self) -> Future[int]:
        return self.gate.future

    def open_gate(self) -> None:
        self.gate.set_value(self.count)

    def fail(self) -> None:
        raise ValueError("no more counting")

    def close(self) -> str:
        return f"not the hook, since there is teardown, on core {self.core}"

    def teardown(self) -> None:
        closed.append(self.core)


class CounterRoot(Root):
    def __init__(self, start: int) -> None:
        self.start = start

    def representative(self, core: Core, ebb_id: int) -> Counter:
        return Counter(self.start, core.number)


class ReplicatedCounter(ReplicatedRoot):
    made = 0

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        type(self).made += 1

    def representative(self, core: Core, ebb_id: int) -> Counter:
        return Counter(int(self.data), core.number)


@pytest.fixture(params=range(4))
def scheduler(request: pytest.FixtureRequest) -> Iterator[Scheduler]:
    closed.clear()
    made.clear()
    ReplicatedCounter.made = 0
    with simulation(request.param) as scheduler:
        yield scheduler


@pytest.fixture
def id_map(scheduler: Scheduler) -> FakeGlobalIdMap:
    return FakeGlobalIdMap(scheduler)


@pytest.fixture
def node(scheduler: Scheduler, id_map: FakeGlobalIdMap) -> FakeNode:
    return FakeNode(scheduler, 1, 3, id_map)


@pytest.fixture
def other(scheduler: Scheduler, id_map: FakeGlobalIdMap) -> FakeNode:
    return FakeNode(scheduler, 2, 2, id_map)


def watched(node: FakeNode) -> int:
    """Replicated Ebbs whose entries the node watches."""
    count: int = node.cores[0].representative(NODE_EBBS).statistics()["watched"]
    return count


def assert_nothing_left(node: FakeNode, counter: EbbRef) -> None:
    for core in node.cores:
        assert core.representative(ebb_id_of(counter)) is None
        assert core.representative(LOCAL_ID_MAP).find(ebb_id_of(counter)) is None
    assert watched(node) == 0


# Shared


@pytest.mark.parametrize("home", [0, 1])
def test_a_shared_ebb_is_one_representative_that_all_cores_call(node: FakeNode, home: int) -> None:
    counter = node.run(home, create_shared, Counter, 10, home)
    assert [node.run(core, lambda: counter.increment()) for core in (0, 1, 2, 0)] == [11, 12, 13, 14]
    assert node.run(2, lambda: counter.increment(by=6)) == 20
    assert node.run(2, lambda: counter.where()) == home
    assert node.run(2, lambda: counter.close()).endswith(f"core {home}")
    assert made == [home]


def test_a_call_to_a_shared_ebb_blocks_its_event_only_and_waits_for_futures(node: FakeNode) -> None:
    counter = node.run(0, create_shared, Counter, 10)
    waiting = node.spawn(2, lambda: counter.later())
    node.scheduler.run()
    assert not waiting.done()
    assert node.run(2, lambda: counter.increment()) == 11
    node.run(1, lambda: counter.open_gate())
    assert waiting.result() == 11


def test_an_exception_in_a_shared_ebb_reaches_the_caller_with_its_text(node: FakeNode) -> None:
    counter = node.run(0, create_shared, Counter, 10)
    with pytest.raises(CoreError, match="ValueError: no more counting"):
        node.run(1, lambda: counter.fail())


def test_a_reference_can_be_handed_to_another_core(node: FakeNode) -> None:
    counter = node.run(0, create_shared, Counter, 10)
    holder = node.run(1, create_shared, dict)
    node.run(2, lambda: holder.update({"counter": counter}))
    assert node.run(1, lambda: holder.get("counter").increment()) == 11


# Multi-core


def test_a_multicore_ebb_has_a_representative_on_each_core_that_calls_it(node: FakeNode) -> None:
    counter = node.run(1, create_multicore, CounterRoot(5))
    assert [node.run(core, lambda: counter.increment()) for core in (0, 0, 2)] == [6, 7, 6]
    assert [node.run(core, lambda: counter.where()) for core in (0, 2)] == [0, 2]
    assert sorted(made) == [0, 2]


def test_events_that_call_it_first_at_the_same_time_get_one_representative(node: FakeNode) -> None:
    counter = node.run(0, create_multicore, CounterRoot(5))
    futures = [node.spawn(2, lambda: counter.increment()) for _ in range(4)]
    node.scheduler.run()
    assert sorted(future.result() for future in futures) == [6, 7, 8, 9]
    assert made == [2]


def test_an_ebb_can_have_an_id_known_beforehand_but_only_once(node: FakeNode) -> None:
    ebb_id = named_id("the counter")
    assert ebb_id_of(node.run(0, create_multicore, CounterRoot(5), ebb_id)) == ebb_id
    assert node.run(1, lambda: EbbRef(ebb_id).increment()) == 6
    with pytest.raises(EbbError, match=f"has an Ebb {ebb_id} already"):
        node.run(0, lambda: create_shared(Counter, 1, 9, ebb_id=ebb_id))
    assert closed == [9]  # what was made for nothing is freed
    assert node.run(0, lambda: EbbRef(ebb_id).where()) == 0


# Replicated


def test_a_replicated_ebb_is_made_on_each_core_of_each_node_that_calls_it(
    node: FakeNode, other: FakeNode, id_map: FakeGlobalIdMap
) -> None:
    counter = node.run(1, create_replicated, ReplicatedCounter, b"7")
    assert node.run(2, lambda: counter.increment()) == 8
    assert [other.run(core, lambda: counter.increment()) for core in (1, 0, 1)] == [8, 8, 9]
    assert id_map.gets == 1
    assert ReplicatedCounter.made == 2


def test_concurrent_first_calls_on_a_node_read_the_map_once(
    node: FakeNode, other: FakeNode, id_map: FakeGlobalIdMap
) -> None:
    counter = node.run(0, create_replicated, ReplicatedCounter, b"7")
    futures = [other.spawn(core, lambda: counter.increment()) for core in (0, 1, 1, 0)]
    other.scheduler.run()
    assert sorted(future.result() for future in futures) == [8, 8, 9, 9]
    assert id_map.gets == 1
    assert sorted(made) == [0, 1]


def test_a_map_that_cannot_be_reached_fails_the_call_and_the_next_one_works(
    node: FakeNode, other: FakeNode, id_map: FakeGlobalIdMap
) -> None:
    counter = node.run(0, create_replicated, ReplicatedCounter, b"7")
    id_map.error = OSError("the map is away")
    with pytest.raises(OSError, match="the map is away"):
        other.run(0, lambda: counter.increment())
    assert watched(other) == 0
    id_map.error = None
    assert other.run(0, lambda: counter.increment()) == 8
    assert watched(other) == 1


def test_an_ebb_that_nobody_knows_is_an_error_and_leaves_no_watch(node: FakeNode) -> None:
    for core in (0, 2):
        with pytest.raises(EbbError, match="no Ebb with id 70001 on this node, nor in the Global Id Map"):
            node.run(core, lambda: EbbRef(70001).increment())
    assert watched(node) == 0


def test_a_base_ebb_that_was_not_booted_is_named(node: FakeNode) -> None:
    with pytest.raises(EbbError, match="2 on this node: it is a base Ebb"):
        node.run(1, lambda: EbbRef(EVENT_MANAGER).spawn(print))


def test_an_entry_exists_once_in_the_application(node: FakeNode, other: FakeNode) -> None:
    ebb_id = named_id("the counter")
    node.run(0, create_replicated, ReplicatedCounter, b"7", ebb_id)
    with pytest.raises(EbbError, match="the Global Id Map has an Ebb"):
        other.run(0, create_replicated, ReplicatedCounter, b"8", ebb_id)
    assert watched(other) == 0
    assert other.run(0, lambda: EbbRef(ebb_id).increment()) == 8


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (b"\xc1", "not a replicated Ebb's"),
        (b"", "not a replicated Ebb's"),
        (msgpack.packb(7), "not a replicated Ebb's"),
        (msgpack.packb([1, 2, 3]), "not a replicated Ebb's"),
        (msgpack.packb([b"os:system", b"true"]), "not a replicated Ebb's"),
        (msgpack.packb(["os:system", b"true"]), "needs os:system, which is not a ReplicatedRoot"),
        (msgpack.packb(["antigravity:fly", b""]), "needs the module antigravity"),
        (msgpack.packb([f"{__name__}:ReplicatedCounter", 7]), "not a ReplicatedRoot"),
    ],
)
def test_what_another_node_wrote_never_chooses_the_code(
    node: FakeNode, id_map: FakeGlobalIdMap, entry: bytes, message: str
) -> None:
    id_map.data[70001] = entry
    with pytest.raises(EbbError, match=message):
        node.run(0, lambda: EbbRef(70001).increment())


def test_a_root_that_other_nodes_cannot_find_is_refused_where_it_is_made(node: FakeNode) -> None:
    class Local(ReplicatedCounter):
        pass

    with pytest.raises(EbbError, match="other nodes cannot find"):
        node.run(0, create_replicated, Local, b"7")


# Teardown


def assert_torn_down(node: FakeNode, counter: EbbRef) -> None:
    assert_nothing_left(node, counter)
    for core in range(len(node.cores)):
        with pytest.raises(EbbError, match=f"Ebb {ebb_id_of(counter)} was torn down"):
            node.run(core, lambda: counter.increment())


@pytest.mark.parametrize("destroyer", [0, 1])
def test_teardown_frees_the_representatives_of_every_core_once(node: FakeNode, destroyer: int) -> None:
    counter = node.run(1, create_multicore, CounterRoot(5))
    for core in (1, 2):
        node.run(core, lambda: counter.increment())
    node.run(destroyer, destroy, counter)
    assert sorted(closed) == [1, 2]
    assert_torn_down(node, counter)
    assert_torn_down(node, EbbRef(ebb_id_of(counter)))
    with pytest.raises(EbbError, match="was torn down"):
        node.run(destroyer, destroy, counter)


@pytest.mark.parametrize("destroyer", [0, 1, 2])
def test_a_shared_ebb_is_torn_down_on_its_own_core(node: FakeNode, destroyer: int) -> None:
    counter = node.run(1, create_shared, Counter, 10, 1)
    node.run(2, lambda: counter.increment())
    node.run(destroyer, destroy, counter)
    assert closed == [1]
    assert_torn_down(node, counter)


@pytest.mark.parametrize("knows", [True, False])
def test_any_node_tears_a_replicated_ebb_down_for_all(
    node: FakeNode, other: FakeNode, id_map: FakeGlobalIdMap, knows: bool
) -> None:
    counter = node.run(1, create_replicated, ReplicatedCounter, b"7")
    node.run(2, lambda: counter.increment())
    if knows:
        other.run(1, lambda: counter.increment())
    other.run(1, destroy, counter)
    assert sorted(closed) == ([1, 2] if knows else [2])
    for somebody in (node, other):
        assert_torn_down(somebody, counter)
    assert id_map.data == {}
    assert not any(id_map.watches.values())


def test_nothing_is_torn_down_when_the_map_cannot_be_reached(node: FakeNode, id_map: FakeGlobalIdMap) -> None:
    counter = node.run(0, create_replicated, ReplicatedCounter, b"7")
    id_map.error = OSError("the map is away")
    with pytest.raises(OSError, match="the map is away"):
        node.run(0, destroy, counter)
    assert node.run(0, lambda: counter.increment()) == 8
    id_map.error = None
    node.run(0, destroy, counter)
    assert_torn_down(node, counter)


@pytest.mark.parametrize("seed", range(100, 160))
def test_teardown_while_others_call_it_first_leaves_no_representative(seed: int) -> None:
    made.clear()
    closed.clear()
    with simulation(seed) as scheduler:
        id_map = FakeGlobalIdMap(scheduler)
        nodes = [FakeNode(scheduler, number, 2, id_map) for number in (1, 2)]
        counter = nodes[0].run(0, create_replicated, ReplicatedCounter, b"7")
        futures: list[Future[Any]] = []
        for node in nodes:
            futures += [node.spawn(core, lambda: counter.increment()) for core in (0, 1, 1)]
        ended = nodes[0].spawn(1, destroy, counter)
        scheduler.run()
        assert ended.result() is None
        for future in futures:
            error = future.error()
            assert error is None or "torn down" in str(error) or "nor in the Global Id Map" in str(error)
        for node in nodes:
            assert_nothing_left(node, counter)
        assert sorted(made) == sorted(closed)


def test_base_ebbs_are_not_torn_down(node: FakeNode) -> None:
    with pytest.raises(EbbError, match="Ebb 7 is a base Ebb"):
        node.run(0, destroy, EbbRef(GLOBAL_ID_MAP))


def test_kinds_work_on_a_node_of_one_core_without_a_global_id_map(scheduler: Scheduler) -> None:
    node = FakeNode(scheduler, 0, 1, None)
    counter = node.run(0, create_shared, Counter, 10)
    assert node.run(0, lambda: counter.increment()) == 11
    node.run(0, destroy, counter)
    assert_torn_down(node, counter)
