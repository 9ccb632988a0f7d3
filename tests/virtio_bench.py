"""A driver and its device joined over a socket pair that plays the TAP: nothing here needs the kernel's TAPs."""

import contextlib
import socket

from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH
from drivers.virtio.device import NetDevice
from drivers.virtio.driver import VirtioNet
from drivers.virtio.port import TapPort
from ebbrt.clock import ManualClock
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import TimerSource
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.netdevice import FrameHandler

MAC = bytes.fromhex("02005e100001")


class KeepFrames(FrameHandler):
    """Keeps the bytes of every frame, and the frames themselves when ``retain``."""

    def __init__(self, retain: bool = False) -> None:
        self.retain = retain
        self.frames: list[bytes] = []
        self.pieces: list[int] = []
        self.valid: list[bool] = []
        self.retained: list[IOBuf] = []

    def receive_frame(self, frame: IOBuf, checksum_valid: bool) -> None:
        count = 0
        piece: IOBuf | None = frame
        while piece is not None:
            count += 1
            piece = piece.next
        self.pieces.append(count)
        self.frames.append(frame.copy_out())
        self.valid.append(bool(checksum_valid))
        if self.retain:
            self.retained.append(frame)


class Forward(FrameHandler):
    """Passes frames on to a handler that may be changed."""

    def __init__(self, handler: FrameHandler) -> None:
        self.handler = handler

    def receive_frame(self, frame: IOBuf, checksum_valid: bool) -> None:
        self.handler.receive_frame(frame, checksum_valid)


class ShortHalt(TimerSource):
    """Lets no halt last longer than a millisecond."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock

    def next_deadline(self) -> int:
        return self.clock.now() + 1


class VirtioBench:
    """Device and driver over one end of a socket pair; ``wire`` is the other end."""

    def __init__(
        self, ring_size: int = 512, vnet_header: bool = True, memory: int = 4 << 20, retain: bool = False
    ) -> None:
        tap, self.wire = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tap.setblocking(False)
        self.wire.setblocking(False)
        self._tap = tap
        self.vnet_header = vnet_header
        self.memory = NodeMemory(memory)
        self.allocator = MemoryAllocator(self.memory)
        self.clock = ManualClock()
        self.events = EventManager(self.clock)
        self.events.add_timer_source(ShortHalt(self.clock))
        spill = self.allocator.allocate(LONGEST_FRAME + NET_HEADER_LENGTH)
        assert spill is not None
        self._spill = spill
        port = TapPort(tap.fileno(), vnet_header)
        self.device = NetDevice(self.memory, port, self.events, spill.offset, MAC, 1500)
        self.driver = VirtioNet(self.device, self.allocator, self.events, ring_size)
        self.handler = KeepFrames(retain)
        self._target = Forward(self.handler)
        self.driver.start(self._target)

    def listen_with(self, handler: FrameHandler) -> None:
        """Let ``handler`` have the frames from now on."""
        self._target.handler = handler

    def deliver(self, frame: bytes, header: bytes = bytes(NET_HEADER_LENGTH)) -> None:
        """Put a frame on the wire towards the driver."""
        self.wire.send(header + frame if self.vnet_header else frame)

    def sent(self) -> list[bytes]:
        """What the device has put on the wire, with the header where the TAP has one."""
        frames = []
        with contextlib.suppress(BlockingIOError):
            while True:
                frames.append(self.wire.recv(1 << 17))
        return frames

    def settle(self, turns: int = 1000) -> None:
        """Turn the loop until the driver waits for an interrupt again and the TAP has nothing to read."""
        for _ in range(turns):
            before = self.events.statistics()
            self.events.turn()
            after = self.events.statistics()
            if after["halts"] > before["halts"] and after["interrupts"] == before["interrupts"]:
                return
        raise AssertionError("the loop does not come to rest")

    def chain(self, pieces: list[bytes]) -> IOBuf:
        """A frame to send, cut into these pieces."""
        head: IOBuf | None = None
        for data in pieces:
            piece = allocate(self.allocator, len(data), headroom=self.driver.headroom)
            assert piece is not None
            piece.write(0, data)
            if head is None:
                head = piece
            else:
                head.append(piece)
        assert head is not None
        return head

    def close(self) -> None:
        """End it."""
        self.driver.stop()
        self.events.close()
        self._tap.close()
        self.wire.close()
