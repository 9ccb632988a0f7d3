"""The control virtqueue: what the device obeys, what it refuses, and what it never does."""

import struct

import pytest

from drivers.virtio.constants import (
    VIRTIO_NET_ERR,
    VIRTIO_NET_F_CTRL_VQ,
    VIRTIO_NET_F_MQ,
    VIRTIO_NET_OK,
    VIRTQ_DESC_F_INDIRECT,
    VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_WRITE,
)
from drivers.virtio.control import ControlDevice, ControlDriver, ControlError
from drivers.virtio.device import NetDevice
from drivers.virtio.port import TapPort
from drivers.virtio.virtqueue import lay_out
from ebbrt.clock import ManualClock
from ebbrt.events.event_manager import EventManager
from ebbrt.memory import MemoryAllocator, NodeMemory
from tests.virtio_bench import MAC

SET_TWO = bytes([4, 0, 2, 0])
UNTOUCHED = 0xEE
Piece = tuple[bytes, int]  # what is in it, and its flags


class Rig:
    """A control device whose ring is written by hand."""

    def __init__(self, pairs: int = 4) -> None:
        self.memory = NodeMemory(1 << 16)
        self.allocator = MemoryAllocator(self.memory)
        self.used: list[int] = []
        self.device = ControlDevice(pairs, self.used.append)
        self.layout, self.area = lay_out(self.allocator, 16)
        self.device.start(self.layout, event_index=False)
        self.scratch = self.allocator.allocate(4096)
        assert self.scratch is not None
        self.sent = 0

    def describe(self, table: int, number: int, address: int, length: int, flags: int, following: int) -> None:
        self.memory.view(table + 16 * number, 16)[:] = struct.pack("<QIHH", address, length, flags, following)

    def chain(self, pieces: list[Piece], table: int | None = None) -> int:
        """Put these pieces into a table; where the last one lies."""
        assert self.scratch is not None
        at = self.scratch.offset
        for number, (data, flags) in enumerate(pieces):
            self.memory.view(at, len(data))[:] = data
            more = VIRTQ_DESC_F_NEXT if number + 1 < len(pieces) else 0
            self.describe(table or self.layout.descriptors, number, at, len(data), flags | more, number + 1)
            last = at
            at += 256
        return last

    def notify(self) -> int:
        """Make the chain at descriptor 0 available; how many bytes the device says it wrote."""
        slot = self.sent % 16
        self.memory.view(self.layout.available + 4 + 2 * slot, 2)[:] = struct.pack("<H", 0)
        self.sent += 1
        self.memory.view(self.layout.available + 2, 2)[:] = struct.pack("<H", self.sent)
        self.device.notify()
        assert struct.unpack("<H", self.memory.view(self.layout.used + 2, 2)) == (self.sent,)
        head, written = struct.unpack("<II", self.memory.view(self.layout.used + 4 + 8 * slot, 8))
        assert head == 0
        return int(written)

    def command(self, *pieces: bytes, room: int = 1) -> int | None:
        """Send a command in these pieces with so much room for an answer; the answer."""
        answer = (bytes([UNTOUCHED]) * room, VIRTQ_DESC_F_WRITE)
        at = self.chain([*((piece, 0) for piece in pieces), answer])
        self.memory.view(at, 1)[0] = UNTOUCHED
        written = self.notify()
        result = self.memory.view(at, 1)[0]
        assert (result == UNTOUCHED) == (written == 0)
        return result if written else None


def test_driver_and_device_agree_on_pairs() -> None:
    memory = NodeMemory(1 << 16)
    used: list[int] = []
    device = ControlDevice(4, used.append)
    driver = ControlDriver(device, MemoryAllocator(memory), event_index=True)
    for pairs in (4, 1, 3):
        driver.use_pairs(pairs)
        assert device.pairs == pairs
    assert used == [4, 1, 3]
    with pytest.raises(ControlError, match="5 pairs"):
        driver.use_pairs(5)
    assert used == [4, 1, 3]
    assert device.statistics() == {"pairs": 3, "commands": 4, "refused": 1, "ring_errors": 0}


