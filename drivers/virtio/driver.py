"""The virtio-net driver: used ring to ``IOBuf`` chain on the way up, ``IOBuf`` chain to descriptors on the way down.

Receiving alternates between interrupts and polling (paper section 4.1.1). An interrupt disables further ones and
registers an idle handler; the idle handler polls. When a poll finds nothing it enables interrupts, *looks once more*,
and only then unregisters: a frame that came between the last look and the enabling would otherwise wait for ever.

Receive buffers are small (512 bytes) so that a stored value pins little. While frames come that are 64 KiB of a bulk
transfer, they are large, and a short frame that lands in one is moved out of it (ADR 2). They are refilled when half
of them are used.
Transmit interrupts stay off; finished descriptors are reaped when the next frame is sent.
"""

from drivers.virtio.constants import (
    EMPTY,
    NET_HEADER_LENGTH,
    RECEIVEQ,
    TRANSMITQ,
    VIRTIO_F_EVENT_IDX,
    VIRTIO_NET_F_CSUM,
    VIRTIO_NET_F_GUEST_CSUM,
    VIRTIO_NET_F_HOST_TSO4,
    VIRTIO_NET_F_HOST_TSO6,
    VIRTIO_NET_HDR_F_DATA_VALID,
    VIRTIO_NET_HDR_F_NEEDS_CSUM,
    VIRTIO_NET_HDR_GSO_NONE,
    VIRTIO_NET_HDR_GSO_TCPV4,
    VIRTIO_NET_HDR_GSO_TCPV6,
    VIRTQ_DESC_F_INDIRECT,
    VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_WRITE,
)
from drivers.virtio.device import NetDevice
from drivers.virtio.virtqueue import DriverQueue, lay_out
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import IdleHandler, InterruptHandler
from ebbrt.events.timers import Timer
from ebbrt.iobuf import IOBuf, allocate, view
from ebbrt.memory import Buffer, MemoryAllocator
from ebbrt.netdevice import EthernetDevice, FrameHandler

SMALL_BUFFER = 512
LARGE_BUFFER = 32768
LARGE_POSTED = 32  # large buffers in the ring: a MiB, and room for the 16 longest frames
# The average frame since the last refill that makes buffers large, and small again.
LARGE_FROM = 12288
SMALL_BELOW = 6144
MOST_MOVED = 8192  # a frame up to this long does not keep a large buffer: it pins four times its length at the most
FRAMES_PER_POLL = 64
SENDS_PER_NOTIFICATION = 16  # at most, while frames are delivered: bounds how long the first reply of a poll waits
REFILL_RETRY = 10_000_000  # nanoseconds from a refill that found no memory to the next
LARGEST_SEGMENT = 65535 - 20 - 60  # TCP payload of one frame under segmentation offload


class ReceiveInterrupt(InterruptHandler):
    """The receive queue's interrupt vector."""

    def __init__(self, driver: "VirtioNet") -> None:
        self.driver = driver

    def interrupt(self) -> None:
        """Frames are there: poll from now on."""
        self.driver.start_polling()


class TransmitInterrupt(InterruptHandler):
    """The transmit queue's interrupt vector: never asked for, so that one only means a spurious wake-up."""

    def interrupt(self) -> None:
        """Do nothing: finished descriptors are reaped by the next send."""


class ReceivePoll(IdleHandler):
    """The idle handler of a polling driver."""

    def __init__(self, driver: "VirtioNet") -> None:
        self.driver = driver

    def poll(self) -> None:
        """Take what has come; stop polling when nothing has."""
        self.driver.poll()


