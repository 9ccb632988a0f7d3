"""Ebbs: references, per-core representatives, faults and teardown on one core."""

import logging
import pickle
import random
from collections.abc import Callable, Iterator

import pytest

from ebbrt import ebb
from ebbrt.ebb import Core, EbbRef, LocalIdMap, ebb_id_of
from ebbrt.ebb_ids import EbbError


class Counter:
    def __init__(self) -> None:
        self.count = 0
        self.callback: Callable[[], int] = self.increment

    def increment(self) -> int:
        self.count += 1
        return self.count

    @property
    def listener(self) -> Callable[[], int]:
        return self.callback

    def reset(self) -> int:
        self.count = 0
        return self.count


@pytest.fixture(autouse=True)
def core() -> Iterator[Core]:
    before = ebb.current_core()
    core = Core()
    core.enter()
    yield core
    before.enter()


def build_counter(core: Core, ebb_id: int) -> Counter:
    return Counter()


def test_a_fault_builds_one_representative_per_core(core: Core) -> None:
    second = Core(1, core.faults)
    built: list[int] = []

    def fault(core: Core, ebb_id: int) -> Counter:
        built.append(core.number)
        return Counter()

    core.register(77, fault)
    reference = EbbRef(77)
    assert [reference.increment(), reference.increment()] == [1, 2]
    second.enter()
    assert reference.increment() == 1
    assert reference.count == second.representative(77).count
    core.enter()
    assert reference.increment() == 3
    assert built == [0, 1]


def test_two_cores_with_the_same_number_are_not_taken_for_each_other(core: Core) -> None:
    reference = EbbRef(5)
    core.install(5, Counter())
    reference.increment()
    twin = Core(core.number)
    twin.install(5, Counter())
    twin.enter()
    assert reference.increment() == 1


def test_an_ebb_nobody_can_build_is_an_error_that_names_it_and_leaves_nothing(core: Core) -> None:
    with pytest.raises(EbbError, match="id 4711"):
        EbbRef(4711).anything()
    assert core.translations == {}


def test_an_installed_representative_is_used_and_an_unknown_method_is_an_attribute_error(core: Core) -> None:
    core.install(5, Counter())
    assert EbbRef(5).increment() == 1
    with pytest.raises(AttributeError):
        EbbRef(5).no_such_method()


def test_installing_another_representative_reaches_every_reference(core: Core) -> None:
    core.install(5, Counter())
    first, second = EbbRef(5), EbbRef(5)
    assert [first.increment(), second.increment()] == [1, 2]
    core.install(5, Counter())
    assert [first.increment(), second.increment()] == [1, 2]


def test_a_core_can_be_asked_for_a_representative_which_is_built_once(core: Core) -> None:
    core.register(77, build_counter)
    assert core.representative(77) is None
    assert core.resolve(77) is core.resolve(77) is core.representative(77)


class Six:
    def __init__(self, base: int) -> None:
        self.base = base

    def m0(self) -> int:
        return self.base

    def m1(self) -> int:
        return self.base + 1

    def m2(self) -> int:
        return self.base + 2

    def m3(self) -> int:
        return self.base + 3

    def m4(self) -> int:
        return self.base + 4

    def m5(self) -> int:
        return self.base + 5


def test_many_methods_called_in_any_order_are_each_their_own(core: Core) -> None:
    reference = EbbRef(5)
    draw = random.Random(1)
    for base in (0, 10):
        core.install(5, Six(base))
        for _ in range(200):
            number = draw.randrange(6)
            assert getattr(reference, f"m{number}")() == base + number
        for _ in range(3):
            called = [reference.m0(), reference.m1(), reference.m2(), reference.m3(), reference.m4(), reference.m5()]
            assert called == [base + number for number in range(6)]
            assert [reference.m5(), reference.m0(), reference.m5()] == [base + 5, base, base + 5]


def test_what_can_be_assigned_to_is_read_anew_each_time(core: Core) -> None:
    counter = Counter()
    core.install(5, counter)
    reference = EbbRef(5)
    assert [reference.callback(), reference.listener()] == [1, 2]
    counter.callback = counter.reset
    assert [reference.callback(), reference.listener(), reference.count] == [0, 0, 0]


def test_a_method_that_an_object_has_of_its_own_is_read_anew_too(core: Core) -> None:
    counter = Counter()
    vars(counter)["increment"] = counter.reset
    core.install(5, counter)
    reference = EbbRef(5)
    assert reference.increment() == 0
    del vars(counter)["increment"]
    assert reference.increment() == 1


def test_methods_of_compiled_representatives_are_called_too(core: Core) -> None:
    other = Core(3)
    core.install(5, other)
    assert EbbRef(5).representative(5) is None
    other.install(5, core)
    assert EbbRef(5).representative(5) is core


