"""The Global Id Map over the table in the front-end: the shared suite, and what hostile nodes may do."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from ebbrt.ebb import GLOBAL_ID_MAP
from ebbrt.id_map.global_id_map import (
    LARGEST_VALUE,
    IdMapError,
    IdMapTooLargeError,
    IdMapUnavailableError,
    IdMapUnknownOutcomeError,
)
from ebbrt.id_map.remote import FAILED, GET, MOST_PENDING, NEXT_CHANGE, OK, SET, UNAVAILABLE
from ebbrt.id_map.table import ENTRY_OVERHEAD, TableStore
from ebbrt.messages import MessageHandler, RemoteCallError, pack, to_message, unpack
from tests.fake_messenger import FakeNetwork
from tests.id_map_suite import BACK, FRONT, OTHER, SECOND, IdMapSuite, World


@pytest.fixture
def world() -> Iterator[World]:
    world = World(FakeNetwork(), lambda node: TableStore(node.events, 4 << 20))
    yield world
    world.close()


class TestTable(IdMapSuite):
    @pytest.fixture(params=[FRONT, BACK], ids=["front-end", "back-end"])
    def side(self, request: pytest.FixtureRequest) -> int:
        return int(request.param)

    @pytest.fixture
    def lossy_side(self) -> int:
        return BACK  # in the front-end the table cannot be lost


def ask(world: World, request: Any) -> Any:
    """What the front-end answers to this from a back-end."""
    allocator = world.network.allocator
    data = to_message(allocator, request) if isinstance(request, bytes) else pack(allocator, request)
    return unpack(
        world.wait(world.nodes[BACK].call(world.nodes[FRONT].local(), GLOBAL_ID_MAP, data, 120 * SECOND), 200)
    )


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        b"\xc1",
        b"\x93\x01",
        None,
        7,
        {},
        [],
        [GET],
        [GET, SECOND],
        [GET, 0, 1],
        [GET, True, 1],
        [GET, "soon", 1],
        [GET, SECOND, -1],
        [GET, SECOND, 1 << 63],
        [GET, SECOND, "1"],
        [GET, SECOND, True],
        [GET, SECOND, 1, 2],
        [0, SECOND, 1],
        [99, SECOND, 1],
        [[], SECOND, 1],
        ["get", SECOND, 1],
        [SET, SECOND, 1, "text"],
        [SET, SECOND, 1, None],
        [SET, SECOND, 1, bytes(LARGEST_VALUE + 1)],
        [3, SECOND, 1, 5, b""],
        [NEXT_CHANGE, SECOND, 1, None],
    ],
)
def test_a_malformed_request_is_answered_with_an_error_and_counted(world: World, request_: Any) -> None:
    code, text = ask(world, request_)
    assert code == FAILED
    assert "makes no sense" in text
    assert world.maps[FRONT].statistics()["service"]["malformed"] == 1
    world.wait(world.maps[BACK].set(1, b"still works"))


def test_a_node_that_asks_too_much_at_once_is_refused_and_others_are_not(world: World) -> None:
    store = world.maps[BACK].store
    waiting = [store.next_change(1, 0, SECOND) for _ in range(MOST_PENDING)]
    assert ask(world, [GET, SECOND, 1])[0] == UNAVAILABLE
    assert world.maps[FRONT].statistics()["service"]["too_many"] == 1
    assert world.wait(world.maps[OTHER].get(1)) is None
    for future in waiting:
        world.wait(future)
    assert world.maps[FRONT].statistics()["service"]["pending"] == 0
    assert ask(world, [GET, SECOND, 1]) == [OK, [0, None]]


def test_a_node_cannot_make_the_front_end_wait_for_longer_than_a_minute(world: World) -> None:
    before = world.network.clock.now()
    assert ask(world, [NEXT_CHANGE, 1 << 60, 1, 0]) == [OK, [0, None]]
    assert world.network.clock.now() - before <= 61 * SECOND


def test_a_back_end_answers_nobody(world: World) -> None:
    data = pack(world.network.allocator, [GET, SECOND, 1])
    with pytest.raises(RemoteCallError, match="not the front-end"):
        world.wait(world.nodes[OTHER].call(world.nodes[BACK].local(), GLOBAL_ID_MAP, data, SECOND))
    world.nodes[OTHER].send(world.nodes[BACK].local(), GLOBAL_ID_MAP, pack(world.network.allocator, 1))
    world.network.pass_time(0.01)
    assert world.maps[BACK].statistics()["refused"] == 2


@pytest.mark.parametrize("answer", [b"", b"\xc1", b"\x91\x00", b"\x92\x63\x00", b"\x92\x00\x07", b"\x92\x90\x07"])
def test_an_answer_that_makes_no_sense_fails_the_operation(world: World, answer: bytes) -> None:
    class Nonsense(MessageHandler):
        def receive_call(self, sender: Any, data: Any) -> Any:
            return to_message(world.network.allocator, answer)

    world.nodes[FRONT].handlers[GLOBAL_ID_MAP] = Nonsense()
    with pytest.raises(IdMapUnavailableError, match="makes no sense"):
        world.wait(world.maps[BACK].get(1))
    with pytest.raises(IdMapUnknownOutcomeError, match="makes no sense"):
        world.wait(world.maps[BACK].set(1, b""))


def test_a_full_table_refuses_more_and_room_made_is_room_again(world: World) -> None:
    value = bytes((1 << 18) - ENTRY_OVERHEAD)
    for ebb_id in range(16):
        world.wait(world.maps[BACK].set(ebb_id, value))
    with pytest.raises(IdMapTooLargeError, match="over 4194304"):
        world.wait(world.maps[BACK].set(16, b""))
    world.wait(world.maps[BACK].set(15, value[::-1]))
    world.wait(world.maps[BACK].delete(3))
    world.wait(world.maps[BACK].set(16, value))
    assert world.store.statistics()["bytes"] == 4 << 20


def test_deletions_are_not_remembered_without_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ebbrt.id_map.table.MOST_DELETED", 5)
    for ebb_id in range(20):
        world.wait(world.maps[FRONT].set(ebb_id, b"x"))
        world.wait(world.maps[FRONT].delete(ebb_id))
    assert len(world.store._deleted) == 5
    # Whoever watched one that is forgotten is told, rather than left with what it saw.
    assert world.wait(world.store.next_change(3, 0, SECOND)).data is None
    assert world.network.clock.now() == 0


def test_what_was_never_sent_changed_nothing(world: World) -> None:
    world.nodes[BACK].full = True
    with pytest.raises(IdMapUnavailableError, match="too much is queued"):
        world.wait(world.maps[BACK].set(1, b"x"))
    world.nodes[BACK].full = False
    assert world.wait(world.maps[BACK].get(1)) is None


def test_a_set_whose_answer_is_lost_has_an_unknown_outcome_and_is_made_once(world: World) -> None:
    store = world.store
    lost = world.maps[BACK].set(1, b"x", SECOND)
    world.until(lambda: store.statistics()["changes"])
    world.network.cut(BACK)
    with pytest.raises(IdMapUnknownOutcomeError, match="whether the change was made"):
        world.wait(lost)
    world.network.mend(BACK)
    assert world.wait(world.maps[BACK].get(1)) == b"x"
    assert store.statistics()["changes"] == 1


def test_a_lost_front_end_fails_everything_now_and_later(world: World) -> None:
    seen: list[bytes | None] = []
    watch = world.maps[BACK].watch(1, seen.append)
    world.wait(world.maps[BACK].get(1))
    pending = world.maps[BACK].set(1, b"x", 60 * SECOND)
    world.nodes[BACK].node_lost(FRONT, "it died")
    with pytest.raises(IdMapUnknownOutcomeError, match="it died"):
        world.wait(pending, 0.1)
    with pytest.raises(IdMapError, match="was lost"):
        world.wait(world.maps[BACK].get(1), 0.1)
    world.network.pass_time(10)
    figures = world.maps[BACK].statistics()
    assert 5 < figures["watch_failures"] < 30  # it asks now and then, not all the time
    watch.stop()
    world.network.pass_time(10)
    assert world.maps[BACK].statistics()["watch_failures"] == figures["watch_failures"]
    assert seen == []


def test_statistics_of_both_sides(world: World) -> None:
    world.wait(world.maps[BACK].set(1, b"x"))
    world.wait(world.maps[BACK].get(1))
    world.wait(world.maps[BACK].delete(1))
    world.wait(world.maps[BACK].compare_and_set(1, None, b"y"))
    back = world.maps[BACK].statistics()
    assert [back[name] for name in ("gets", "sets", "compare_and_sets", "deletes", "failures")] == [1, 1, 1, 1, 0]
    assert back["store"]["requests"] == 4
    front = world.maps[FRONT].statistics()
    assert front["service"]["requests"] == 4
    assert front["store"] == {"entries": 1, "bytes": 1 + ENTRY_OVERHEAD, "changes": 3, "waiting": 0}


@pytest.mark.parametrize("side", [FRONT, BACK], ids=["front-end", "back-end"])
def test_operations_leave_nothing_for_the_garbage_collector(world: World, side: int) -> None:
    """A node runs with it switched off."""
    id_map = world.maps[side]

    def work() -> None:
        seen: list[bytes | None] = []
        watch = id_map.watch(1, seen.append)
        for future in (id_map.get(1), id_map.set(1, b"x"), id_map.compare_and_set(1, b"x", b"y"), id_map.delete(1)):
            world.wait(future)
        world.until(lambda: seen[-1:] == [None])
        watch.stop()
        refused = id_map.set(1, bytes(LARGEST_VALUE + 1))
        assert refused.error() is not None

    work()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            work()
        assert gc.collect() < 20
    finally:
        gc.enable()
