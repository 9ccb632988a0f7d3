"""Split virtqueues: the layout, the indices, when to notify, and a peer that does not keep the rules."""

import struct

import pytest

from drivers.virtio.constants import EMPTY, VIRTQ_DESC_F_INDIRECT, VIRTQ_DESC_F_NEXT, VIRTQ_DESC_F_WRITE
from drivers.virtio.virtqueue import DeviceQueue, DriverQueue, QueueLayout, bytes_needed, lay_out
from ebbrt.memory import MemoryAllocator, NodeMemory

SIZE = 8
MEMORY = 1 << 20


class Rings:
    """A queue with both sides, and the memory under them."""

    def __init__(self, event_index: bool = True, size: int = SIZE) -> None:
        self.memory = NodeMemory(MEMORY)
        self.allocator = MemoryAllocator(self.memory)
        self.layout, self.area = lay_out(self.allocator, size)
        self.driver = DriverQueue(self.layout, event_index)
        self.device = DeviceQueue(self.layout, event_index)

    def put16(self, offset: int, value: int) -> None:
        self.memory.view(offset, 2)[:] = struct.pack("<H", value & 0xFFFF)

    def get16(self, offset: int) -> int:
        return int(struct.unpack("<H", self.memory.view(offset, 2))[0])

    def descriptor(self, number: int, address: int, length: int, flags: int, following: int = 0) -> None:
        self.raw_descriptor(self.layout.descriptors + 16 * number, address, length, flags, following)

    def raw_descriptor(self, at: int, address: int, length: int, flags: int, following: int = 0) -> None:
        self.memory.view(at, 16)[:] = struct.pack("<QIHH", address, length, flags, following)

    def finish(self, head: int, length: int, count: int) -> None:
        """Be a device: put used entry ``count`` - 1 and move the index to ``count``."""
        at = self.layout.used + 4 + 8 * ((count - 1) & (self.layout.size - 1))
        self.memory.view(at, 8)[:] = struct.pack("<II", head, length)
        self.put16(self.layout.used + 2, count)


def need_event(event: int, new: int, old: int) -> bool:
    """vring_need_event of the specification, section 2.7.7.1's figure in 16-bit arithmetic."""
    return (new - event - 1) % 65536 < (new - old) % 65536


@pytest.mark.parametrize("size", [2, 4, 256, 1024, 32768])
def test_the_areas_have_the_sizes_of_the_specification(size: int) -> None:
    rings = Rings(size=size)
    layout = rings.layout
    assert layout.descriptors % 16 == layout.available % 2 == layout.used % 4 == 0
    assert layout.available >= layout.descriptors + 16 * size
    assert layout.used >= layout.available + 6 + 2 * size
    assert layout.used + 6 + 8 * size <= layout.descriptors + bytes_needed(size)


@pytest.mark.parametrize("size", [0, 1, 3, 100, 65536])
def test_a_size_that_is_no_power_of_two_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        QueueLayout(NodeMemory(MEMORY), size, 0, 4096, 8192)


@pytest.mark.parametrize("areas", [(8, 4096, 8192), (0, 4097, 8192), (0, 4096, 8194), (0, 4096, MEMORY - 8)])
def test_areas_out_of_place_are_refused(areas: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="cannot lie"):
        QueueLayout(NodeMemory(MEMORY), SIZE, *areas)


@pytest.mark.parametrize("event_index", [True, False])
def test_indices_wrap_at_sixteen_bits(event_index: bool) -> None:
    rings = Rings(event_index)
    for number in range(70_000):
        head = rings.driver.add(4096, number & 0xFFF, VIRTQ_DESC_F_WRITE)
        rings.driver.publish()
        assert rings.device.available() == 1
        assert rings.device.head(0) == head
        rings.device.advance(1)
        rings.device.add_used(head, number & 0xFFF)
        rings.device.publish()
        assert rings.driver.take_used() == head
        assert rings.driver.used_length == number & 0xFFF
    assert rings.driver.errors == rings.device.errors == 0
    assert rings.driver.free_count == SIZE


@pytest.mark.parametrize("start", [0, 3, 65530, 65535])
@pytest.mark.parametrize("batch", [1, 2, SIZE])
def test_both_sides_ask_for_events_as_the_specification_says(start: int, batch: int) -> None:
    for event in [*range(start - 3, start + SIZE + 3), start + 32768]:
        rings = Rings()
        for _ in range(start):
            head = rings.driver.add(4096, 1, 0)
            rings.driver.publish()
            rings.device.advance(1)
            rings.device.add_used(head, 0)
            rings.device.publish()
            rings.driver.take_used()
        heads = [rings.driver.add(4096, 1, 0) for _ in range(batch)]
        rings.put16(rings.layout.used + 4 + 8 * SIZE, event)  # avail_event, the device's
        new = (start + batch) % 65536
        assert bool(rings.driver.publish()) == need_event(event & 0xFFFF, new, start)
        rings.put16(rings.layout.available + 4 + 2 * SIZE, event)  # used_event, the driver's
        for head in heads:
            rings.device.add_used(head, 0)
        assert bool(rings.device.publish()) == need_event(event & 0xFFFF, new, start)
        if start > 3:
            break


