"""Node memory and its allocator."""

import random

import pytest

from ebbrt.memory import Buffer, MemoryAllocator, NodeMemory

MIB = 1 << 20
LARGEST_BUFFER = 64 * MIB


@pytest.mark.parametrize("size", [0, -4096, 4095, (32 << 30) + 4096])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        NodeMemory(size)


@pytest.mark.parametrize(("size", "given"), [(0, 128), (1, 128), (128, 128), (129, 256), (512, 512), (MIB, MIB)])
def test_sizes_are_rounded_up_to_a_power_of_two(size: int, given: int) -> None:
    buffer = MemoryAllocator(NodeMemory(4 * MIB)).allocate(size)
    assert buffer is not None
    assert buffer.size() == given
    assert buffer.offset % min(given, 4096) == 0


@pytest.mark.parametrize("size", [LARGEST_BUFFER + 1, 1 << 31, (1 << 32) + 1, (1 << 64) - 1])
def test_more_than_the_largest_buffer_is_refused_and_counted(size: int) -> None:
    allocator = MemoryAllocator(NodeMemory(4 * MIB))
    assert allocator.allocate(size) is None
    assert allocator.statistics()["failures"] == 1


@pytest.mark.parametrize("bounds", [(0, MIB + 1), (-4096, MIB)])
def test_an_allocator_beyond_memory_is_refused(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="not all within"):
        MemoryAllocator(NodeMemory(MIB), *bounds)


def test_the_last_freed_is_the_first_reused() -> None:
    allocator = MemoryAllocator(NodeMemory(MIB))
    first, second = allocator.allocate(512), allocator.allocate(512)
    assert first is not None
    assert second is not None
    offset = first.offset
    del first
    again = allocator.allocate(300)
    assert again is not None
    assert again.offset == offset
    assert allocator.statistics()["allocated_bytes"] == 1024


def test_exhaustion_is_counted_and_ends_when_something_is_freed() -> None:
    allocator = MemoryAllocator(NodeMemory(16 * 4096), start=4000, end=8 * 4096)
    held = []
    while (buffer := allocator.allocate(1024)) is not None:
        assert 4096 <= buffer.offset <= 8 * 4096 - 1024
        held.append(buffer)
    assert len(held) == 7 * 4
    assert allocator.statistics()["failures"] == 1
    del buffer
    held.pop()
    assert allocator.allocate(1024) is not None


def test_no_two_live_buffers_overlap() -> None:
    chance = random.Random(7)
    memory = NodeMemory(8 * MIB)
    allocator = MemoryAllocator(memory)
    live: list[tuple[Buffer, int]] = []
    for number in range(5000):
        if live and chance.random() < 0.45:
            buffer, mark = live.pop(chance.randrange(len(live)))
            view = memory.view(buffer.offset, buffer.size())
            assert view[0] == view[-1] == mark
        fresh = allocator.allocate(chance.choice([1, 128, 300, 512, 2000, 5000, 70_000]))
        if fresh is not None:
            mark = number % 251
            view = memory.view(fresh.offset, fresh.size())
            view[0] = view[-1] = mark
            live.append((fresh, mark))
    del buffer, fresh
    assert allocator.statistics()["allocated_bytes"] == sum(buffer.size() for buffer, _ in live)
    live.clear()
    assert allocator.statistics()["allocated_bytes"] == 0


def test_words_are_the_same_bytes() -> None:
    memory = NodeMemory(4096)
    memory.view(8, 4)[:] = b"\x01\x02\x03\x04"
    assert bytes(memory.view(8, 4)) == b"\x01\x02\x03\x04"
    assert bytes(memory.view(4094, 100)) == b"\0\0"


def test_buffers_beyond_four_gigabytes_lie_where_they_belong() -> None:
    border = 4 << 30  # the mapping is only reserved: pages nobody touches cost nothing
    allocator = MemoryAllocator(NodeMemory(border + MIB), start=border - 1)
    buffers = [allocator.allocate(512) for _ in range(16)]
    offsets = [buffer.offset for buffer in buffers if buffer is not None]
    assert offsets == [border + 512 * number for number in range(16)]


def test_free_memory_of_a_larger_class_serves_a_smaller_one() -> None:
    allocator = MemoryAllocator(NodeMemory(MIB))
    large = [allocator.allocate(8192) for _ in range(128)]
    assert allocator.allocate(128) is None
    large.pop()
    small: list[Buffer | None] = [allocator.allocate(128) for _ in range(64)]
    assert allocator.allocate(128) is None
    offsets = [buffer.offset for buffer in small + large if buffer is not None]
    assert len(set(offsets)) == 64 + 127
    assert allocator.statistics()["allocated_bytes"] == MIB
    small.clear()
    large.clear()
    assert allocator.statistics()["allocated_bytes"] == 0
