"""The benchmark of the allocator, under a clock that counts its readings."""

import itertools

import pytest

from netlab.bench.memory_costs import allocation_costs, buffer_bytes


def test_both_sides_are_timed_for_each_size() -> None:
    ticks = itertools.count(0, 6400)
    costs = allocation_costs(rounds=3, repeats=2, sizes=(512, 1 << 20), clock=lambda: next(ticks))
    assert [cost.size for cost in costs] == [512, 1 << 20]
    assert costs[0].buffer_ns == costs[0].bytearray_ns == 6400 / (64 * 2)
    assert costs[1].buffer_ns == 6400 / 2
    assert costs[0].ratio == 1


@pytest.mark.parametrize(
    ("size", "node_memory"), [(100, 128), (512, 512), (600, 1024), (5000, 8192), (3 << 20, 3 << 20)]
)
def test_a_buffer_costs_its_rounded_size_and_its_objects(size: int, node_memory: int) -> None:
    cost = buffer_bytes(size)
    assert cost.node_memory == pytest.approx(node_memory, rel=0.01)
    assert 0 < cost.bookkeeping < node_memory / 100
    assert 100 <= cost.objects < 400
    assert cost.total() > node_memory + cost.objects


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(MemoryError, match="cannot be measured"):
        buffer_bytes(65 << 20)