def test_disabled_means_no_event_and_enabled_means_one() -> None:
    for event_index in (True, False):
        rings = Rings(event_index)
        rings.driver.disable_interrupts()
        rings.device.disable_notifications()
        head = rings.driver.add(4096, 64, 0)
        assert not rings.driver.publish()
        rings.device.advance(1)
        rings.device.add_used(head, 0)
        assert not rings.device.publish()
        assert rings.driver.enable_interrupts(), "one is finished already: the last look must see it"
        assert rings.driver.take_used() == head
        assert not rings.driver.enable_interrupts()
        rings.device.enable_notifications()
        head = rings.driver.add(4096, 64, 0)
        assert rings.driver.publish()
        rings.device.advance(1)
        rings.device.add_used(head, 0)
        assert rings.device.publish()


def walk(queue: DeviceQueue, head: int, writable: bool = False) -> list[tuple[int, int]]:
    pieces = []
    more = queue.first(head, writable)
    while more:
        pieces.append((queue.address, queue.length))
        assert len(pieces) < 100_000
        more = queue.following(writable)
    return pieces


def test_two_pieces_are_one_chain() -> None:
    rings = Rings()
    head = rings.driver.add_two(4096, 12, 8192, 1460)
    assert rings.driver.free_count == SIZE - 2
    assert walk(rings.device, head) == [(4096, 12), (8192, 1460)]
    rings.finish(head, 0, 1)
    assert rings.driver.take_used() == head
    assert rings.driver.free_count == SIZE


def test_an_indirect_table_may_end_a_chain() -> None:
    """2.7.5.3.2: zero or more ordinary descriptors, then one that refers to a table; its write flag is ignored."""
    rings = Rings()
    table = 65536
    rings.raw_descriptor(table, 100, 10, VIRTQ_DESC_F_NEXT, 1)
    rings.raw_descriptor(table + 16, 200, 20, 0)
    rings.descriptor(0, 50, 5, VIRTQ_DESC_F_NEXT, 3)
    rings.descriptor(3, table, 32, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE)
    assert walk(rings.device, 0) == [(50, 5), (100, 10), (200, 20)]
    assert walk(rings.device, 3) == [(100, 10), (200, 20)]
    assert rings.device.errors == 0


@pytest.mark.parametrize(
    ("address", "length", "flags", "following"),
    [
        (MEMORY, 1, 0, 0),  # behind memory
        (MEMORY - 4, 5, 0, 0),  # over its end
        (2**64 - 4, 8, 0, 0),  # address + length wraps
        (4096, 64, VIRTQ_DESC_F_WRITE, 0),  # the wrong direction
        (4096, 64, VIRTQ_DESC_F_NEXT, SIZE),  # on to a descriptor that is not there
        (4096, 64, VIRTQ_DESC_F_NEXT, 0),  # round and round
        (65536, 0, VIRTQ_DESC_F_INDIRECT, 0),  # an empty table
        (65536, 17, VIRTQ_DESC_F_INDIRECT, 0),  # a table that ends in a descriptor
        (65540, 16, VIRTQ_DESC_F_INDIRECT, 0),  # not aligned
        (65536, 16, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_NEXT, 1),  # table and chain
        (MEMORY - 16, 32, VIRTQ_DESC_F_INDIRECT, 0),  # a table over the end
        (131072, 16, VIRTQ_DESC_F_INDIRECT, 0),  # a table within a table
    ],
)
def test_a_broken_descriptor_is_counted_and_not_followed(
    address: int, length: int, flags: int, following: int
) -> None:
    rings = Rings()
    rings.raw_descriptor(131072, 65536, 16, VIRTQ_DESC_F_INDIRECT)
    rings.descriptor(0, address, length, flags, following)
    for start, size in walk(rings.device, 0):
        assert start + size <= MEMORY
    assert rings.device.errors == 1


def test_a_head_out_of_the_table_and_too_many_chains_are_counted() -> None:
    rings = Rings()
    assert not rings.device.first(SIZE, False)
    rings.put16(rings.layout.available + 2, SIZE + 1)
    assert rings.device.available() == 0
    assert rings.device.errors == 2


@pytest.mark.parametrize("head", [SIZE, 0xFFFF, 0xFFFFFFFF, 3])
def test_a_used_entry_for_what_is_not_in_flight_is_counted_and_not_obeyed(head: int) -> None:
    rings = Rings()
    rings.driver.add(4096, 64, 0)
    rings.finish(head, 5, 1)
    assert rings.driver.take_used() == EMPTY
    assert (rings.driver.errors, rings.driver.free_count) == (1, SIZE - 1)


def test_a_chain_finished_twice_is_freed_once() -> None:
    rings = Rings()
    head = rings.driver.add(4096, 64, 0)
    rings.finish(head, 5, 1)
    rings.finish(head, 5, 2)
    assert [rings.driver.take_used(), rings.driver.take_used()] == [head, EMPTY]
    assert (rings.driver.errors, rings.driver.free_count) == (1, SIZE)


def test_a_device_that_writes_the_descriptor_table_does_not_lead_the_driver_astray() -> None:
    rings = Rings()
    for number in range(SIZE):
        rings.descriptor(number, 0, 0, VIRTQ_DESC_F_NEXT, 0xFFF0)
    heads = [rings.driver.add_two(4096, 1, 8192, 2) for _ in range(SIZE // 2)]
    assert all(head < SIZE for head in heads)
    for count, head in enumerate(heads, 1):
        rings.descriptor(head, 0, 0, VIRTQ_DESC_F_NEXT, 0xFFF0)
        rings.finish(head, 0, count)
        assert rings.driver.take_used() == head
    assert sorted(rings.driver.add(4096, 1, 0) for _ in range(SIZE)) == list(range(SIZE))
