"""The Global Id Map over a real ZooKeeper server, which is killed and comes back: the shared suite and more."""

import gc
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from kazoo.client import KazooClient

from ebbrt.clock import MonotonicClock
from ebbrt.future import Future
from ebbrt.id_map.global_id_map import IdMapUnavailableError, IdMapUnknownOutcomeError
from ebbrt.id_map.zookeeper import ZooKeeperStore
from tests.fake_messenger import FakeNetwork
from tests.id_map_suite import BACK, FRONT, OTHER, SECOND, IdMapSuite, World, outcomes
from tests.live.zookeeper_server import ZooKeeperServer, why_no_zookeeper

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    reason = why_no_zookeeper()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    server = ZooKeeperServer(tmp_path_factory.mktemp("zookeeper"))
    server.start()
    yield server
    server.kill()


class ZooKeeperWorld(World):
    """Its server is real; ``lose`` kills it."""

    def __init__(self, server: ZooKeeperServer, session_timeout: int = 2 * SECOND) -> None:
        self.server = server
        self.away = False
        super().__init__(
            FakeNetwork(MonotonicClock()),
            lambda node: ZooKeeperStore(node.events, server.hosts, "test", session_timeout),
        )

    def lose(self) -> None:
        self.server.kill()
        self.away = True

    def restore(self) -> None:
        self.server.start()
        self.away = False

    def close(self) -> None:
        if self.away:
            self.restore()
        super().close()


@pytest.fixture
def world(server: ZooKeeperServer) -> Iterator[ZooKeeperWorld]:
    world = ZooKeeperWorld(server)
    yield world
    world.close()


def znodes(server: ZooKeeperServer) -> list[str]:
    """What is in the server's root, but for its own."""
    client = KazooClient(server.hosts)
    client.start()
    try:
        return sorted(set(client.get_children("/")) - {"zookeeper"})
    finally:
        client.stop()
        client.close()


class TestZooKeeper(IdMapSuite):
    @pytest.fixture(params=[FRONT, BACK], ids=["front-end", "back-end"])
    def side(self, request: pytest.FixtureRequest) -> int:
        return int(request.param)

    @pytest.fixture
    def lossy_side(self, side: int) -> int:
        return side


def test_nothing_is_left_in_the_server(server: ZooKeeperServer) -> None:
    world = ZooKeeperWorld(server)
    for future in [world.maps[BACK].set(ebb_id, b"x") for ebb_id in range(100)]:
        world.wait(future)
    world.wait(world.maps[BACK].delete(7))
    assert znodes(server) == ["ebbrt"]
    world.close()
    assert znodes(server) == []