def test_a_reference_is_pickled_as_itself_not_as_its_representative(core: Core) -> None:
    core.install(5, Counter())
    EbbRef(5).increment()
    copy = pickle.loads(pickle.dumps(EbbRef(5)))
    assert ebb_id_of(copy) == 5
    assert copy.increment() == 2
    assert repr(copy) == "EbbRef(5)"


def test_ids_are_64_bits_wide(core: Core) -> None:
    largest = (1 << 64) - 1
    core.install(largest, Counter())
    assert EbbRef(largest).increment() == 1
    assert ebb_id_of(EbbRef(largest)) == largest


def test_an_exception_in_a_fault_handler_reaches_the_caller_and_installs_nothing(core: Core) -> None:
    errors: list[Exception] = [ValueError("not yet")]

    def fault(core: Core, ebb_id: int) -> Counter:
        if errors:
            raise errors.pop()
        return Counter()

    core.register(77, fault)
    with pytest.raises(ValueError, match="not yet"):
        EbbRef(77).increment()
    assert core.representative(77) is None
    assert EbbRef(77).increment() == 1


def test_a_fault_handler_that_returns_nothing_is_named(core: Core) -> None:
    core.register(77, lambda core, ebb_id: None)
    with pytest.raises(EbbError, match="Ebb 77 returned no representative"):
        EbbRef(77).increment()


def test_building_one_ebb_may_call_another(core: Core) -> None:
    def fault(core: Core, ebb_id: int) -> Counter:
        EbbRef(78).increment()
        return Counter()

    core.register(77, fault)
    core.register(78, build_counter)
    assert EbbRef(77).increment() == 1
    assert EbbRef(78).increment() == 2


def test_two_ebbs_that_need_each_other_to_be_built_are_an_error_not_a_hang(core: Core) -> None:
    core.register(77, lambda core, ebb_id: EbbRef(78).increment())
    core.register(78, lambda core, ebb_id: EbbRef(77).increment())
    with pytest.raises(EbbError, match="77 needs 77"):
        EbbRef(77).increment()


class Closing(Counter):
    closed = 0

    def close(self) -> None:
        type(self).closed += 1


class TearingDown(Closing):
    torn_down = 0

    def teardown(self) -> None:
        type(self).torn_down += 1
        raise OSError("no such thing")


def test_teardown_frees_the_representative_and_refuses_later_calls(core: Core) -> None:
    core.register(70001, lambda core, ebb_id: Closing())
    known, fresh = EbbRef(70001), EbbRef(70001)
    known.increment()
    core.tear_down(70001)
    assert Closing.closed == 1
    for reference in (known, fresh):
        with pytest.raises(EbbError, match="Ebb 70001 was torn down"):
            reference.increment()
    assert core.translations == {}
    assert core.faults == {}


def test_teardown_lets_go_of_the_representative_though_references_remain(core: Core) -> None:
    freed = []

    class Freed(Counter):
        def __init__(self) -> None:
            self.count = 0

        def __del__(self) -> None:
            freed.append(self.count)

    core.register(77, lambda core, ebb_id: Freed())
    reference = EbbRef(77)
    reference.increment()
    core.tear_down(77)
    assert freed == [1]


def test_a_teardown_hook_that_fails_is_reported_and_teardown_goes_on(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    core.install(77, TearingDown())
    with caplog.at_level(logging.ERROR):
        core.tear_down(77)
    assert TearingDown.torn_down == 1
    assert "no such thing" in caplog.text
    assert core.representative(77) is None


def test_torn_down_while_it_is_built_it_is_not_installed(core: Core) -> None:
    before = Closing.closed

    def fault(core: Core, ebb_id: int) -> Closing:
        core.tear_down(ebb_id)
        return Closing()

    core.register(77, fault)
    with pytest.raises(EbbError, match="Ebb 77 was torn down"):
        EbbRef(77).increment()
    assert core.representative(77) is None
    assert Closing.closed == before + 1


def test_what_a_core_remembers_of_torn_down_ebbs_is_bounded(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ebb, "TORN_DOWN_KEPT", 2)
    for ebb_id in (77, 78, 79):
        core.tear_down(ebb_id)
    with pytest.raises(EbbError, match="no Ebb with id 77"):
        EbbRef(77).increment()
    with pytest.raises(EbbError, match="Ebb 79 was torn down"):
        EbbRef(79).increment()


def test_the_local_id_map_says_what_it_does_not_have() -> None:
    local = LocalIdMap()
    local.set(9, "data")
    assert local.get(9) == "data"
    with pytest.raises(EbbError, match="Ebb 10"):
        local.get(10)
    local.remove(9)
    assert local.find(9) is None
