"""The device side of virtio-net: what a hypervisor does between the rings and a port, which is a TAP's (``port``).

Receiving, it maps the next posted buffers into one read of the port, a ``readv`` on the TAP, so that the kernel writes
the frame straight into node memory; a frame longer than one buffer takes several (VIRTIO_NET_F_MRG_RXBUF, virtio 1.2
section 5.1.6.4). Buffers that a read leaves stay mapped for the next, and their descriptors are not looked at again.
When no buffer is posted, the frame is read into a spill area, dropped and counted, as the paper's device does (section
4.1.1). Sending, it maps the descriptors of a chain into one ``writev``.

The same core runs device and driver: the event loop calls ``interrupt`` when the port is readable, and a polling
driver calls ``receive`` itself, where a device of its own would run beside it. The port's own virtio-net header (12
bytes; a TAP's is that of ``IFF_VNET_HDR``) is the header of the ring, so offloads pass through untouched. A port
without the header works too: then the device offers no offload, and puts an empty header before each frame itself.
"""

from errno import EAGAIN, EBADFD, EINTR

from drivers.virtio.constants import (
    DEVICE_READS,
    DEVICE_WRITES,
    LONGEST_FRAME,
    NET_HEADER_LENGTH,
    RECEIVEQ,
    TRANSMITQ,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_F_INDIRECT_DESC,
    VIRTIO_F_VERSION_1,
    VIRTIO_NET_F_CSUM,
    VIRTIO_NET_F_CTRL_VQ,
    VIRTIO_NET_F_GUEST_CSUM,
    VIRTIO_NET_F_GUEST_TSO4,
    VIRTIO_NET_F_GUEST_TSO6,
    VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6,
    VIRTIO_NET_F_MAC,
    VIRTIO_NET_F_MQ,
    VIRTIO_NET_F_MRG_RXBUF,
    VIRTIO_NET_F_MTU,
)
from drivers.virtio.port import Port
from drivers.virtio.virtqueue import DeviceQueue, QueueLayout
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from ebbrt.memory import NodeMemory
from ebbrt.syscalls import IoVector

BASE_FEATURES = (
    VIRTIO_F_VERSION_1
    | VIRTIO_F_EVENT_IDX
    | VIRTIO_F_INDIRECT_DESC
    | VIRTIO_NET_F_MAC
    | VIRTIO_NET_F_MTU
    | VIRTIO_NET_F_MRG_RXBUF
)
OFFLOAD_FEATURES = (
    VIRTIO_NET_F_CSUM
    | VIRTIO_NET_F_GUEST_CSUM
    | VIRTIO_NET_F_HOST_TSO4
    | VIRTIO_NET_F_HOST_TSO6
    | VIRTIO_NET_F_GUEST_TSO4
    | VIRTIO_NET_F_GUEST_TSO6
)
MULTIQUEUE_FEATURES = VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_MQ
MOST_PIECES = 1000  # of one writev, or readv less the spill; IOV_MAX is 1024
# Room offered to one readv. This much holds a frame of the usual MTU; the rest of a longer one lands in the spill area
# and is moved from there, and the next reads offer room for the largest. Most reads carry small frames, and each piece
# offered costs the kernel time whether it is used or not.
SMALL_ROOM = 2048
LARGE_ROOM = LONGEST_FRAME + NET_HEADER_LENGTH
READS_BEFORE_SMALL = 64
MOST_DISCARDED = 4096  # a TAP holds 500 frames; more may come while they are dropped, but not for ever


