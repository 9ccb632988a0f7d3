"""Split virtqueues, as virtio 1.2 section 2.7 lays them out in memory: both sides.

A queue of N descriptors is three areas of node memory:

    descriptor table   N x {addr u64, len u32, flags u16, next u16}       written by the driver
    available ring     {flags u16, idx u16, ring[N] u16, used_event u16}  written by the driver
    used ring          {flags u16, idx u16, ring[N] {id u32, len u32}, avail_event u16}  written by the device

A transfer takes ten steps. The driver (1) fills descriptors, (2) puts the head of the chain in ``avail.ring``, (3)
advances ``avail.idx``, (4) notifies the device if the device asked for it. The device (5) reads the head, (6) walks
the chain, (7) moves the data, (8) puts head and length in ``used.ring``, (9) advances ``used.idx``, (10) interrupts
the driver if the driver asked for it. ``DriverQueue`` does 1-4 and takes the result; ``DeviceQueue`` does 5-10.

The code knows no transport: addresses are offsets into node memory, and both classes work on nothing but the areas. A
foreign device or driver may be at the other end, so what it wrote is checked, counted in ``errors`` and never obeyed
out of bounds. Both sides run on one core here; a peer on another core needs memory barriers before steps 3 and 9 and
after reading either index (2.7.13.3.1, 2.7.8.2).
"""

from drivers.virtio.constants import (
    EITHER,
    EMPTY,
    VIRTQ_AVAIL_F_NO_INTERRUPT,
    VIRTQ_DESC_F_INDIRECT,
    VIRTQ_DESC_F_NEXT,
    VIRTQ_DESC_F_WRITE,
    VIRTQ_USED_F_NO_NOTIFY,
)
from ebbrt.memory import Buffer, MemoryAllocator, NodeMemory


class QueueLayout:
    """Where the areas of one queue lie: offsets into node memory.

    Descriptor table aligned to 16, available ring to 2, used ring to 4 (2.7); ``size`` a power of two up to 32768.
    """

    def __init__(self, memory: NodeMemory, size: int, descriptors: int, available: int, used: int) -> None:
        if size < 2 or size > 32768 or size & (size - 1):
            raise ValueError(f"a virtqueue has a power of two of descriptors, 2 to 32768, not {size}")
        areas = ((descriptors, 16, 16 * size), (available, 2, 6 + 2 * size), (used, 4, 6 + 8 * size))
        for offset, alignment, length in areas:
            if offset % alignment or offset < 0 or offset + length > memory.size:
                raise ValueError(f"a virtqueue area of {length} bytes cannot lie at {offset:#x}")
        self.memory = memory
        self.size = size
        self.descriptors = descriptors
        self.available = available
        self.used = used


def bytes_needed(size: int) -> int:
    """Node memory that ``lay_out`` needs for a queue of ``size`` descriptors."""
    return 16 * size + ((6 + 2 * size + 3) & ~3) + 6 + 8 * size


def lay_out(allocator: MemoryAllocator, size: int) -> tuple[QueueLayout, Buffer]:
    """A zeroed queue in fresh node memory, and the buffer that keeps it alive.

    Raises MemoryError when node memory is exhausted.
    """
    buffer = allocator.allocate(bytes_needed(size))
    if buffer is None:
        raise MemoryError(f"no room in node memory for a virtqueue of {size} descriptors")
    start = buffer.offset
    allocator.memory.view(start, buffer.size())[:] = bytes(buffer.size())
    available = start + 16 * size
    used = (available + 6 + 2 * size + 3) & ~3
    return QueueLayout(allocator.memory, size, start, available, used), buffer


class QueueSide:
    """What both sides know of a queue: where its areas lie, and whether VIRTIO_F_EVENT_IDX was negotiated, so that
    interrupts and notifications are asked for by index. ``errors`` counts what the other side wrote wrongly.
    """

    def __init__(self, layout: QueueLayout, event_index: bool) -> None:
        self.memory = layout.memory
        self.size = layout.size
        self.event_index = event_index
        self.errors = 0
        self._mask = layout.size - 1
        self._descriptors = layout.descriptors
        self._available = layout.available
        self._used = layout.used
        self._used_event = layout.available + 4 + 2 * layout.size
        self._avail_event = layout.used + 4 + 8 * layout.size