class VirtioNet(EthernetDevice):
    """The driver of one virtio-net device, with one pair of queues of ``ring_size`` descriptors.

    Frames go to ``handler``, set with ``start``.
    """

    def __init__(
        self, device: NetDevice, allocator: MemoryAllocator, event_manager: EventManager, ring_size: int = 512
    ) -> None:
        self.device = device
        self.allocator = allocator
        self.memory = allocator.memory
        self._events = event_manager
        # Initialization, virtio 1.2 section 3.1.1: this driver understands whatever this device offers.
        device.negotiate(device.features)
        self.mac = device.mac
        self.mtu = device.mtu
        self.headroom = NET_HEADER_LENGTH
        self.checksum_offload = bool(device.features & VIRTIO_NET_F_CSUM)
        self.largest_segment = LARGEST_SEGMENT if device.features & VIRTIO_NET_F_HOST_TSO4 else 0
        self.segments_ipv6 = bool(device.features & VIRTIO_NET_F_HOST_TSO6)
        self._trust_checksums = bool(device.features & VIRTIO_NET_F_GUEST_CSUM)
        event_index = bool(device.features & VIRTIO_F_EVENT_IDX)
        receive_layout, self._receive_area = lay_out(allocator, ring_size)
        transmit_layout, self._transmit_area = lay_out(allocator, ring_size)
        self._receive = DriverQueue(receive_layout, event_index)
        self._transmit = DriverQueue(transmit_layout, event_index)
        self._receive_layout = receive_layout
        self._transmit_layout = transmit_layout
        self._posted: list[Buffer | None] = [None] * ring_size
        self._sent: list[IOBuf | None] = [None] * ring_size
        self._tables: list[Buffer | None] = [None] * ring_size
        self._buffer_size = SMALL_BUFFER
        self._to_post = ring_size * SMALL_BUFFER
        self._posted_bytes = 0
        self._bytes_then = 0  # rx_bytes and rx_frames at the last refill
        self._frames_then = 0
        self._poll = ReceivePoll(self)
        self._polling = False
        self._draining = False
        self._unpublished = 0  # sends the device has not been told of
        self.rx_frames = 0
        self.rx_bytes = 0
        self.rx_dropped = 0
        self.rx_moved = 0
        self.tx_frames = 0
        self.tx_bytes = 0
        self.tx_ring_full = 0
        self.tx_no_memory = 0
        self.refill_failures = 0
        self._refill_timer: Timer | None = None

    def start(self, handler: FrameHandler) -> None:
        """DRIVER_OK: post receive buffers and deliver frames to ``handler`` from here on."""
        self._handler = handler
        receive_vector = self._events.allocate_vector(ReceiveInterrupt(self))
        transmit_vector = self._events.allocate_vector(TransmitInterrupt())
        self._transmit.disable_interrupts()
        self._receive.enable_interrupts()
        self._refill()
        self.device.start(self._receive_layout, self._transmit_layout, receive_vector, transmit_vector)

    def stop(self) -> None:
        """Reset the device; frames are neither received nor sent any more."""
        if self._polling:
            self._stop_polling()
        if self._refill_timer is not None:
            self._refill_timer.stop()
        self.device.stop()

    # Receiving

    def start_polling(self) -> None:
        """The interrupt: no more of them, and an idle handler instead."""
        if not self._polling:
            self._polling = True
            self._receive.disable_interrupts()
            self._events.add_idle_handler(self._poll)

    def _stop_polling(self) -> None:
        self._polling = False
        self._events.remove_idle_handler(self._poll)

    def poll(self) -> None:
        """Let the device read, and take what it has finished; go back to interrupts when there was nothing."""
        if not self._receive.has_used():
            self.device.receive(FRAMES_PER_POLL)
            if not self._receive.has_used():
                if self._receive.enable_interrupts():  # look once more
                    self._receive.disable_interrupts()
                else:
                    self._stop_polling()
                return
        self._drain()

    def _drain(self) -> None:
        """Deliver every finished frame, and let the device send what that causes in few notifications.

        Frames sent one right after the other find the receiver's core awake: an interrupt to it, which on a virtual
        machine costs as much as the rest of sending, is needed for the first of them only.
        """
        self._draining = True
        try:
            self._deliver()
        finally:
            self._draining = False
            if self._unpublished:
                self._publish_sends()

    def _deliver(self) -> None:
        """Deliver every finished frame, refilling the ring at half empty."""
        while True:
            frame = self._take_frame()
            if frame is None:
                break
            if self._is_half_empty():
                self._refill()
            flags = self.memory.mem[frame.start]
            frame.advance(NET_HEADER_LENGTH)
            self._handler.receive_frame(
                frame,
                self._trust_checksums and flags & (VIRTIO_NET_HDR_F_DATA_VALID | VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0,
            )
        if self._is_half_empty():
            self._refill()

    def _is_half_empty(self) -> bool:
        """Whether at most half of the room that is to be posted is."""
        return self._posted_bytes * 2 <= self._to_post

    def _take_frame(self) -> IOBuf | None:
        """The next frame in the used ring, virtio header included; None when there is none.

        A frame has ``num_buffers`` buffers (5.1.6.4), and all of them are there when the first is.
        """
        first: IOBuf | None = None
        last: IOBuf | None = None
        wanted = 1
        while wanted:
            head = self._receive.take_used()
            if head == EMPTY:
                if first is not None:
                    self.rx_dropped += 1  # a device that promised more buffers than it gave
                return None
            buffer = self._posted[head]
            assert buffer is not None  # every descriptor in flight has its buffer here
            self._posted[head] = None
            length = self._receive.used_length
            size = buffer.size()
            self._posted_bytes -= size
            if length > size:  # it cannot have written that much
                self.rx_dropped += 1
                return None
            piece = view(buffer, buffer.offset, length)
            self.rx_bytes += length
            if last is None:
                first = piece
                wanted = self.memory.mem[piece.start + 10] | self.memory.mem[piece.start + 11] << 8
                if not wanted or length <= NET_HEADER_LENGTH or (wanted > 1 and length < size):
                    self.rx_dropped += 1
                    return None
                if size == LARGE_BUFFER and length <= MOST_MOVED:
                    first = piece = self._moved(piece)
            else:
                last.next = piece
            last = piece
            wanted -= 1
        self.rx_frames += 1
        return first

    def _moved(self, frame: IOBuf) -> IOBuf:
        """A short frame, copied out of the large buffer that it is in; where it is, without memory for that.

        It is payload too, and counted as copied.
        """
        copy = allocate(self.allocator, frame.length, 0)
        if copy is None:
            return frame
        copy.owns_headroom = False
        self.memory.view(copy.start, frame.length)[:] = self.memory.view(frame.start, frame.length)
        self.memory.payload_bytes_copied += frame.length
        self.rx_moved += 1
        return copy

    def _choose_size(self) -> None:
        """Large buffers while long frames come, which is seen from their average since the last refill."""
        frames = self.rx_frames - self._frames_then
        if not frames:
            return
        average = (self.rx_bytes - self._bytes_then) // frames
        self._frames_then = self.rx_frames
        self._bytes_then = self.rx_bytes
        if average >= LARGE_FROM:
            self._buffer_size = LARGE_BUFFER
            self._to_post = min(LARGE_POSTED, self._receive.size) * LARGE_BUFFER
        elif average < SMALL_BELOW:
            self._buffer_size = SMALL_BUFFER
            self._to_post = self._receive.size * SMALL_BUFFER

    def _refill(self) -> None:
        """Post buffers until there is as much room as there should be, or the ring or node memory has no more."""
        self._choose_size()
        while self._posted_bytes < self._to_post and self._receive.free_count:
            buffer = self.allocator.allocate(self._buffer_size)
            if buffer is None and self._buffer_size == LARGE_BUFFER:
                self._buffer_size = SMALL_BUFFER
                continue
            if buffer is None and self.allocator.reclaim():  # a node that is deaf cannot be told to free anything
                buffer = self.allocator.allocate(self._buffer_size)
            if buffer is None:
                self.refill_failures += 1
                # With nothing posted no frame arrives, and no interrupt asks for more buffers: come back by ourselves.
                if self._refill_timer is None:
                    self._refill_timer = self._events.set_timer(REFILL_RETRY, self._retry_refill)
                break
            head = self._receive.add(buffer.offset, self._buffer_size, VIRTQ_DESC_F_WRITE)
            self._posted[head] = buffer
            self._posted_bytes += self._buffer_size
        if self._receive.publish():
            self.device.notify(RECEIVEQ)

    def _retry_refill(self) -> None:
        self._refill_timer = None
        self._refill()

    # Sending

    def transmit(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> bool:
        """Send one frame; see ``ebbrt.netdevice``. The chain is held until the device has sent it."""
        self._reap()
        if self._unpublished and self._transmit.free_count < 2:  # the ring is full of what the device may send now
            self._publish_sends()
            self._reap()
        self._put_header(frame, checksum_start, checksum_offset, segment_size)
        following = frame.next
        if following is None:
            if not self._transmit.free_count:
                self.tx_ring_full += 1
                return False
            head = self._transmit.add(frame.start, frame.length, 0)
        elif following.next is None and self._transmit.free_count >= 2:
            head = self._transmit.add_two(frame.start, frame.length, following.start, following.length)
        else:
            if not self._transmit.free_count:
                self.tx_ring_full += 1
                return False
            head = self._add_indirect(frame)
            if head == EMPTY:
                self.tx_no_memory += 1
                return False
        self._sent[head] = frame
        self.tx_frames += 1
        self.tx_bytes += frame.chain_length()
        self._unpublished += 1
        if not self._draining or self._unpublished >= SENDS_PER_NOTIFICATION:
            self._publish_sends()
        return True

    def _publish_sends(self) -> None:
        """Let the device send what was added."""
        self._unpublished = 0
        if self._transmit.publish():
            self.device.notify(TRANSMITQ)

    def _put_header(self, frame: IOBuf, checksum_start: int, checksum_offset: int, segment_size: int) -> None:
        """Put struct virtio_net_hdr into the headroom (5.1.6.2); all fields little-endian."""
        header_length = frame.length
        frame.retreat(NET_HEADER_LENGTH)
        at = frame.start
        mem = self.memory
        mem.mem[at] = VIRTIO_NET_HDR_F_NEEDS_CSUM if checksum_start else 0
        mem.mem[at + 1] = VIRTIO_NET_HDR_GSO_NONE
        if segment_size:  # the EtherType says which: 0x0800 or 0x86DD
            ipv6 = mem.mem[at + NET_HEADER_LENGTH + 12] == 0x86
            mem.mem[at + 1] = VIRTIO_NET_HDR_GSO_TCPV6 if ipv6 else VIRTIO_NET_HDR_GSO_TCPV4
        mem.mem[at + 2] = header_length & 0xFF  # hdr_len: a hint, only with segmentation
        mem.mem[at + 3] = (header_length >> 8) & 0xFF
        mem.mem[at + 4] = segment_size & 0xFF
        mem.mem[at + 5] = (segment_size >> 8) & 0xFF
        mem.mem[at + 6] = checksum_start & 0xFF
        mem.mem[at + 7] = (checksum_start >> 8) & 0xFF
        mem.mem[at + 8] = checksum_offset & 0xFF
        mem.mem[at + 9] = 0
        mem.mem[at + 10] = 0
        mem.mem[at + 11] = 0

    def _add_indirect(self, frame: IOBuf) -> int:
        """Put a chain of any length into a table of its own, which takes one descriptor (2.7.5.3)."""
        count = 0
        piece: IOBuf | None = frame
        while piece is not None:
            count += 1
            piece = piece.next
        table = self.allocator.allocate(16 * count)
        if table is None:
            return EMPTY
        piece = frame
        number = 0
        while piece is not None:
            at = table.offset + 16 * number
            number += 1
            self.memory.mem64[at >> 3] = piece.start
            self.memory.mem32[(at + 8) >> 2] = piece.length
            self.memory.mem16[(at + 12) >> 1] = VIRTQ_DESC_F_NEXT if number < count else 0
            self.memory.mem16[(at + 14) >> 1] = number
            piece = piece.next
        head = self._transmit.add(table.offset, 16 * count, VIRTQ_DESC_F_INDIRECT)
        self._tables[head] = table
        return head

    def _reap(self) -> None:
        """Let go of what the device has sent."""
        while self._transmit.has_used():
            head = self._transmit.take_used()
            if head == EMPTY:
                continue
            self._sent[head] = None
            self._tables[head] = None
        self._transmit.disable_interrupts()

    def statistics(self) -> dict[str, int]:
        """Frames and bytes in each direction, and what was lost, by reason."""
        return {
            "rx_frames": self.rx_frames,
            "rx_bytes": self.rx_bytes,
            "rx_dropped": self.rx_dropped,
            "rx_moved": self.rx_moved,
            "tx_frames": self.tx_frames,
            "tx_bytes": self.tx_bytes,
            "tx_ring_full": self.tx_ring_full,
            "tx_no_memory": self.tx_no_memory,
            "refill_failures": self.refill_failures,
            "ring_errors": self._receive.errors + self._transmit.errors,
        }
