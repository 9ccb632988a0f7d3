"""A device on a port in memory: frames go to the cable and come from it, as over a TAP."""

import random

import pytest

from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH
from drivers.virtio.device import NetDevice
from drivers.virtio.driver import VirtioNet
from drivers.virtio.memory_port import NO_HEADER, Cable, MemoryPort
from ebbrt.clock import ManualClock
from ebbrt.events.virtual import VirtualEventManager
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.syscalls import IoVector
from tests.virtio_bench import MAC, KeepFrames

DATA = random.Random(5).randbytes(LONGEST_FRAME)


class KeepSent(Cable):
    def __init__(self) -> None:
        self.frames: list[tuple[bytes, bytes]] = []

    def carry(self, frame: bytes, header: bytes) -> None:
        self.frames.append((frame, header))


class Machine:
    """Device and driver on a port."""

    def __init__(self, whole: bool = False) -> None:
        self.allocator = MemoryAllocator(NodeMemory(8 << 20))
        self.events = VirtualEventManager(ManualClock(1))
        self.cable = KeepSent()
        self.port = MemoryPort(self.cable, whole)
        spill = self.allocator.allocate(LONGEST_FRAME + NET_HEADER_LENGTH)
        assert spill is not None
        self._spill = spill
        self.device = NetDevice(self.allocator.memory, self.port, self.events, spill.offset, MAC, 1500)
        self.driver = VirtioNet(self.device, self.allocator, self.events, 256)
        self.handler = KeepFrames()
        self.driver.start(self.handler)

    def chain(self, *pieces: bytes) -> IOBuf:
        head: IOBuf | None = None
        for data in pieces:
            piece = allocate(self.allocator, len(data), self.driver.headroom)
            assert piece is not None
            piece.write(0, data)
            if head is None:
                head = piece
            else:
                head.append(piece)
        assert head is not None
        return head


@pytest.mark.parametrize("length", [14, 500, 501, 1514, 9000, LONGEST_FRAME])
def test_frames_of_every_size_arrive_whole(length: int) -> None:
    machine = Machine()
    for _ in range(5):
        machine.port.deliver(DATA[:length])
        machine.events.settle()
    assert machine.handler.frames == [DATA[:length]] * 5
    assert machine.handler.valid == [False] * 5  # off a wire: the stack verifies


def test_frames_that_come_together_arrive_in_order() -> None:
    machine = Machine()
    frames = [DATA[n : n + 100 + n] for n in range(300)]
    for frame in frames:
        machine.port.deliver(frame)
    machine.events.settle()
    assert machine.handler.frames == frames


def test_frames_that_came_before_the_driver_are_not_lost() -> None:
    port = MemoryPort(KeepSent())
    port.deliver(b"early")
    machine = Machine()
    machine.driver.stop()
    machine.port.deliver(b"while stopped")
    machine.driver.start(machine.handler)
    machine.events.settle()
    assert machine.handler.frames == [b"while stopped"]


def test_no_more_wait_than_a_tap_holds() -> None:
    machine = Machine()
    for _ in range(500 + 3):
        machine.port.deliver(b"frame")
    assert machine.port.overruns == 3


@pytest.mark.parametrize("pieces", [1, 2, 3, 40])
def test_chains_are_sent_whole(pieces: int) -> None:
    machine = Machine()
    cut = [DATA[n * 30 : (n + 1) * 30] for n in range(pieces)]
    assert machine.driver.transmit(machine.chain(*cut), 0, 0, 0)
    assert machine.cable.frames == [(b"".join(cut), NO_HEADER)]


def test_what_asks_for_the_impossible_is_counted() -> None:
    machine = Machine()
    assert machine.driver.transmit(machine.chain(DATA[:60]), 34, 16, 100)  # no Ethernet type of ours
    assert (machine.cable.frames, machine.port.bad_offloads) == ([], 1)


def test_a_link_between_machines_of_one_host_carries_frames_whole() -> None:
    a, b = Machine(whole=True), Machine(whole=True)
    frame = DATA[:40_000]
    assert a.driver.transmit(a.chain(frame), 34, 16, 1448)
    b.port.deliver(*a.cable.frames[0])
    b.events.settle()
    assert b.handler.frames == [frame]
    assert b.handler.valid == [True]  # it never was on a wire


def test_a_vector_is_filled_and_collected_as_the_kernel_does() -> None:
    memory = NodeMemory(4096)
    vector = IoVector(memory)
    for index, (offset, length) in enumerate([(100, 3), (0, 0), (8, 5), (200, 50)]):
        vector.put(index, offset, length)
    assert vector.fill(b"abcdefghij", 4) == 10
    assert bytes(memory.view(100, 3)) == b"abc"
    assert bytes(memory.view(8, 5)) == b"defgh"
    assert bytes(memory.view(200, 4)) == b"ij\0\0"
    assert vector.collect(3) == b"abcdefgh"
    assert vector.fill(b"0123456789", 3) == 8  # the rest has no room