class DriverQueue(QueueSide):
    """The driver's side of a queue."""

    def __init__(self, layout: QueueLayout, event_index: bool) -> None:
        super().__init__(layout, event_index)
        self._avail_index = 0  # what avail.idx will say when published
        self._published = 0
        self._used_index = 0  # how far used.ring has been read
        self._first_free = 0
        self.free_count = layout.size
        self.used_length = 0  # bytes the device wrote to the chain that take_used returned last
        # How many descriptors the chain in flight at each head has; 0: none, so the device cannot finish it.
        self._in_flight = memoryview(bytearray(2 * layout.size)).cast("H")
        # The list of free descriptors, and the links of chains in flight: a copy of the driver's own, because the
        # table itself lies in memory that a broken device may write.
        self._next = memoryview(bytearray(2 * layout.size)).cast("H")
        for number in range(layout.size):
            self._next[number] = number + 1

    def _fill(self, offset: int, address: int, length: int, flags: int) -> None:
        """Write a descriptor's address, length and flags, not its ``next``."""
        self.memory.mem64[offset >> 3] = address
        self.memory.mem32[(offset + 8) >> 2] = length
        self.memory.mem16[(offset + 12) >> 1] = flags

    def add(self, address: int, length: int, flags: int) -> int:
        """Make one descriptor available: its number, which is the head. The caller has checked ``free_count``.

        flags: VIRTQ_DESC_F_WRITE for a receive buffer, VIRTQ_DESC_F_INDIRECT for a table, 0 for data to send.
        """
        head = self._first_free
        offset = self._descriptors + 16 * head
        self._fill(offset, address, length, flags)
        self._first_free = self._next[head]
        self._make_available(head, 1)
        return head

    def add_two(self, address: int, length: int, address2: int, length2: int) -> int:
        """Make a chain of two device-readable descriptors available: its head. ``free_count`` is at least 2."""
        head = self._first_free
        offset = self._descriptors + 16 * head
        self._fill(offset, address, length, VIRTQ_DESC_F_NEXT)
        second = self._next[head]
        self.memory.mem16[(offset + 14) >> 1] = second
        offset = self._descriptors + 16 * second
        self._fill(offset, address2, length2, 0)
        self._first_free = self._next[second]
        self._make_available(head, 2)
        return head

    def add_request(self, address: int, length: int, answer: int, answer_length: int) -> int:
        """As ``add_two``, the second for the device to write its answer to."""
        second = self._next[self._first_free]
        head = self.add_two(address, length, answer, answer_length)
        self.memory.mem16[(self._descriptors + 16 * second + 12) >> 1] = VIRTQ_DESC_F_WRITE
        return head

    def _make_available(self, head: int, count: int) -> None:
        self.free_count -= count
        self._in_flight[head] = count
        self.memory.mem16[(self._available + 4 + 2 * (self._avail_index & self._mask)) >> 1] = head
        self._avail_index = (self._avail_index + 1) & 0xFFFF

    def publish(self) -> bool:
        """Show the device what was added (2.7.13); whether it asked to be notified (2.7.10, EVENT_IDX 2.7.10.1)."""
        old = self._published
        self._published = self._avail_index
        self.memory.mem16[(self._available + 2) >> 1] = self._avail_index
        if self.event_index:
            event = self.memory.mem16[self._avail_event >> 1]
            return ((self._avail_index - event - 1) & 0xFFFF) < ((self._avail_index - old) & 0xFFFF)
        return not self.memory.mem16[self._used >> 1] & VIRTQ_USED_F_NO_NOTIFY

    def has_used(self) -> bool:
        """Whether the device has finished something."""
        return self.memory.mem16[(self._used + 2) >> 1] != self._used_index

    def take_used(self) -> int:
        """The head of the next finished chain, its descriptors freed, or EMPTY; sets ``used_length``.

        A head that is not in flight is a broken device's: counted, and EMPTY.
        """
        if not self.has_used():
            return EMPTY
        entry = self._used + 4 + 8 * (self._used_index & self._mask)
        head = self.memory.mem32[entry >> 2]
        self.used_length = self.memory.mem32[(entry + 4) >> 2]
        self._used_index = (self._used_index + 1) & 0xFFFF
        if head >= self.size or not self._in_flight[head]:
            self.errors += 1
            return EMPTY
        last = head
        for _ in range(self._in_flight[head] - 1):
            last = self._next[last]
        self._next[last] = self._first_free
        self._first_free = head
        self.free_count += self._in_flight[head]
        self._in_flight[head] = 0
        return head

    def disable_interrupts(self) -> None:
        """Ask for none (2.7.7). With EVENT_IDX: ask for one that lies a whole turn of the index away."""
        if self.event_index:
            self.memory.mem16[self._used_event >> 1] = (self._used_index - 1) & 0xFFFF
        else:
            self.memory.mem16[self._available >> 1] = VIRTQ_AVAIL_F_NO_INTERRUPT

    def enable_interrupts(self) -> bool:
        """Ask for one at the next finished chain. True: one is finished already, and there will be no interrupt."""
        if self.event_index:
            self.memory.mem16[self._used_event >> 1] = self._used_index
        else:
            self.memory.mem16[self._available >> 1] = 0
        return self.has_used()


