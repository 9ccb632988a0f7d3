"""Node memory and its allocator."""

import random

import pytest

from ebbrt.memory import Buffer, MemoryAllocator, NodeMemory

MIB = 1 << 20
LARGEST_BUFFER = 64 * MIB
PAGE = 4096


@pytest.mark.parametrize("size", [0, -4096, 4095, (32 << 30) + 4096])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        NodeMemory(size)


@pytest.mark.parametrize("length", [0, 1, 7, 100_000, 2 * PAGE * 16])
def test_what_is_written_is_read_and_nothing_beside_it_changes(length: int) -> None:
    memory = NodeMemory(64 * PAGE)
    data = random.Random(length).randbytes(length)
    memory.write(PAGE - 3, data)
    assert memory.read(PAGE - 3, length) == data
    beside = memory.read(0, PAGE - 3) + memory.read(PAGE - 3 + length, 63 * PAGE + 3 - length)
    assert beside == bytes(64 * PAGE - length)


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


def test_buffers_beyond_sixteen_gigabytes_do_too() -> None:
    border = 16 << 30  # numbers of objects, counted in 32-bit words, have more than 32 bits here
    allocator = MemoryAllocator(NodeMemory(border + MIB), start=border)
    buffers = [allocator.allocate(512) for _ in range(1000)]
    assert {buffer.offset for buffer in buffers if buffer is not None} == set(range(border, border + 512_000, 512))
    buffers.clear()
    allocator.trim()
    assert allocator.statistics()["longest_free_run"] == MIB


def test_memory_used_in_large_pieces_serves_small_ones() -> None:
    allocator = MemoryAllocator(NodeMemory(MIB))
    large = [allocator.allocate(8192) for _ in range(128)]
    assert allocator.allocate(128) is None
    large.pop()
    small: list[Buffer | None] = [allocator.allocate(128) for _ in range(64)]
    assert allocator.allocate(128) is None
    offsets = [buffer.offset for buffer in small + large if buffer is not None]
    assert len(set(offsets)) == 64 + 127
    assert allocator.statistics()["allocated_bytes"] == MIB


def test_memory_used_in_small_pieces_serves_large_ones() -> None:
    allocator = MemoryAllocator(NodeMemory(4 * MIB))
    sizes = (128, 512, 2048, 4096, 100_000)
    held = []
    while (buffer := allocator.allocate(sizes[len(held) % 5])) is not None:
        held.append(buffer)
    assert allocator.statistics()["used_bytes"] > 3.8 * MIB
    assert allocator.allocate(3 * MIB) is None
    held.clear()
    assert allocator.statistics()["used_bytes"] < 2 * MIB, "the lists keep no more than their watermarks"
    whole = allocator.allocate(4 * MIB)
    assert whole is not None
    assert whole.size() == 4 * MIB


def test_a_large_buffer_is_a_run_of_pages() -> None:
    allocator = MemoryAllocator(NodeMemory(8 * MIB))
    buffer = allocator.allocate(3 * MIB + 1)
    assert buffer is not None
    assert buffer.size() == 3 * MIB + PAGE
    allocator.memory.view(buffer.offset + buffer.size() - 1, 1)[0] = 7
    statistics = allocator.statistics()
    assert statistics["large_bytes"] == statistics["allocated_bytes"] == statistics["used_bytes"] == 3 * MIB + PAGE
    assert allocator.allocate(5 * MIB) is None
    del buffer
    assert allocator.statistics()["allocated_bytes"] == allocator.statistics()["used_bytes"] == 0


def test_a_limit_is_kept_and_its_refusals_counted() -> None:
    allocator = MemoryAllocator(NodeMemory(4 * MIB), limit=2 * PAGE)
    held = [allocator.allocate(512) for _ in range(16)]
    assert None not in held
    assert allocator.allocate(512) is None
    assert allocator.allocate(MIB) is None
    statistics = allocator.statistics()
    assert (statistics["failures"], statistics["used_bytes"]) == (2, 2 * PAGE)
    assert statistics["refused_by_limit"] > 0
    allocator.set_limit(2 * MIB)
    assert allocator.allocate(MIB) is not None
    with pytest.raises(ValueError, match="limit"):
        allocator.set_limit(-1)


def test_the_statistics_of_a_class_add_up() -> None:
    allocator = MemoryAllocator(NodeMemory(4 * MIB))
    held = [allocator.allocate(1024) for _ in range(1000)]
    pages = allocator.allocate(10_000)
    assert allocator.class_statistics()[1024] == {"used": 1000, "listed": 0, "free": 0, "slabs": 250}
    assert allocator.class_statistics()[16384]["used"] == 1
    del held[100:], pages
    after = allocator.class_statistics()[1024]
    assert after["used"] == 100
    assert 0 < after["listed"] <= 256
    assert 4 * after["slabs"] == after["used"] + after["listed"] + after["free"]
    allocator.trim()
    after = allocator.class_statistics()[1024]
    assert (after["used"], after["listed"], after["slabs"]) == (100, 0, 25)
    held.clear()
    allocator.trim()
    assert all(not any(counts.values()) for counts in allocator.class_statistics().values())


def test_the_hot_path_does_not_go_to_the_slabs_and_back() -> None:
    allocator = MemoryAllocator(NodeMemory(4 * MIB))
    held = [allocator.allocate(512) for _ in range(2000)]
    del held[1000:]
    slabs = allocator.class_statistics()[512]["slabs"]
    for _ in range(10):  # what a driver does: a ring full back and forth
        again = [allocator.allocate(512) for _ in range(200)]
        del again
    assert allocator.class_statistics()[512]["slabs"] == slabs
