"""What every Global Id Map must do, whatever its store and from whichever node. Two files run it: unit and live."""

from collections.abc import Callable
from typing import Any

import pytest

from ebbrt.ebb import GLOBAL_ID_MAP
from ebbrt.future import Future
from ebbrt.id_map.global_id_map import (
    LARGEST_ID,
    LARGEST_VALUE,
    GlobalIdMap,
    IdMapError,
    IdMapStore,
    IdMapTooLargeError,
    IdMapUnavailableError,
    IdMapUnknownOutcomeError,
)
from ebbrt.id_map.remote import IdMapServer, RemoteStore

FRONT, BACK, OTHER = 0, 1, 2
SECOND = 1_000_000_000


class World:
    """A front-end (node 0) with a store, and two back-ends, of a FakeNetwork or one that is used like it."""

    def __init__(self, network: Any, make_store: Callable[[Any], IdMapStore]) -> None:
        self.network = network
        self.nodes = [network.add(number) for number in range(3)]
        front = self.nodes[FRONT]
        self.store = make_store(front)
        self.maps = [GlobalIdMap(front.events, self.store, IdMapServer(self.store, front.allocator))]
        for node in self.nodes[1:]:
            self.maps.append(GlobalIdMap(node.events, RemoteStore(node.messenger, front.local(), node.allocator)))
        for node, id_map in zip(self.nodes, self.maps, strict=True):
            node.install(GLOBAL_ID_MAP, id_map)
        self.wait = network.wait
        self.until = network.until

    def lose(self) -> None:
        """Take away what the map under test depends on."""
        self.network.cut(BACK)

    def restore(self) -> None:
        self.network.mend(BACK)

    def close(self) -> None:
        for id_map in reversed(self.maps):
            self.wait(id_map.close())
        self.network.close()


def outcomes(world: World, futures: list[Future[Any]], seconds: float) -> list[BaseException | None]:
    """The errors of the futures, which are all done within the time; None for each that went well."""
    world.until(lambda: all(future.done() for future in futures), seconds)
    return [future.error() for future in futures]