class NetDevice(InterruptHandler):
    """A virtio-net device: one of its pairs of virtqueues, on a ``port`` of the pair's own.

    spill: ``LONGEST_FRAME`` + 12 bytes of node memory of the pair's own, at that offset.
    max_virtqueue_pairs: how many pairs the device has in all, each a ``NetDevice`` on the core that it serves; with
        more than one there is a control virtqueue too (``control.py``), by which the driver says how many it uses.
    """

    def __init__(
        self,
        memory: NodeMemory,
        port: Port,
        event_manager: EventManager,
        spill: int,
        mac: bytes,
        mtu: int,
        max_virtqueue_pairs: int = 1,
    ) -> None:
        self.memory = memory
        self.port = port
        self.max_virtqueue_pairs = max_virtqueue_pairs
        self.mac = mac
        self.mtu = mtu
        self.features = BASE_FEATURES | (OFFLOAD_FEATURES if port.vnet_header else 0)
        if max_virtqueue_pairs > 1:
            self.features |= MULTIQUEUE_FEATURES
        self.driver_features = 0
        self._events = event_manager
        self._spill = spill
        self._vector = IoVector(memory)  # of a write; of a read that discards
        self._room_vector = IoVector(memory)  # of the next read: stays mapped from one to the next
        self._offered = 0  # posted buffers in it, and the bytes of them
        self._room = 0
        self._offer = SMALL_ROOM
        self._small_reads = 0
        self._skip = 0 if port.vnet_header else NET_HEADER_LENGTH
        self._interrupts: list[int] = [0, 0]
        self.rx_frames = 0
        self.rx_no_buffer = 0
        self.rx_spilled = 0
        self.rx_errors = 0
        self.rx_discarded = 0
        self.tx_frames = 0
        self.tx_errors = 0
        self.tx_blocked = 0
        self.interrupts_raised = 0
        self.unplugged = False

    # What a driver does through the transport

    def negotiate(self, driver_features: int) -> None:
        """FEATURES_OK (virtio 1.2 section 3.1.1).

        Raises ValueError when the driver asks for what is not offered, or lacks what this device is built on.
        """
        if driver_features & ~self.features:
            raise ValueError(
                f"the driver accepted features that were not offered: {driver_features & ~self.features:#x}"
            )
        needed = VIRTIO_F_VERSION_1 | VIRTIO_NET_F_MRG_RXBUF
        if driver_features & needed != needed:
            raise ValueError("the driver must accept VERSION_1 and MRG_RXBUF")
        if driver_features & MULTIQUEUE_FEATURES == VIRTIO_NET_F_MQ:
            raise ValueError("a driver that accepts MQ must accept CTRL_VQ")  # 5.1.3.1
        self.driver_features = driver_features

    def start(self, receive: QueueLayout, transmit: QueueLayout, receive_vector: int, transmit_vector: int) -> None:
        """DRIVER_OK: the queues are laid out; interrupts go to these vectors. Watches the port from here on."""
        event_index = bool(self.driver_features & VIRTIO_F_EVENT_IDX)
        self._offered = self._room = 0
        self._receive = DeviceQueue(receive, event_index)
        self._transmit = DeviceQueue(transmit, event_index)
        self._interrupts[RECEIVEQ] = receive_vector
        self._interrupts[TRANSMITQ] = transmit_vector
        self._receive.disable_notifications()  # it looks for buffers whenever a frame comes
        self._transmit.enable_notifications()
        self.port.start(self._events, self)

    def stop(self) -> None:
        """Reset: touch neither rings nor port any more."""
        self.port.stop(self._events)

    def notify(self, queue: int) -> None:
        """The driver's available buffer notification (2.7.10)."""
        if queue == TRANSMITQ:
            self.transmit()

    def discard(self) -> None:
        """Drop what waits on the port, before the driver starts."""
        self._vector.put(0, self._spill, LONGEST_FRAME + NET_HEADER_LENGTH)
        for _ in range(MOST_DISCARDED):
            if self.port.read(self._vector, 1) <= 0:
                return
            self.rx_discarded += 1

    # The device at work

    def interrupt(self) -> None:
        """The port is readable."""
        self.receive(1)

    def receive(self, budget: int) -> int:
        """Read up to ``budget`` frames into posted buffers, then show them to the driver; how many were read.

        It stops early when the port has no more, and when the next frame might find too few buffers: the driver, on
        the same core, posts more before the next call.
        """
        frames = 0
        while frames < budget and self._receive_frame(frames == 0):
            frames += 1
        if frames and self._receive.publish():
            self.interrupts_raised += 1
            self._events.raise_interrupt(self._interrupts[RECEIVEQ])
        return frames

    def _receive_frame(self, anyway: bool) -> bool:
        """One read of the port; False when it has nothing to read, or there is too little room and not ``anyway``."""
        if self._room < self._offer:
            self._offer_room()
            if self._room < self._offer and not anyway:
                return False
        self._room_vector.put(self._offered, self._spill, LONGEST_FRAME + NET_HEADER_LENGTH)
        length = self.port.read(self._room_vector, self._offered + 1)
        if length <= 0:
            if length == -EBADFD:
                self._unplug()
            elif length != -EAGAIN and length != -EINTR:
                self.rx_errors += 1
            return False
        if length > self._room:
            self._receive_spilled(length)
            return True
        if length > SMALL_ROOM:
            self._small_reads = 0
        else:
            self._small_reads += 1
            if self._small_reads > READS_BEFORE_SMALL:
                self._offer = SMALL_ROOM
        self._give(length)
        return True

    def _offer_room(self) -> None:
        """Map posted buffers behind those that are mapped already, until they have room for what one read takes."""
        queue = self._receive
        available = min(queue.available(), MOST_PIECES)
        while self._room < self._offer and self._offered < available:
            if not queue.first(queue.head(self._offered), DEVICE_WRITES) or queue.length <= NET_HEADER_LENGTH:
                break  # a broken descriptor, or one too short (5.1.6.3.1), ends what can be offered
            skip = 0 if self._offered else self._skip
            self._room_vector.put(self._offered, queue.address + skip, queue.length - skip)
            self._room += queue.length - skip
            self._offered += 1

    def _give(self, length: int) -> None:
        """Give the buffers that hold a frame of ``length`` bytes back to the driver; keep the others mapped."""
        queue = self._receive
        vector = self._room_vector
        skip = self._skip
        first = vector.offset(0) - skip
        used = 0
        left = length
        while True:
            room = vector.length(used)
            count = min(left, room)
            queue.add_used(queue.head(used), count + skip)
            skip = 0
            used += 1
            left -= count
            self._room -= room
            if not left:
                break
        queue.advance(used)
        if self._skip:
            for at in range(first, first + NET_HEADER_LENGTH):
                self.memory.mem[at] = 0
            self._offered = self._room = 0  # the next one must leave room for the header
        else:
            self._offered -= used
            vector.drop(used, self._offered)
        # num_buffers, little-endian (5.1.6.4): the last two bytes of the header
        self.memory.mem[first + 10] = used & 0xFF
        self.memory.mem[first + 11] = used >> 8
        self.rx_frames += 1

    def _receive_spilled(self, length: int) -> None:
        """The frame was longer than the room in the buffers offered: move its end from the spill to others."""
        queue = self._receive
        self._offer = LARGE_ROOM
        self._small_reads = 0
        left = length - self._room
        room = self._room
        source = self._spill
        index = self._offered
        available = min(queue.available(), MOST_PIECES)
        while left and index and index < available and queue.first(queue.head(index), DEVICE_WRITES) and queue.length:
            count = min(left, queue.length)
            self.memory.view(queue.address, count)[:] = self.memory.view(source, count)
            self._room_vector.put(index, queue.address, queue.length)
            room += queue.length
            source += count
            left -= count
            index += 1
        if left:
            self.rx_no_buffer += 1
            return
        self.rx_spilled += 1
        self._offered = index
        self._room = room
        self._give(length)

    def _unplug(self) -> None:
        """The TAP was deleted under us: an end, since a descriptor that is ready for ever would spin the loop."""
        self.unplugged = True
        self._events.stop()

    def transmit(self) -> None:
        """Write every chain that waits to the port, one write each."""
        queue = self._transmit
        while queue.available():
            head = queue.head(0)
            pieces = self._map_chain(head)
            if not pieces:
                self.tx_errors += 1
            else:
                result = self.port.write(self._vector, pieces)
                if result == -EAGAIN:
                    self.tx_blocked += 1  # the port's queue is full: lost, as on a full wire
                elif result < 0:
                    self.tx_errors += 1
                else:
                    self.tx_frames += 1
            queue.advance(1)
            queue.add_used(head, 0)
        queue.enable_notifications()
        if queue.publish():
            self.interrupts_raised += 1
            self._events.raise_interrupt(self._interrupts[TRANSMITQ])

    def _map_chain(self, head: int) -> int:
        """Map a chain into the vector; how many pieces, 0 when the chain is broken."""
        queue = self._transmit
        errors = queue.errors
        if not queue.first(head, DEVICE_READS):
            return 0
        pieces = 0
        walked = 0
        skip = self._skip
        while True:
            walked += 1
            if walked > MOST_PIECES:  # empty ones count too, or a huge table of them would hold the core
                return 0
            if queue.length > skip:
                self._vector.put(pieces, queue.address + skip, queue.length - skip)
                pieces += 1
                skip = 0
            else:
                skip -= queue.length
            if not queue.following(DEVICE_READS):
                break
        return pieces if queue.errors == errors else 0

    def statistics(self) -> dict[str, int]:
        """Frames in each direction, and every frame that was lost, by reason."""
        return {
            "rx_frames": self.rx_frames,
            "rx_no_buffer": self.rx_no_buffer,
            "rx_spilled": self.rx_spilled,
            "rx_errors": self.rx_errors,
            "rx_discarded": self.rx_discarded,
            "tx_frames": self.tx_frames,
            "tx_blocked": self.tx_blocked,
            "tx_errors": self.tx_errors,
            "interrupts_raised": self.interrupts_raised,
            "ring_errors": self._receive.errors + self._transmit.errors,
        }

    def close(self) -> None:
        """Close the port."""
        self.port.close()