def test_a_close_without_the_server_says_what_is_left(server: ZooKeeperServer) -> None:
    world = ZooKeeperWorld(server)
    world.wait(world.maps[FRONT].set(1, b"x"))
    world.lose()
    with pytest.raises(IdMapUnavailableError, match="/ebbrt/test is left in ZooKeeper"):
        world.wait(world.maps[FRONT].close(SECOND // 2))
    world.network.close()
    world.restore()
    again = ZooKeeperWorld(server)
    assert again.wait(again.maps[FRONT].get(1)) == b"x"
    again.close()
    assert znodes(server) == []


def test_without_a_connection_nothing_is_changed_later(world: ZooKeeperWorld) -> None:
    world.wait(world.maps[FRONT].set(1, b"before"))
    world.lose()
    world.until(lambda: world.store.statistics()["connections"] and not world.store._connected)
    late = world.maps[FRONT].set(1, b"after", SECOND // 5)
    with pytest.raises(IdMapUnavailableError, match="no connection to ZooKeeper"):
        world.wait(late)
    world.restore()
    assert world.wait(world.maps[FRONT].get(1, 20 * SECOND)) == b"before"
    world.network.pass_time(0.3)
    assert world.wait(world.maps[FRONT].get(1)) == b"before"


def test_a_server_that_hangs_is_not_waited_for(world: ZooKeeperWorld) -> None:
    world.wait(world.maps[FRONT].set(1, b"before"))
    world.server.signal(signal.SIGSTOP)
    try:
        futures: list[Future[Any]] = [
            world.maps[FRONT].set(1, b"x", SECOND // 4),
            world.maps[BACK].get(2, SECOND // 4),
        ]
        errors = outcomes(world, futures, 2)
        assert isinstance(errors[0], IdMapUnknownOutcomeError)
        assert isinstance(errors[1], IdMapUnavailableError)
    finally:
        world.server.signal(signal.SIGCONT)
    assert world.wait(world.maps[FRONT].get(1, 20 * SECOND)) in (b"before", b"x")


def test_changes_on_their_way_when_the_server_is_killed_end_and_are_made_at_most_once(world: ZooKeeperWorld) -> None:
    world.wait(world.maps[FRONT].set(1, b"0"))
    futures: list[Future[None]] = [world.maps[OTHER].set(1, b"%d" % number, SECOND) for number in range(1, 200)]
    world.until(futures[20].done)
    world.lose()
    errors = outcomes(world, futures, 8)
    made = errors.index(next(error for error in errors if error is not None))
    assert all(isinstance(error, IdMapUnavailableError | IdMapUnknownOutcomeError) for error in errors[made:])
    unknown = [number for number, error in enumerate(errors) if isinstance(error, IdMapUnknownOutcomeError)]
    world.restore()
    there = int(world.wait(world.maps[FRONT].get(1, 20 * SECOND)) or b"")
    assert there == made or there - 1 in unknown


def test_a_session_that_ended_with_the_server_is_followed_by_another(server: ZooKeeperServer) -> None:
    """The server ends the session while the client cannot be heard: data and watches are as if nothing had been."""
    world = ZooKeeperWorld(server)
    seen: list[bytes | None] = []
    world.maps[BACK].watch(1, seen.append)
    world.wait(world.maps[BACK].get(1))
    world.wait(world.maps[FRONT].set(1, b"one"))
    world.until(lambda: seen == [b"one"])
    # Another connection that takes the same session over and closes it, as ZooKeeper's own tests do.
    ours = world.store._client
    thief = KazooClient(server.hosts, client_id=ours.client_id)
    thief.start()
    thief.set("/ebbrt/test/1", b"=two")
    thief.stop()
    thief.close()
    world.until(lambda: world.store.statistics()["sessions_lost"] == 1)
    world.until(lambda: seen[-1] == b"two")
    world.wait(world.maps[OTHER].set(1, b"three", 20 * SECOND))
    world.until(lambda: seen[-1] == b"three")
    world.close()


def test_a_deleted_and_remade_id_is_not_taken_for_the_one_that_was_read(world: ZooKeeperWorld) -> None:
    """A znode made anew counts its versions from 0: deleting one must not bring that about."""
    client = world.store._client
    world.wait(world.maps[FRONT].set(1, b"same"))
    _, read = client.get("/ebbrt/test/1")
    world.wait(world.maps[FRONT].delete(1))
    world.wait(world.maps[FRONT].set(1, b"other"))
    _, now = client.get("/ebbrt/test/1")
    assert now.version > read.version


def test_a_watch_that_waits_long_sets_one_watch_on_the_server(world: ZooKeeperWorld) -> None:
    for _ in range(20):
        world.wait(world.store.next_change(1, 0, SECOND // 50))
    assert len(world.store._client._data_watchers["/ebbrt/test/1"]) == 1
    assert world.store.statistics()["waiting"] == 0


def test_operations_leave_nothing_for_the_garbage_collector(world: ZooKeeperWorld) -> None:
    """A node runs with it switched off."""
    world.wait(world.maps[BACK].set(1, b"x"))
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            world.wait(world.maps[BACK].set(1, b"y"))
            world.wait(world.maps[BACK].get(1))
            world.wait(world.maps[BACK].compare_and_set(1, b"y", b"z"))
            world.wait(world.store.next_change(1, 0, SECOND // 10))
        found = gc.collect()
    finally:
        gc.enable()
    assert found < 20, found


def test_a_name_that_is_no_name_is_refused(world: ZooKeeperWorld) -> None:
    for name in ("", "a/b", ".."):
        with pytest.raises(ValueError, match="cannot name an application"):
            ZooKeeperStore(world.network.events, world.server.hosts, name)