class IdMapSuite:
    """Fixtures: ``world``, and ``side``: the number of the node under test."""

    def test_nothing_is_there_until_it_is_set_and_after_it_is_deleted(self, world: World, side: int) -> None:
        id_map = world.maps[side]
        assert world.wait(id_map.get(70_000)) is None
        world.wait(id_map.set(70_000, b"one"))
        assert world.wait(id_map.get(70_000)) == b"one"
        world.wait(id_map.set(70_000, b"two"))
        assert world.wait(id_map.get(70_000)) == b"two"
        assert world.wait(id_map.delete(70_000)) is True
        assert world.wait(id_map.get(70_000)) is None
        assert world.wait(id_map.delete(70_000)) is False

    def test_every_node_sees_the_same(self, world: World) -> None:
        for writer, id_map in enumerate(world.maps):
            world.wait(id_map.set(80_000, b"from %d" % writer))
            assert [world.wait(reader.get(80_000)) for reader in world.maps] == [b"from %d" % writer] * 3

    def test_ids_are_told_apart_up_to_the_largest(self, world: World, side: int) -> None:
        ids = [0, 1, 70_000, LARGEST_ID]
        for ebb_id in ids:
            world.wait(world.maps[side].set(ebb_id, b"%d" % ebb_id))
        assert [world.wait(world.maps[side].get(ebb_id)) for ebb_id in ids] == [b"%d" % ebb_id for ebb_id in ids]

    def test_empty_data_are_not_the_same_as_none(self, world: World, side: int) -> None:
        id_map = world.maps[side]
        world.wait(id_map.set(1, b""))
        assert world.wait(id_map.get(1)) == b""
        assert world.wait(id_map.compare_and_set(1, None, b"x")) is False
        assert world.wait(id_map.compare_and_set(1, b"", b"x")) is True
        assert world.wait(id_map.delete(1)) is True

    def test_compare_and_set_writes_only_over_what_was_expected(self, world: World, side: int) -> None:
        id_map = world.maps[side]
        assert world.wait(id_map.compare_and_set(2, b"a", b"b")) is False
        assert world.wait(id_map.compare_and_set(2, None, b"a")) is True
        assert world.wait(id_map.compare_and_set(2, None, b"b")) is False
        assert world.wait(id_map.compare_and_set(2, b"b", b"c")) is False
        assert world.wait(id_map.get(2)) == b"a"
        assert world.wait(id_map.compare_and_set(2, b"a", b"b")) is True
        world.wait(id_map.delete(2))
        assert world.wait(id_map.compare_and_set(2, b"b", b"c")) is False
        assert world.wait(id_map.compare_and_set(2, None, b"d")) is True
        assert world.wait(id_map.get(2)) == b"d"

    def test_of_those_who_compare_and_set_at_once_one_wins(self, world: World) -> None:
        futures = [id_map.compare_and_set(3, None, b"%d" % node) for node, id_map in enumerate(world.maps * 4)]
        results = [world.wait(future) for future in futures]
        assert results.count(True) == 1
        assert world.wait(world.maps[FRONT].get(3)) == b"%d" % results.index(True)

    def test_what_one_node_starts_takes_effect_in_that_order(self, world: World, side: int) -> None:
        id_map = world.maps[side]
        futures: list[Future[Any]] = [id_map.set(4, b"%d" % number) for number in range(20)]
        last = id_map.get(4)
        for future in futures:
            world.wait(future)
        assert world.wait(last) == b"19"

    def test_the_largest_value_goes_through_and_one_byte_more_is_refused(self, world: World, side: int) -> None:
        id_map = world.maps[side]
        largest = bytes(range(250)) * (LARGEST_VALUE // 250)
        world.wait(id_map.set(5, largest))
        assert world.wait(id_map.get(5)) == largest
        assert world.wait(id_map.compare_and_set(5, largest, largest[::-1])) is True
        for refused in (
            id_map.set(5, largest + b"x"),
            id_map.compare_and_set(5, largest + b"x", b""),
            id_map.compare_and_set(5, b"", largest + b"x"),
        ):
            with pytest.raises(IdMapTooLargeError, match=r"512001 bytes .* \(512000\)"):
                world.wait(refused)
        assert world.wait(id_map.get(5)) == largest[::-1]

    def test_arguments_that_make_no_sense_are_refused_at_once(self, world: World, side: int) -> None:
        id_map = world.maps[side]
        for ebb_id in (-1, LARGEST_ID + 1):
            with pytest.raises(ValueError, match="is not an Ebb id"):
                id_map.get(ebb_id)
        with pytest.raises(ValueError, match="time limit"):
            id_map.set(1, b"", 0)
        with pytest.raises(TypeError, match="bytes, not str"):
            id_map.set(1, "text")  # type: ignore[arg-type]

    def test_a_watch_is_told_of_changes_from_any_node_until_it_is_stopped(self, world: World, side: int) -> None:
        world.wait(world.maps[FRONT].set(6, b"before"))
        seen: list[bytes | None] = []
        watch = world.maps[side].watch(6, seen.append)
        assert world.wait(world.maps[side].get(6)) == b"before"
        for writer, id_map in enumerate(world.maps):
            world.wait(id_map.set(6, b"%d" % writer))
            world.until(lambda writer=writer: seen and seen[-1] == b"%d" % writer)
        world.wait(world.maps[OTHER].delete(6))
        world.until(lambda: seen[-1] is None)
        world.wait(world.maps[OTHER].set(6, b"again"))
        world.until(lambda: seen[-1] == b"again")
        assert seen == [b"0", b"1", b"2", None, b"again"]
        watch.stop()
        world.wait(world.maps[side].set(6, b"after"))
        world.wait(world.maps[side].get(6))
        world.network.pass_time(0.2)
        assert seen[-1] == b"again"
        assert world.maps[side].statistics()["watches"] == 0

    def test_a_burst_of_changes_ends_with_the_last(self, world: World, side: int) -> None:
        seen: list[bytes | None] = []
        world.maps[side].watch(7, seen.append)
        world.wait(world.maps[side].get(7))
        for number in range(50):
            world.maps[number % 3].set(8, b"%d" % number)  # another id: nobody is told
            last = world.maps[OTHER].set(7, b"%d" % number)
        world.wait(last)
        world.until(lambda: seen and seen[-1] == b"49")
        numbers = [int(data) for data in seen if data is not None]
        assert numbers == sorted(set(numbers))

    def test_the_last_change_is_told_even_when_all_is_as_it_was(self, world: World, side: int) -> None:
        seen: list[bytes | None] = []
        world.maps[side].watch(12, seen.append)
        world.wait(world.maps[side].get(12))
        world.maps[OTHER].set(12, b"x")
        world.wait(world.maps[OTHER].delete(12))
        world.until(lambda: seen[-1:] == [None])

    def test_a_watch_may_change_what_it_watches_and_stop_itself(self, world: World, side: int) -> None:
        seen: list[bytes | None] = []
        id_map = world.maps[side]

        def count(data: bytes | None) -> None:
            seen.append(data)
            assert data is not None
            if data == b"5":
                watch.stop()
            else:
                id_map.set(9, b"%d" % (int(data) + 1))

        watch = id_map.watch(9, count)
        id_map.set(9, b"0")
        world.until(lambda: world.maps[side].statistics()["watches"] == 0)
        assert seen == [b"%d" % number for number in range(6)]

    def test_what_fails_in_a_callback_is_reported_and_the_watch_goes_on(self, world: World, side: int) -> None:
        calls: list[bytes | None] = []

        def fail(data: bytes | None) -> None:
            calls.append(data)
            raise RuntimeError("in a callback")

        events = world.nodes[side].events
        failures = events.statistics()["failures"]
        world.maps[side].watch(10, fail)
        for data in (b"one", b"two"):
            world.wait(world.maps[side].set(10, data))
            world.until(lambda data=data: calls[-1:] == [data])
        assert events.statistics()["failures"] == failures + 2

    def test_an_unchanged_id_tells_nobody_and_goes_on_being_watched(self, world: World, side: int) -> None:
        store = world.maps[side].store
        version = world.wait(store.get(11, SECOND)).version
        entry = world.wait(store.next_change(11, version, SECOND // 5), 2)
        assert entry == (version, None)
        later = store.next_change(11, version, 10 * SECOND)
        world.wait(world.maps[OTHER].set(11, b"x"))
        assert world.wait(later).data == b"x"

    def test_every_operation_ends_in_time_while_the_server_is_away(self, world: World, lossy_side: int) -> None:
        id_map = world.maps[lossy_side]
        world.wait(id_map.set(20, b"before"))
        world.lose()
        world.network.pass_time(0.05)
        limit = SECOND // 2
        futures: list[Future[Any]] = [
            id_map.get(20, limit),
            id_map.set(20, b"x", limit),
            id_map.compare_and_set(20, b"before", b"y", limit),
            id_map.delete(20, limit),
        ]
        errors = outcomes(world, futures, 0.6 if world.network.virtual else 2)
        assert isinstance(errors[0], IdMapUnavailableError)
        assert all(isinstance(error, IdMapUnavailableError | IdMapUnknownOutcomeError) for error in errors)
        assert id_map.statistics()["failures"] == 4
        world.restore()
        assert world.wait(id_map.get(20, 20 * SECOND)) in (b"before", b"x", b"y", None)

    def test_a_loss_that_is_short_is_not_noticed_by_who_gives_it_time(self, world: World, lossy_side: int) -> None:
        id_map = world.maps[lossy_side]
        world.lose()
        world.network.pass_time(0.05)
        futures = [id_map.set(21, b"x", 20 * SECOND), id_map.get(21, 20 * SECOND)]
        world.restore()
        assert [world.wait(future) for future in futures] == [None, b"x"]

    def test_a_watch_outlives_a_loss_and_tells_the_last_change(self, world: World, lossy_side: int) -> None:
        seen: list[bytes | None] = []
        id_map = world.maps[lossy_side]
        id_map.watch(22, seen.append)
        world.wait(id_map.set(22, b"before"))
        world.until(lambda: seen == [b"before"])
        last = world.maps[FRONT].set(22, b"as it went", 20 * SECOND)
        world.lose()
        world.network.pass_time(0.3)
        world.restore()
        error = outcomes(world, [last], 20)[0]
        assert error is None or isinstance(error, IdMapUnknownOutcomeError)
        there = world.wait(id_map.get(22, 20 * SECOND))
        world.until(lambda: seen[-1] == there)
        world.wait(world.maps[OTHER].set(22, b"after", 20 * SECOND))
        world.until(lambda: seen[-1] == b"after")
        assert len(seen) <= 3

    def test_a_watch_begun_while_the_server_is_away_begins_with_what_is_there(
        self, world: World, lossy_side: int
    ) -> None:
        world.wait(world.maps[FRONT].set(23, b"there"))
        world.lose()
        world.network.pass_time(0.05)
        seen: list[bytes | None] = []
        world.maps[lossy_side].watch(23, seen.append)
        world.network.pass_time(5.5 if world.network.virtual else 0.2)
        world.restore()
        world.wait(world.maps[FRONT].set(23, b"last", 20 * SECOND))
        world.until(lambda: seen[-1:] == [b"last"])

    def test_a_counter_by_compare_and_set_counts_through_a_loss(self, world: World, lossy_side: int) -> None:
        """A caller who looks after an unknown outcome never counts twice: each adds marks of its own."""
        id_map = world.maps[lossy_side]
        world.wait(id_map.set(24, b""))

        def add(mark: bytes) -> None:
            while True:
                try:
                    before = world.wait(id_map.get(24, 5 * SECOND))
                    if mark in before or world.wait(id_map.compare_and_set(24, before, before + mark, 5 * SECOND)):
                        return
                except IdMapError:
                    pass

        for number in range(30):
            if number == 10:
                world.lose()
                world.nodes[FRONT].events.set_timer(SECOND // 4, world.restore)
            add(b"%02d," % number)
        assert world.wait(world.maps[FRONT].get(24)) == b"".join(b"%02d," % number for number in range(30))

    def test_nothing_works_after_close_and_what_was_pending_has_ended(self, world: World) -> None:
        pending = world.store.next_change(30, 0, 60 * SECOND)
        world.maps[FRONT].watch(30, print)
        world.wait(world.maps[FRONT].get(30))
        world.wait(world.maps[FRONT].close())
        with pytest.raises(IdMapUnavailableError, match="closed"):
            world.wait(pending, 0.1)
        with pytest.raises(IdMapUnavailableError, match="closed"):
            world.wait(world.maps[FRONT].set(30, b""))
        with pytest.raises(IdMapUnavailableError, match="closed"):
            world.wait(world.maps[BACK].get(30))
        assert world.maps[FRONT].statistics()["watches"] == 0