class DeviceQueue(QueueSide):
    """The device's side of a queue."""

    def __init__(self, layout: QueueLayout, event_index: bool) -> None:
        super().__init__(layout, event_index)
        self._avail_index = 0  # how far avail.ring has been taken
        self._used_index = 0  # what used.idx will say when published
        self._published = 0
        # Where ``first``/``following`` stand in a chain
        self._table = 0
        self._table_size = 0
        self._offset = 0
        self._steps = 0
        self.address = 0
        self.length = 0
        self.writable = False

    def available(self) -> int:
        """How many chains are waiting. A driver that claims more than the queue holds is counted and gets none."""
        count = (self.memory.mem16[(self._available + 2) >> 1] - self._avail_index) & 0xFFFF
        if count > self.size:
            self.errors += 1
            return 0
        return count

    def head(self, ahead: int) -> int:
        """The head of the waiting chain ``ahead`` places on; ``ahead`` < ``available()``."""
        return self.memory.mem16[(self._available + 4 + 2 * ((self._avail_index + ahead) & self._mask)) >> 1]

    def advance(self, count: int) -> None:
        """Take the next ``count`` waiting chains."""
        self._avail_index = (self._avail_index + count) & 0xFFFF

    def first(self, head: int, direction: int) -> bool:
        """Aim ``address``, ``length`` and ``writable`` at the first piece of the chain at ``head``.

        direction: DEVICE_READS, DEVICE_WRITES, or EITHER; so in ``following``.
        False, counted, when the descriptor is not what the specification allows: beyond the table, outside node
        memory, of the wrong direction (2.7.4.2), or an indirect table that is empty, too long, not aligned or chained
        (2.7.5.3). The chain must then be dropped.
        """
        self._table = self._descriptors
        self._table_size = self.size
        self._steps = 0
        if head >= self.size:
            self.errors += 1
            return False
        self._offset = self._descriptors + 16 * head
        return self._check(direction)

    def _enter_table(self) -> bool:
        """Go on in the indirect table that the present descriptor refers to; False when it must not be used.

        It may end a chain of ordinary descriptors (2.7.5.3.2), and its own write flag is ignored.
        """
        address = self.memory.mem64[self._offset >> 3]
        length = self.memory.mem32[(self._offset + 8) >> 2]
        flags = self.memory.mem16[(self._offset + 12) >> 1]
        size = length >> 4
        if (
            self._table != self._descriptors  # no table within a table
            or flags & VIRTQ_DESC_F_NEXT
            or not size
            or length & 15
            or address & 7
            or not self._inside(address, length)
        ):
            return False
        self._table = address
        self._table_size = size
        self._steps = 0
        self._offset = address
        return True

    def following(self, direction: int) -> bool:
        """Go on to the next piece of the chain; False at its end, or, counted, where the chain is broken."""
        if not self.memory.mem16[(self._offset + 12) >> 1] & VIRTQ_DESC_F_NEXT:
            return False
        number = self.memory.mem16[(self._offset + 14) >> 1]
        self._steps += 1
        if number >= self._table_size or self._steps >= self._table_size:  # a loop, or out of the table
            self.errors += 1
            return False
        self._offset = self._table + 16 * number
        return self._check(direction)

    def _check(self, direction: int) -> bool:
        if self.memory.mem16[(self._offset + 12) >> 1] & VIRTQ_DESC_F_INDIRECT and not self._enter_table():
            self.errors += 1
            return False
        self.address = self.memory.mem64[self._offset >> 3]
        self.length = self.memory.mem32[(self._offset + 8) >> 2]
        flags = self.memory.mem16[(self._offset + 12) >> 1]
        self.writable = flags & VIRTQ_DESC_F_WRITE != 0
        if (
            flags & VIRTQ_DESC_F_INDIRECT
            or (direction != EITHER and self.writable != direction)
            or not self._inside(self.address, self.length)
        ):
            self.errors += 1
            return False
        return True

    def _inside(self, address: int, length: int) -> bool:
        return address < self.memory.size and length <= self.memory.size - address

    def add_used(self, head: int, length: int) -> None:
        """Give a chain back, with how many bytes were written to it; shown to the driver by ``publish``."""
        entry = self._used + 4 + 8 * (self._used_index & self._mask)
        self.memory.mem32[entry >> 2] = head
        self.memory.mem32[(entry + 4) >> 2] = length
        self._used_index = (self._used_index + 1) & 0xFFFF

    def publish(self) -> bool:
        """Show the driver what was added; whether it asked for an interrupt (2.7.7, 2.7.8.1 for EVENT_IDX)."""
        old = self._published
        if old == self._used_index:
            return False
        self._published = self._used_index
        self.memory.mem16[(self._used + 2) >> 1] = self._used_index
        if self.event_index:
            event = self.memory.mem16[self._used_event >> 1]
            return ((self._used_index - event - 1) & 0xFFFF) < ((self._used_index - old) & 0xFFFF)
        return not self.memory.mem16[self._available >> 1] & VIRTQ_AVAIL_F_NO_INTERRUPT

    def disable_notifications(self) -> None:
        """Tell the driver that the device looks by itself (2.7.10)."""
        if self.event_index:
            self.memory.mem16[self._avail_event >> 1] = (self._avail_index - 1) & 0xFFFF
        else:
            self.memory.mem16[self._used >> 1] = VIRTQ_USED_F_NO_NOTIFY

    def enable_notifications(self) -> None:
        """Ask to be told of the next chain."""
        if self.event_index:
            self.memory.mem16[self._avail_event >> 1] = self._avail_index
        else:
            self.memory.mem16[self._used >> 1] = 0
