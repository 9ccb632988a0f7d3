"""The device alone, the test its driver: posted buffers stay mapped from one read to the next, whatever it does."""

import random
from collections import deque
from errno import EAGAIN

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH, VIRTQ_DESC_F_WRITE
from drivers.virtio.device import BASE_FEATURES, NetDevice
from drivers.virtio.port import TapPort
from drivers.virtio.virtqueue import DriverQueue, lay_out
from ebbrt.clock import ManualClock
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from ebbrt.events.virtual import VirtualEventManager
from ebbrt.memory import Buffer, MemoryAllocator, NodeMemory
from ebbrt.syscalls import IoVector

RING = 16
LENGTH = 1024  # of a posted buffer
MAC = bytes.fromhex("02005e100001")


class QueuedPort(TapPort):
    """Frames that the test has put in, as they come off the TAP."""

    def __init__(self, vnet_header: bool) -> None:
        super().__init__(-1, vnet_header)
        self.frames: deque[bytes] = deque()

    def start(self, events: EventManager, handler: InterruptHandler) -> None:
        pass

    def stop(self, events: EventManager) -> None:
        pass

    def read(self, vector: IoVector, count: int) -> int:
        return vector.fill(self.frames.popleft(), count) if self.frames else -EAGAIN


class Rig:
    """A started device, with one receive queue that the test posts buffers to."""

    def __init__(self, vnet_header: bool = True) -> None:
        self.memory = NodeMemory(1 << 20)
        self.allocator = MemoryAllocator(self.memory)
        self.events = VirtualEventManager(ManualClock())
        self.port = QueuedPort(vnet_header)
        self.skip = 0 if vnet_header else NET_HEADER_LENGTH
        self.held: list[Buffer] = []
        spill = self.hold(LONGEST_FRAME + NET_HEADER_LENGTH)
        self.device = NetDevice(self.memory, self.port, self.events, spill, MAC, 1500)
        self.device.negotiate(BASE_FEATURES)
        self.start()

    def hold(self, size: int) -> int:
        buffer = self.allocator.allocate(size)
        assert buffer is not None
        self.held.append(buffer)
        return buffer.offset

    def start(self) -> None:
        self.layout, area = lay_out(self.allocator, RING)
        transmit, transmit_area = lay_out(self.allocator, RING)
        self.held += [area, transmit_area]
        self.driver = DriverQueue(self.layout, True)
        self.posted: dict[int, int] = {}
        vectors = [self.events.allocate_vector(InterruptHandler()) for _ in range(2)]
        self.device.start(self.layout, transmit, *vectors)

    def post(self, count: int, length: int = LENGTH) -> None:
        for _ in range(count):
            address = self.hold(length)
            self.posted[self.driver.add(address, length, VIRTQ_DESC_F_WRITE)] = address
        self.driver.publish()

    def spoil(self, offset: int, value: int, length: int = 2) -> None:
        """The driver writes what it must not."""
        self.memory.view(offset, length)[:] = value.to_bytes(length, "little")

    def receive(self, *lengths: int) -> list[bytes]:
        """Let frames of ``lengths`` come, and the device read them; what the driver then finds in its buffers."""
        self.port.frames.extend(bytes_of(length) for length in lengths)
        while self.device.receive(64):
            pass
        found = []
        while self.driver.has_used():
            data, address = self.take()
            for _ in range(int.from_bytes(self.memory.read(address + 10, 2), "little") - 1):
                data += self.take()[0]
            found.append(data[self.skip : 10] + data[NET_HEADER_LENGTH:])
        return found

    def take(self) -> tuple[bytes, int]:
        address = self.posted.pop(self.driver.take_used())
        return self.memory.read(address, self.driver.used_length), address


def bytes_of(length: int) -> bytes:
    return random.Random(length).randbytes(length)


def expected(rig: Rig, length: int) -> bytes:
    """What the driver sees of that frame: without the number of buffers, and without a header the device made."""
    return bytes_of(length) if rig.skip else bytes_of(length)[:10] + bytes_of(length)[NET_HEADER_LENGTH:]


@pytest.mark.parametrize("vnet_header", [True, False])
@pytest.mark.parametrize(
    "lengths", [(60, 61, 62, 63), (1000, 60, 2000, 61), (5000, 60, 61), (60, 1012, 1013, 1024, 1025, 1036)]
)
def test_what_a_read_leaves_of_the_buffers_is_the_next_ones(vnet_header: bool, lengths: tuple[int, ...]) -> None:
    rig = Rig(vnet_header)
    rig.post(RING)
    assert rig.receive(*lengths) == [expected(rig, length) for length in lengths]


def test_what_was_mapped_before_a_reset_is_not_written_to_after_it() -> None:
    rig = Rig()
    rig.post(3)
    rig.receive()
    old = {address: rig.memory.read(address, LENGTH) for address in rig.posted.values()}
    rig.device.stop()
    rig.start()
    rig.post(3)
    assert rig.receive(100) == [expected(rig, 100)]
    assert {address: rig.memory.read(address, LENGTH) for address in old} == old


def test_a_descriptor_that_changes_when_its_buffer_is_mapped_changes_nothing() -> None:
    """Nothing of it is looked at again: it may point out of node memory by then."""
    rig = Rig()
    rig.post(2)
    rig.receive()
    for descriptor in range(RING):
        rig.spoil(rig.layout.descriptors + 16 * descriptor, 1 << 40, 8)
    assert rig.receive(100) == [expected(rig, 100)]
    assert rig.device.statistics()["ring_errors"] == 0


def test_buffers_that_are_taken_back_although_they_are_posted_are_an_error() -> None:
    rig = Rig()
    rig.post(3)
    rig.receive()
    index = rig.layout.available + 2
    rig.spoil(index, 0)
    assert len(rig.receive(100, 200)) == 2  # into what was mapped
    assert rig.receive(300) == []
    statistics = rig.device.statistics()
    assert (statistics["rx_no_buffer"], statistics["ring_errors"] > 0) == (1, True)
    rig.spoil(index, 3)
    assert rig.receive(400) == [expected(rig, 400)]


WORD = st.one_of(st.integers(0, 9), st.integers(0, 0xFFFF), st.sampled_from([1024, 0xFFFF]))
STEP = st.tuples(st.integers(0, 8 * RING + 3 + RING - 1), WORD, st.sampled_from([13, 60, 1024, 3000, 70_000]))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(steps=st.lists(STEP, max_size=40), vnet_header=st.booleans())
def test_every_frame_is_received_or_counted_whatever_becomes_of_the_ring(
    steps: list[tuple[int, int, int]], vnet_header: bool
) -> None:
    rig = Rig(vnet_header)
    rig.post(RING)
    for at, word, length in steps:
        rig.spoil(rig.layout.descriptors + 2 * at, word)
        rig.port.frames.append(bytes_of(min(length, LONGEST_FRAME)))
        while rig.device.receive(64):
            pass
    assert not rig.port.frames
    statistics = rig.device.statistics()
    assert statistics["rx_frames"] + statistics["rx_no_buffer"] == len(steps)
