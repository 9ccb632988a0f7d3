"""The kinds of Ebb over the real links between cores and the real Global Id Map, in one process."""

from collections.abc import Iterator

import pytest

from ebbrt import ebb
from ebbrt.ebb import Core, ebb_id_of
from ebbrt.ebb_ids import EbbError
from ebbrt.ebb_kinds import ReplicatedRoot, Root, create_multicore, create_replicated, create_shared, destroy
from tests.ebb_cores import EbbCores

closed: list[int] = []


class Counter:
    def __init__(self, start: int, core: int) -> None:
        self.count = start
        self.core = core

    def increment(self, by: int = 1) -> int:
        self.count += by
        return self.count

    def close(self) -> None:
        closed.append(self.core)


class CounterRoot(Root):
    def __init__(self, start: int) -> None:
        self.start = start

    def representative(self, core: Core, ebb_id: int) -> Counter:
        return Counter(self.start, core.number)


class ReplicatedCounter(ReplicatedRoot):
    def representative(self, core: Core, ebb_id: int) -> Counter:
        return Counter(int(self.data), core.number)


@pytest.fixture
def cores() -> Iterator[EbbCores]:
    closed.clear()
    before = ebb.current_core()
    cores = EbbCores(3)
    yield cores
    cores.id_map.close()
    cores.close()
    before.enter()


@pytest.mark.parametrize("home", [0, 2])
def test_a_shared_ebb_over_real_links(cores: EbbCores, home: int) -> None:
    counter = cores.on(home, create_shared, Counter, 10, home)
    assert [cores.on(core, lambda: counter.increment(by=2)) for core in (0, 1, 2)] == [12, 14, 16]
    cores.on(1, destroy, counter)
    assert closed == [home]


def test_a_multicore_ebb_over_real_links(cores: EbbCores) -> None:
    counter = cores.on(1, create_multicore, CounterRoot(5))
    assert [cores.on(core, lambda: counter.increment()) for core in (0, 1, 2, 2)] == [6, 6, 6, 7]
    cores.on(2, destroy, counter)
    assert sorted(closed) == [0, 1, 2]
    with pytest.raises(EbbError, match="was torn down"):
        cores.on(0, lambda: counter.increment())


def test_a_replicated_ebb_is_torn_down_when_its_entry_is_deleted(cores: EbbCores) -> None:
    counter = cores.on(1, create_replicated, ReplicatedCounter, b"7")
    assert [cores.on(core, lambda: counter.increment()) for core in (0, 2)] == [8, 8]
    assert cores.on(0, lambda: cores.id_map.delete(ebb_id_of(counter)).result())  # as another node does
    assert sorted(closed) == [0, 2]
    for core in (0, 1, 2):
        with pytest.raises(EbbError, match="was torn down"):
            cores.on(core, lambda: counter.increment())
    assert cores.id_map.statistics()["watches"] == 0
