"""Ebbs: per-core representatives, faults, ids."""

from collections.abc import Iterator

import pytest

from ebbrt import ebb
from ebbrt.ebb import Core, EbbAllocator, EbbError, EbbRef, LocalIdMap


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def increment(self) -> int:
        self.count += 1
        return self.count


@pytest.fixture(autouse=True)
def restore_core() -> Iterator[None]:
    before = ebb.current_core()
    yield
    before.enter()


def test_a_fault_builds_one_representative_per_core() -> None:
    first = Core(0)
    second = Core(1, first.faults)
    built: list[int] = []

    def fault(core: Core, ebb_id: int) -> Counter:
        built.append(core.number)
        return Counter()

    first.register(77, fault)
    reference = EbbRef(77)
    first.enter()
    assert [reference.increment(), reference.increment()] == [1, 2]
    second.enter()
    assert reference.increment() == 1
    assert reference.count == second.representative(77).count
    assert built == [0, 1]


def test_an_ebb_nobody_can_build_is_an_error_that_names_it() -> None:
    Core().enter()
    with pytest.raises(EbbError, match="id 4711"):
        EbbRef(4711).anything()


def test_an_installed_representative_is_used_and_an_unknown_method_is_an_attribute_error() -> None:
    core = Core()
    core.enter()
    core.install(5, Counter())
    assert EbbRef(5).increment() == 1
    with pytest.raises(AttributeError):
        EbbRef(5).no_such_method()


def test_ids_of_two_nodes_never_collide_and_end() -> None:
    first, second = EbbAllocator(0), EbbAllocator(1)
    assert first.allocate() >= ebb.FIRST_NODE_ID
    assert second.allocate() - first.allocate() == ebb.IDS_PER_NODE - 1
    first._next = first._end
    with pytest.raises(EbbError, match="in use"):
        first.allocate()


def test_the_local_id_map_says_what_it_does_not_have() -> None:
    local = LocalIdMap()
    local.set(9, "data")
    assert local.get(9) == "data"
    with pytest.raises(EbbError, match="Ebb 10"):
        local.get(10)
