"""Node memory, and the Memory Allocator Ebb's free lists over it.

A node has one block of memory, its "physical memory": an anonymous shared mapping. Everything a device may touch
lives there: the rings, the posted receive buffers, packet headers, and the values an application keeps. Offsets into
the block play the part of physical addresses.

``MemoryAllocator`` hands out ``Buffer`` objects in power-of-two size classes, from free lists in the manner of SLQB
(paper section 3.2): last freed, first reused; no lock, because one core owns it. A free object holds the offset of the
next one in its own first bytes. CPython's reference counts are the ownership: when the last reference to a ``Buffer``
goes, its memory is back on the free list. Read ``iobuf`` next.
"""

import ctypes
import mmap
from collections.abc import Callable

from ebbrt.constants import LARGEST_CLASS, NO_OFFSET, PAGE, SMALLEST_CLASS


class NodeMemory:
    """One block of node memory of ``size`` bytes (a multiple of the page, at most 32 GiB).

    ``mem``, ``mem16``, ``mem32`` and ``mem64`` are the same bytes seen as unsigned words in the machine's order.
    ``payload_bytes_copied`` counts every payload byte that any component above the device copied; the path of a
    memcached value must leave it at zero.
    """

    def __init__(self, size: int) -> None:
        if size <= 0 or size % PAGE or size > 32 << 30:
            raise ValueError(f"node memory must be a multiple of {PAGE} bytes up to 32 GiB, not {size}")
        self.size = size
        block = mmap.mmap(-1, size)
        # The mapping stays alive through the views; its address is what iovecs are made of.
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(block))
        view = memoryview(block)
        self.mem = view
        self.mem16 = view.cast("H")
        self.mem32 = view.cast("I")
        self.mem64 = view.cast("Q")
        self.payload_bytes_copied = 0

    def view(self, start: int, length: int) -> memoryview:
        """The bytes [start, start + length) as a memoryview; writing to it writes to node memory."""
        return memoryview(self.mem)[start : start + length]


class Buffer:
    """``size`` bytes of node memory at ``offset``; freed when the last reference to it goes. Made by an allocator."""

    allocator: "MemoryAllocator"
    memory: NodeMemory
    offset: int
    size_class: int

    def size(self) -> int:
        """How many bytes the buffer has."""
        return 1 << self.size_class

    def __del__(self) -> None:
        self.allocator.release(self.offset, self.size_class)


class MemoryAllocator:
    """Buffers from node memory for one core, in power-of-two sizes from 128 bytes to 1 MiB.

    It manages the bytes [start, end) of ``memory``; the whole of it by default.
    """

    def __init__(self, memory: NodeMemory, start: int = 0, end: int | None = None) -> None:
        end = memory.size if end is None else end
        if start < 0 or end > memory.size:
            raise ValueError(f"bytes {start} to {end} are not all within node memory of {memory.size} bytes")
        self.memory = memory
        self._fresh = (start + PAGE - 1) // PAGE * PAGE  # no mask: its complement would have 32 bits only
        self._end = end
        # Heads of the free lists, as offsets in units of the smallest class: 32 bits span 512 GiB.
        self._heads = memoryview(bytearray(4 * (LARGEST_CLASS + 1))).cast("I")
        for size_class in range(LARGEST_CLASS + 1):
            self._heads[size_class] = NO_OFFSET
        self.allocated_bytes = 0
        self.allocations = 0
        self.failures = 0
        self.reclaimer: Callable[[], bool] | None = None  # frees what an application can do without; for ``reclaim``

    def allocate(self, size: int) -> Buffer | None:
        """A buffer of at least ``size`` bytes, or None (counted) when node memory is exhausted or size > 1 MiB."""
        size_class = SMALLEST_CLASS
        while size_class <= LARGEST_CLASS and (1 << size_class) < size:
            size_class += 1
        if size_class > LARGEST_CLASS:
            self.failures += 1
            return None
        head = self._heads[size_class]
        if head == NO_OFFSET:
            if not self._refill(size_class):
                self.failures += 1
                return None
            head = self._heads[size_class]
        offset = head << SMALLEST_CLASS
        self._heads[size_class] = self.memory.mem32[offset >> 2]
        self.allocated_bytes += 1 << size_class
        self.allocations += 1
        buffer: Buffer = Buffer.__new__(Buffer)  # a constructor's arguments would be Python objects
        buffer.allocator = self
        buffer.memory = self.memory
        buffer.offset = offset
        buffer.size_class = size_class
        return buffer

    def release(self, offset: int, size_class: int) -> None:
        """Put memory back on its free list. Called by ``Buffer`` alone."""
        self.memory.mem32[offset >> 2] = self._heads[size_class]
        self._heads[size_class] = offset >> SMALLEST_CLASS
        self.allocated_bytes -= 1 << size_class

    def reclaim(self) -> bool:
        """Ask the owner of what can be given up to free some of it; False when there is nothing.

        For those who cannot go on without memory, and only between events of an application: its data changes.
        """
        return self.reclaimer is not None and self.reclaimer()

    def _refill(self, size_class: int) -> bool:
        """Carve a slab of fresh memory into free objects, or else a free object of a larger class; False without.

        There is no way back up: small buffers are never joined to larger ones.
        """
        slab = 1 << size_class if 1 << size_class > PAGE else PAGE
        if self._fresh + slab <= self._end:
            self._carve(self._fresh, slab, size_class)
            self._fresh += slab
            return True
        larger = size_class + 1
        while larger <= LARGEST_CLASS and self._heads[larger] == NO_OFFSET:
            larger += 1
        if larger > LARGEST_CLASS:
            return False
        start = self._heads[larger]
        start <<= SMALLEST_CLASS
        self._heads[larger] = self.memory.mem32[start >> 2]
        self._carve(start, 1 << larger, size_class)
        return True

    def _carve(self, start: int, length: int, size_class: int) -> None:
        """Put ``length`` bytes from ``start`` on into the free list, downwards, so that it hands them out upwards."""
        size = 1 << size_class
        offset = start + length
        while offset > start:
            offset -= size
            self.memory.mem32[offset >> 2] = self._heads[size_class]
            self._heads[size_class] = offset >> SMALLEST_CLASS

    def statistics(self) -> dict[str, int]:
        """Bytes handed out now, bytes ever taken from node memory, allocations made and refused."""
        return {
            "allocated_bytes": self.allocated_bytes,
            "touched_bytes": self._fresh,
            "allocations": self.allocations,
            "failures": self.failures,
            "payload_bytes_copied": self.memory.payload_bytes_copied,
        }
