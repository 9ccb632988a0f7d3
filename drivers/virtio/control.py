"""The control virtqueue (virtio 1.2 section 5.1.6.5): both sides.

A device with several pairs of virtqueues starts with the first alone. The driver, once all are laid out, says over the
control virtqueue how many it uses (VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 5.1.6.5.5), and the device attaches as many queues
of the TAP; which frame comes through which is the device's choice (automatic receive steering), here the kernel's
(``tap.py``). Of all classes of commands this device offers that one.

A command is one chain: class, command and the command's data for the device to read, cut into pieces in any way, then
a byte for its answer. Both sides run on core 0, so the answer is there when the notification returns.
"""

from collections.abc import Callable

from drivers.virtio.constants import (
    EITHER,
    EMPTY,
    VIRTIO_NET_CTRL_MQ,
    VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX,
    VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN,
    VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
    VIRTIO_NET_ERR,
    VIRTIO_NET_OK,
)
from drivers.virtio.virtqueue import DeviceQueue, DriverQueue, QueueLayout, lay_out
from ebbrt.memory import MemoryAllocator

CONTROL_RING = 4
LONGEST_COMMAND = 64  # bytes: the longest of ours has 4
MOST_PIECES = 64  # of one command: a table of empty ones must not hold the core


class ControlError(OSError):
    """The device refused a command."""


class ControlDevice:
    """The device's side.

    use_pairs: called with the number of pairs to be used, 1 to ``max_virtqueue_pairs``; OSError refuses it.
    """

    def __init__(self, max_virtqueue_pairs: int, use_pairs: Callable[[int], None]) -> None:
        if not VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN <= max_virtqueue_pairs <= VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX:
            raise ValueError(f"a device has 1 to {VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MAX} pairs, not {max_virtqueue_pairs}")
        self.max_virtqueue_pairs = max_virtqueue_pairs
        self._use_pairs = use_pairs
        self._queue: DeviceQueue | None = None
        self.pairs = 1
        self.commands = 0
        self.refused = 0

    def start(self, layout: QueueLayout, event_index: bool) -> None:
        """DRIVER_OK: the control virtqueue is laid out."""
        self._queue = DeviceQueue(layout, event_index)
        self._queue.enable_notifications()

    def notify(self) -> None:
        """The driver's notification: carry out every command that waits."""
        queue = self._queue
        if queue is None:
            return
        for _ in range(queue.available()):
            head = queue.head(0)
            written = self._carry_out(queue, head)
            queue.advance(1)
            queue.add_used(head, written)
        queue.enable_notifications()
        queue.publish()  # no interrupt: the driver looks by itself

    def _carry_out(self, queue: DeviceQueue, head: int) -> int:
        """One command; how many bytes of answer were written."""
        self.commands += 1
        command, answer = self._read_command(queue, head)
        if answer is None:
            self.refused += 1
            return 0
        result = self._obey(command)
        if result != VIRTIO_NET_OK:
            self.refused += 1
        queue.memory.view(answer, 1)[0] = result
        return 1

    def _read_command(self, queue: DeviceQueue, head: int) -> tuple[bytes, int | None]:
        """What the driver wrote, or the beginning of it when it is too long, and where the answer goes.

        Framing means nothing (2.7.4.1), so pieces are put together; those to be written come last (2.7.4.2). There is
        no place for an answer in a chain that is broken before it, or has none, or comes to no end.
        """
        command = b""
        more = queue.first(head, EITHER)
        for _ in range(MOST_PIECES):
            if not more:
                break
            if queue.writable and queue.length:
                return command, queue.address
            room = LONGEST_COMMAND + 1 - len(command)
            command += queue.memory.read(queue.address, min(queue.length, room))
            more = queue.following(EITHER)
        return command, None

    def _obey(self, command: bytes) -> int:
        """The answer to class, command and data."""
        if len(command) != 4 or command[:2] != bytes([VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET]):
            return VIRTIO_NET_ERR
        pairs = int.from_bytes(command[2:], "little")
        if not VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN <= pairs <= self.max_virtqueue_pairs:
            return VIRTIO_NET_ERR
        try:
            self._use_pairs(pairs)
        except OSError:
            return VIRTIO_NET_ERR
        self.pairs = pairs
        return VIRTIO_NET_OK

    def statistics(self) -> dict[str, int]:
        """Pairs in use; commands, those refused among them, and faults found in the ring."""
        return {
            "pairs": self.pairs,
            "commands": self.commands,
            "refused": self.refused,
            "ring_errors": self._queue.errors if self._queue is not None else 0,
        }


class ControlDriver:
    """The driver's side. Raises MemoryError when node memory has no room for the ring."""

    def __init__(self, device: ControlDevice, allocator: MemoryAllocator, event_index: bool) -> None:
        self.device = device
        self._memory = allocator.memory
        layout, self._area = lay_out(allocator, CONTROL_RING)
        command = allocator.allocate(LONGEST_COMMAND)
        if command is None:
            raise MemoryError("no room in node memory for commands of the control virtqueue")
        self._command = command
        self._queue = DriverQueue(layout, event_index)
        self._queue.disable_interrupts()
        device.start(layout, event_index)

    def use_pairs(self, pairs: int) -> None:
        """Let the device use the first ``pairs`` pairs of virtqueues. Raises ControlError when it will not."""
        command = bytes([VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET]) + pairs.to_bytes(2, "little")
        at = self._command.offset
        answer = at + len(command)
        self._memory.write(at, command)
        self._memory.view(answer, 1)[0] = VIRTIO_NET_ERR
        self._queue.add_request(at, len(command), answer, 1)
        if self._queue.publish():
            self.device.notify()
        if self._queue.take_used() == EMPTY or self._memory.view(answer, 1)[0] != VIRTIO_NET_OK:
            raise ControlError(f"the device refuses to use {pairs} pairs of virtqueues")
