"""Ebb ids: ranges that do not meet."""

from itertools import pairwise

import pytest

from ebbrt import ebb_ids
from ebbrt.ebb_ids import CORES, IDS_PER_CORE, NAMED_END, NODES, WELL_KNOWN_END, EbbAllocator, EbbError, named_id


def test_a_named_id_is_the_same_everywhere_and_in_its_range() -> None:
    assert named_id("counter") == named_id("counter") == 38008
    assert WELL_KNOWN_END <= named_id("matrix") < NAMED_END


def test_two_names_with_one_id_are_refused_by_both_names() -> None:
    first, second = "counter 578087", "counter 2304429"
    named_id(first)
    with pytest.raises(EbbError, match=f"{first!r} and {second!r} give the same id"):
        named_id(second)


def test_ranges_of_nodes_and_cores_do_not_meet_and_fit_63_bits() -> None:
    first = {
        (node, core): EbbAllocator(node, core).allocate() for node in (0, 1, NODES - 1) for core in (0, 1, CORES - 1)
    }
    ordered = sorted(first.values())
    assert all(above - below >= IDS_PER_CORE - NAMED_END for below, above in pairwise(ordered))
    assert first[0, 0] == NAMED_END
    assert max(ordered) + IDS_PER_CORE == 1 << 63


def test_a_range_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ebb_ids, "IDS_PER_CORE", NAMED_END + 2)
    allocator = EbbAllocator()
    assert [allocator.allocate(), allocator.allocate()] == [NAMED_END, NAMED_END + 1]
    with pytest.raises(EbbError, match="have been used"):
        allocator.allocate()


@pytest.mark.parametrize(("node", "core"), [(-1, 0), (NODES, 0), (0, -1), (0, CORES)])
def test_a_node_or_core_without_ids_is_refused(node: int, core: int) -> None:
    with pytest.raises(EbbError, match=f"core {core} of node {node}"):
        EbbAllocator(node, core)
