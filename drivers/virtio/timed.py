"""The lower half of the stopwatch of ``ebbrt.layers``: device and driver as layers of their own."""

from drivers.virtio.device import NetDevice
from drivers.virtio.driver import VirtioNet
from drivers.virtio.port import Port
from ebbrt.constants import DEVICE, DRIVER
from ebbrt.events.event_manager import EventManager
from ebbrt.layers import Stopwatch
from ebbrt.memory import MemoryAllocator, NodeMemory


class TimedNetDevice(NetDevice):
    """A device whose work, which is the TAP's system calls, is timed."""

    def __init__(
        self,
        memory: NodeMemory,
        port: Port,
        event_manager: EventManager,
        spill: int,
        mac: bytes,
        mtu: int,
        max_virtqueue_pairs: int,
        stopwatch: Stopwatch,
    ) -> None:
        super().__init__(memory, port, event_manager, spill, mac, mtu, max_virtqueue_pairs)
        self._stopwatch = stopwatch

    def receive(self, budget: int) -> int:
        """See NetDevice."""
        previous = self._stopwatch.enter(DEVICE)
        frames = NetDevice.receive(self, budget)
        self._stopwatch.leave(previous)
        return frames

    def notify(self, queue: int) -> None:
        """See NetDevice."""
        previous = self._stopwatch.enter(DEVICE)
        NetDevice.notify(self, queue)
        self._stopwatch.leave(previous)


class TimedVirtioNet(VirtioNet):
    """A driver whose polls are timed; its sends are, by ``ebbrt.layers.TimedDevice``."""

    def __init__(
        self,
        device: NetDevice,
        allocator: MemoryAllocator,
        event_manager: EventManager,
        ring_size: int,
        stopwatch: Stopwatch,
    ) -> None:
        super().__init__(device, allocator, event_manager, ring_size)
        self._stopwatch = stopwatch

    def poll(self) -> None:
        """See VirtioNet."""
        previous = self._stopwatch.enter(DRIVER)
        VirtioNet.poll(self)
        self._stopwatch.leave(previous)
