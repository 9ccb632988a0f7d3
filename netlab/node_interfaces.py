"""One network interface of a node on one core: the TAP's queue, device, driver and the stack's ``Interface``."""

from typing import Any

from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH, VIRTIO_F_EVENT_IDX
from drivers.virtio.control import ControlDevice, ControlDriver
from drivers.virtio.device import NetDevice
from drivers.virtio.driver import VirtioNet
from drivers.virtio.port import TapPort
from drivers.virtio.tap import Tap, hardware_address, mtu
from drivers.virtio.timed import TimedNetDevice, TimedVirtioNet
from ebbrt.events.event_manager import EventManager
from ebbrt.layers import Stopwatch, TimedDevice, TimedFrameHandler
from ebbrt.memory import MemoryAllocator, NodeMemory
from netlab.node_config import Attachment, NodeError
from stack.stack import Stack


class NodeInterface:
    """An interface of ``stack``, in its order; receives from ``start`` on.

    device, driver: the two sides of its rings. stopwatch: times them, if there is one.
    """

    def __init__(
        self,
        attachment: Attachment,
        tap: Tap,
        core: int,
        memory: NodeMemory,
        allocator: MemoryAllocator,
        events: EventManager,
        stack: Stack,
        ring_size: int,
        stopwatch: Stopwatch | None,
    ) -> None:
        self.tap = tap
        self.allocator = allocator
        self.stopwatch = stopwatch
        spill = allocator.allocate(LONGEST_FRAME + NET_HEADER_LENGTH)
        if spill is None:
            raise NodeError("node memory is too small for the device's spill area")
        self._spill = spill  # kept for as long as the device writes to it
        port = TapPort(tap.fds[core], tap.vnet_header)
        arguments = (
            memory,
            port,
            events,
            spill.offset,
            mac_of(hardware_address(tap.name)),
            mtu(tap.name),
            len(tap.fds),
        )
        self.device = TimedNetDevice(*arguments, stopwatch) if stopwatch else NetDevice(*arguments)
        of_driver = (self.device, allocator, events, ring_size)
        self.driver = TimedVirtioNet(*of_driver, stopwatch) if stopwatch else VirtioNet(*of_driver)
        seen_by_stack = TimedDevice(self.driver, stopwatch) if stopwatch else self.driver
        self.interface = stack.add_interface(seen_by_stack, attachment.address, attachment.ipv6)
        self._control: ControlDevice | None = None

    def use_all_queues(self, use_queues: Any) -> None:
        """Have the device spread what it receives over all cores' queues, which must serve. Raises ControlError."""
        self._control = ControlDevice(len(self.tap.fds), use_queues)
        event_index = bool(self.device.driver_features & VIRTIO_F_EVENT_IDX)
        self._control_driver = ControlDriver(self._control, self.allocator, event_index)
        self._control_driver.use_pairs(len(self.tap.fds))
        self.device.discard()  # flows that came while there was one pair must not begin on the wrong core

    def start(self) -> None:
        """DRIVER_OK for this core's pair of virtqueues."""
        interface = self.interface
        self.driver.start(TimedFrameHandler(interface, self.stopwatch) if self.stopwatch else interface)
        interface.up()

    def stop(self) -> None:
        """Receive no more."""
        self.driver.stop()

    def statistics(self) -> dict[str, Any]:
        """Counters of both sides of the rings."""
        control = {"control": self._control.statistics()} if self._control is not None else {}
        return {"device": self.device.statistics(), "driver": self.driver.statistics(), **control}


def mac_of(tap: bytes) -> bytes:
    """The node's link address: that of the kernel's side of its TAP, with one bit turned over, locally administered.

    It is the node's alone, whatever IP address that is given: or a machine with the same one could not be told from it
    (RFC 5227). It stays with the TAP, so a node that comes back is known.
    """
    return bytes([tap[0] ^ 4 | 2, *tap[1:]])
