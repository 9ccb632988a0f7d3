"""Random ring memory and random peers: neither side of a virtqueue leaves node memory or fails to come to an end."""

import struct
from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.virtio.constants import EMPTY, VIRTQ_DESC_F_WRITE
from drivers.virtio.virtqueue import DeviceQueue, DriverQueue, lay_out
from ebbrt.memory import MemoryAllocator, NodeMemory

SIZE = 8
MEMORY = 64 << 10

# Words that are likely to mean something: small numbers, flags, the edges of memory.
WORD = st.one_of(st.integers(0, 9), st.integers(0, 0xFFFF), st.just(0xFFFF))
AREA = st.lists(WORD, min_size=8 * SIZE + 3 + SIZE, max_size=8 * SIZE + 3 + SIZE)
# An entry of the used ring: a head that is in flight, free, just out of the table, or anything.
USED_ENTRY = st.tuples(st.one_of(st.integers(0, SIZE + 1), st.integers(0, 0xFFFFFFFF)), st.integers(0, 0xFFFFFFFF))


def spoil(memory: NodeMemory, start: int, words: list[int]) -> None:
    memory.view(start, 2 * len(words))[:] = b"".join(word.to_bytes(2, "little") for word in words)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(words=AREA, writable=st.booleans(), event_index=st.booleans())
def test_a_device_survives_any_ring(words: list[int], writable: bool, event_index: bool) -> None:
    memory = NodeMemory(MEMORY)
    layout, area = lay_out(MemoryAllocator(memory), SIZE)
    spoil(memory, layout.descriptors, words)
    device = DeviceQueue(layout, event_index)
    for _ in range(3):
        waiting = device.available()
        assert waiting <= SIZE
        for ahead in range(waiting):
            head = device.head(ahead)
            steps = 0
            more = device.first(head, writable)
            while more:
                assert device.address + device.length <= MEMORY
                steps += 1
                assert steps <= SIZE + MEMORY // 16
                more = device.following(writable)
            device.add_used(head, 0)
        device.advance(waiting)
        device.publish()
    assert area.size() >= 0


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    claimed=st.one_of(st.integers(0, 4 * SIZE), st.just(0xFFFF)),
    entries=st.lists(USED_ENTRY, min_size=SIZE, max_size=SIZE),
    table=st.lists(WORD, min_size=8 * SIZE, max_size=8 * SIZE),
    event_index=st.booleans(),
)
def test_a_driver_survives_any_used_ring(
    claimed: int, entries: list[tuple[int, int]], table: list[int], event_index: bool
) -> None:
    memory = NodeMemory(MEMORY)
    layout, area = lay_out(MemoryAllocator(memory), SIZE)
    driver = DriverQueue(layout, event_index)
    flying = {driver.add(4096, 64, 0) for _ in range(4)} | {driver.add_two(4096, 1, 4096, 2)}
    driver.publish()
    beyond = bytes(memory.view(area.offset + area.size(), 4096))
    used = struct.pack("<HH", 0, claimed) + b"".join(struct.pack("<II", *entry) for entry in entries)
    memory.view(layout.used, len(used))[:] = used
    spoil(memory, layout.descriptors, table)
    for _ in range(65536):
        if not driver.has_used():
            break
        head = driver.take_used()
        if head != EMPTY:
            flying.remove(head)
    assert not driver.has_used(), "it never came to an end"
    assert driver.free_count <= SIZE
    for _ in range(driver.free_count):
        head = driver.add(4096, 1, 0)
        assert head < SIZE
        assert head not in flying
        flying.add(head)
    assert bytes(memory.view(area.offset + area.size(), 4096)) == beyond


OPERATION = st.one_of(
    st.tuples(st.just("add"), st.integers(1, 2)),
    st.tuples(st.just("publish"), st.just(0)),
    st.tuples(st.just("take"), st.integers(1, SIZE)),
    st.tuples(st.just("give"), st.integers(0, SIZE)),
    st.tuples(st.just("finish"), st.just(0)),
    st.tuples(st.just("reap"), st.just(0)),
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(operations=st.lists(OPERATION, max_size=120), event_index=st.booleans())
def test_both_sides_agree_with_a_model(operations: list[tuple[str, int]], event_index: bool) -> None:
    """The model is four queues: added, visible to the device, held by it (finished in any order), finished."""
    memory = NodeMemory(MEMORY)
    layout, area = lay_out(MemoryAllocator(memory), SIZE)
    driver, device = DriverQueue(layout, event_index), DeviceQueue(layout, event_index)
    added: deque[int] = deque()
    visible: deque[int] = deque()
    held: list[int] = []
    given_back: deque[tuple[int, int]] = deque()
    finished: deque[tuple[int, int]] = deque()
    pieces: dict[int, int] = {}
    length = 0
    for name, count in operations:
        if name == "add" and driver.free_count >= count:
            head = driver.add(4096, 64, VIRTQ_DESC_F_WRITE) if count == 1 else driver.add_two(4096, 1, 4096, 2)
            assert head not in pieces
            pieces[head] = count
            added.append(head)
        elif name == "publish":
            driver.publish()
            visible.extend(added)
            added.clear()
        elif name == "take":
            assert device.available() == len(visible)
            for _ in range(min(count, len(visible))):
                assert device.head(0) == visible[0]
                device.advance(1)
                held.append(visible.popleft())
        elif name == "give" and held:
            head = held.pop(count % len(held))
            length += 1
            device.add_used(head, length)
            given_back.append((head, length))
        elif name == "finish":
            device.publish()
            finished.extend(given_back)
            given_back.clear()
        elif name == "reap":
            assert driver.has_used() == bool(finished)
            head = driver.take_used()
            if finished:
                assert (head, driver.used_length) == finished.popleft()
                del pieces[head]
            else:
                assert head == EMPTY
        assert driver.free_count == SIZE - sum(pieces.values())
    assert driver.errors == device.errors == 0
    assert area.size() > 0