def test_a_command_may_be_cut_in_any_way() -> None:
    rig = Rig()
    assert rig.command(SET_TWO) == VIRTIO_NET_OK
    assert rig.command(b"\x04", b"", b"\x00\x03", b"\x00", room=9) == VIRTIO_NET_OK
    assert rig.used == [2, 3]


def test_a_command_may_be_in_a_table_of_its_own_and_its_answer_too() -> None:
    rig = Rig()
    table = rig.allocator.allocate(64)
    assert table is not None
    answer = rig.chain([(SET_TWO, 0), (b"\xee", VIRTQ_DESC_F_WRITE)], table.offset)
    rig.describe(rig.layout.descriptors, 0, table.offset, 32, VIRTQ_DESC_F_INDIRECT, 0)
    assert rig.notify() == 1
    assert rig.memory.view(answer, 1)[0] == VIRTIO_NET_OK


@pytest.mark.parametrize(
    "command",
    [
        b"",
        b"\x04",
        SET_TWO[:3],
        SET_TWO + b"\x00",
        bytes([4, 0, 0, 0]),  # no pair
        bytes([4, 0, 5, 0]),  # more than there are
        bytes([4, 0, 0, 0x80]),
        bytes([4, 1, 2, 0]),  # hash configuration, of which nothing is offered
        bytes([0, 0, 1]),  # promiscuous mode
        bytes([1, 0, 2, 0]),
        bytes(65),
        bytes(200),
    ],
)
def test_what_is_not_offered_or_malformed_is_refused(command: bytes) -> None:
    rig = Rig()
    assert rig.command(command) == VIRTIO_NET_ERR
    assert rig.used == []
    assert rig.device.statistics()["refused"] == 1
    assert rig.command(SET_TWO) == VIRTIO_NET_OK, "the next one must not suffer"


def test_without_room_for_an_answer_nothing_is_done() -> None:
    rig = Rig()
    assert rig.command(SET_TWO, room=0) is None
    rig.chain([(SET_TWO, 0)])
    assert rig.notify() == 0
    assert rig.used == []
    assert rig.device.statistics()["refused"] == 2


def test_a_broken_chain_is_not_written_to() -> None:
    rig = Rig()
    at = rig.chain([(SET_TWO, 0), (b"\xee", VIRTQ_DESC_F_WRITE)])
    rig.describe(rig.layout.descriptors, 1, 1 << 40, 1, VIRTQ_DESC_F_WRITE, 0)  # the answer's room: beyond memory
    assert rig.notify() == 0
    rig.describe(rig.layout.descriptors, 0, at, 0, VIRTQ_DESC_F_NEXT, 0)  # a loop of empty pieces
    assert rig.notify() == 0
    assert rig.used == []
    assert rig.device.statistics()["ring_errors"] > 0


def test_a_tap_that_refuses_is_an_error_and_the_pairs_stay() -> None:
    def refuse(pairs: int) -> None:
        raise OSError("no")

    device = ControlDevice(4, refuse)
    driver = ControlDriver(device, MemoryAllocator(NodeMemory(1 << 16)), event_index=False)
    with pytest.raises(ControlError):
        driver.use_pairs(2)
    assert device.statistics()["pairs"] == 1


def test_features_say_how_many_pairs_there_are() -> None:
    memory = NodeMemory(1 << 20)
    events = EventManager(ManualClock())
    one = NetDevice(memory, TapPort(0, True), events, 0, MAC, 1500)
    four = NetDevice(memory, TapPort(0, True), events, 0, MAC, 1500, 4)
    events.close()
    assert not one.features & (VIRTIO_NET_F_MQ | VIRTIO_NET_F_CTRL_VQ)
    assert four.features & VIRTIO_NET_F_MQ
    assert four.features & VIRTIO_NET_F_CTRL_VQ
    assert four.max_virtqueue_pairs == 4
    with pytest.raises(ValueError, match="CTRL_VQ"):
        four.negotiate(four.features & ~VIRTIO_NET_F_CTRL_VQ)
