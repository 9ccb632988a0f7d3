"""Node memory, and the Memory Allocator Ebb over it.

A node has one block of memory, its "physical memory": an anonymous shared mapping. Everything a device may touch
lives there: the rings, the posted receive buffers, packet headers, and the values an application keeps. Offsets into
the block play the part of physical addresses.

``MemoryAllocator`` hands out ``Buffer`` objects in power-of-two size classes in the manner of SLQB (paper section
3.2; Piggin's allocator for Linux): each core has a list of free objects for each class, last freed, first reused; no
lock, because one core owns it. That is all the hot path does. Behind it, ``slabs`` cuts pages into objects smaller
than a page, and ``pages`` joins free pages to runs; larger objects are runs of pages. A list that grows beyond its
watermark gives half of itself back, and when memory is short all of them give back everything, so that what was once
used in small pieces can be used in large ones. Objects freed on another core come home in batches (``core_links``).

A free object holds the number of the next one in its own first bytes. CPython's reference counts are the ownership:
when the last reference to a ``Buffer`` goes, its memory is free again. Read ``iobuf`` next.
"""

import ctypes
import mmap
from collections.abc import Callable

import cython

from ebbrt.constants import LARGEST_CLASS, NO_OFFSET, NO_PAGE, PAGE, PAGE_SHIFT, SMALLEST_CLASS
from ebbrt.pages import PageAllocator
from ebbrt.slabs import Slabs

LARGEST_BUFFER = 64 << 20
# Watermarks: a list of free objects may hold so many bytes, within these numbers of objects.
LIST_BYTES = 256 << 10
FEWEST_LISTED = 2
MOST_LISTED = 1024


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

    def read(self, start: int, length: int) -> bytes:
        """The bytes [start, start + length) copied to a Python object: keys and headers, not payload."""
        if cython.compiled:
            found: bytes = cython.cast(cython.p_char, self.address + start)[:length]
            return found
        return bytes(self.mem[start : start + length])

    def write(self, start: int, data: bytes) -> None:
        """Put ``data`` at ``start``. Not for payload that is already in node memory."""
        if cython.compiled:
            memcpy(cython.cast(cython.p_void, self.address + start), PyBytes_AS_STRING(data), len(data))
        else:
            self.mem[start : start + len(data)] = data


class Buffer:
    """``size()`` bytes of node memory at ``offset``, freed with the last reference. Made by an allocator."""

    allocator: "MemoryAllocator"
    memory: NodeMemory
    offset: int
    size_class: int

    def size(self) -> int:
        """How many bytes the buffer has."""
        return 1 << self.size_class

    def __del__(self) -> None:
        self.allocator.release(self.offset, self.size_class)


class LargeBuffer(Buffer):
    """A buffer of more than the largest class: ``pages`` of node memory in a row."""

    pages: int

    def size(self) -> int:
        """How many bytes the buffer has."""
        return self.pages << PAGE_SHIFT

    def __del__(self) -> None:
        self.allocator.release_large(self.offset, self.pages)


class MemoryAllocator:
    """Buffers from node memory for one core: of powers of two from 128 bytes to 1 MiB, and of pages up to 64 MiB.

    It manages the pages that lie within the bytes [start, end) of ``memory``; the whole of it by default. With
    ``limit`` it uses at most so many bytes of them. It belongs to the process that made it: after a fork, the memory
    that parent and child share would be handed out twice.
    """

    def __init__(self, memory: NodeMemory, start: int = 0, end: int | None = None, limit: int | None = None) -> None:
        end = memory.size if end is None else end
        if start < 0 or end > memory.size:
            raise ValueError(f"bytes {start} to {end} are not all within node memory of {memory.size} bytes")
        self.memory = memory
        first = (start + PAGE - 1) // PAGE
        self.pages = PageAllocator(first, max(0, end // PAGE - first))
        self._slabs = Slabs(memory.view(0, memory.size).cast("I"), self.pages)
        # By class: the first object of the free list, in units of the smallest class (32 bits span 512 GiB), and how
        # many more the list may take.
        self._heads = memoryview(bytearray(4 * (LARGEST_CLASS + 1))).cast("I")
        self._room = memoryview(bytearray(4 * (LARGEST_CLASS + 1))).cast("I")
        self._most = memoryview(bytearray(4 * (LARGEST_CLASS + 1))).cast("I")
        self._objects = memoryview(bytearray(4 * (LARGEST_CLASS + 1))).cast("I")  # page runs handed out or listed
        for size_class in range(LARGEST_CLASS + 1):
            self._heads[size_class] = NO_OFFSET
            self._most[size_class] = max(FEWEST_LISTED, min(MOST_LISTED, LIST_BYTES >> size_class))
            self._room[size_class] = self._most[size_class]
        # The class of a size up to a page, by the size in units of the smallest class, rounded up.
        self._class_of = memoryview(bytearray(max(SMALLEST_CLASS, (n * 128 - 1).bit_length()) for n in range(33)))
        self._large_pages = 0
        self.allocated_bytes = 0
        self.allocations = 0
        self.failures = 0
        self.reclaimer: Callable[[], bool] | None = None  # frees what an application can do without; for ``reclaim``
        if limit is not None:
            self.set_limit(limit)

    def allocate(self, size: int) -> Buffer | None:
        """A buffer of at least ``size`` bytes; None (counted) when there is no memory for it or size > 64 MiB."""
        if size <= PAGE:
            size_class = self._class_of[(size + 127) >> 7]  # 128: the smallest class
        else:
            size_class = PAGE_SHIFT + 1
            while size_class <= LARGEST_CLASS and (1 << size_class) < size:
                size_class += 1
            if size_class > LARGEST_CLASS:
                return self._allocate_large(size)
        head = self._heads[size_class]
        if head == NO_OFFSET:
            if not self._refill(size_class):
                self.failures += 1
                return None
            head = self._heads[size_class]
        offset = head << SMALLEST_CLASS
        self._heads[size_class] = self.memory.mem32[offset >> 2]
        self._room[size_class] += 1
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
        room = self._room[size_class] - 1
        self._room[size_class] = room
        if room == 0:
            self._shorten(size_class, self._most[size_class] >> 1)

    def release_large(self, offset: int, pages: int) -> None:
        """Give pages back. Called by ``LargeBuffer`` alone."""
        self.allocated_bytes -= pages << PAGE_SHIFT
        self._large_pages -= pages
        self.pages.give_back(offset >> PAGE_SHIFT, pages)

    def set_limit(self, limit: int) -> None:
        """Use at most ``limit`` bytes from now on; what is in use beyond it stays until it is freed."""
        if limit < 0:
            raise ValueError(f"a limit is a number of bytes, not {limit}")
        self.pages.limit = min(limit >> PAGE_SHIFT, self.pages.count)

    def trim(self) -> None:
        """Give the free lists back to slabs and pages: done by itself when memory is short."""
        for size_class in range(SMALLEST_CLASS, LARGEST_CLASS + 1):
            self._shorten(size_class, 0)

    def reclaim(self) -> bool:
        """Ask the owner of what can be given up to free some of it; False when there is nothing.

        For those who cannot go on without memory, and only between events of an application: its data changes.
        """
        return self.reclaimer is not None and self.reclaimer()

    def _allocate_large(self, size: int) -> Buffer | None:
        """A run of pages of its own."""
        if size > LARGEST_BUFFER:
            self.failures += 1
            return None
        count = (size + PAGE - 1) >> PAGE_SHIFT
        page = self._take_pages(count)
        if page == NO_PAGE:
            self.failures += 1
            return None
        self._large_pages += count
        self.allocated_bytes += count << PAGE_SHIFT
        self.allocations += 1
        buffer: LargeBuffer = LargeBuffer.__new__(LargeBuffer)
        buffer.allocator = self
        buffer.memory = self.memory
        buffer.offset = page
        buffer.offset <<= PAGE_SHIFT  # in 64 bits
        buffer.size_class = LARGEST_CLASS + 1
        buffer.pages = count
        return buffer

    def _take_pages(self, count: int) -> int:
        """Pages in a row, from what the free lists hold when there are no others, or NO_PAGE."""
        page = self.pages.take(count)
        if page == NO_PAGE:
            self.trim()
            page = self.pages.take(count)
        return page

    def _refill(self, size_class: int) -> bool:
        """Put objects on the empty free list: those of a slab, or else from new pages; False without memory."""
        if size_class >= PAGE_SHIFT:
            page = self._take_pages(1 << (size_class - PAGE_SHIFT))
            if page == NO_PAGE:
                return False
            self._objects[size_class] += 1
            start = page
            start <<= PAGE_SHIFT
            self.memory.mem32[start >> 2] = NO_OFFSET
            self._heads[size_class] = start >> SMALLEST_CLASS
            self._room[size_class] -= 1
            return True
        slabs = self._slabs
        if not slabs.take(size_class) and not slabs.make(size_class):
            self.trim()
            if not slabs.make(size_class):
                return False
        self._heads[size_class] = slabs.head
        self._room[size_class] -= slabs.taken
        return True

    def _shorten(self, size_class: int, keep: int) -> None:
        """Give objects of a free list back until it holds ``keep``."""
        room = self._most[size_class] - keep
        while self._room[size_class] < room:
            number = self._heads[size_class]
            at = number
            at <<= SMALLEST_CLASS - 2
            self._heads[size_class] = self.memory.mem32[at]
            self._room[size_class] += 1
            if size_class < PAGE_SHIFT:
                self._slabs.put(number, size_class)
            else:
                self._objects[size_class] -= 1
                self.pages.give_back(number >> (PAGE_SHIFT - SMALLEST_CLASS), 1 << (size_class - PAGE_SHIFT))

    def statistics(self) -> dict[str, int]:
        """Bytes handed out, bytes of pages in use for it now and at most, and what was allocated and refused.

        ``refused_by_limit`` counts how often the limit stood in the way; ``longest_free_run`` beside ``free_bytes``
        shows how fragmented the free pages are. ``bookkeeping_bytes`` lie outside of node memory, and are touched only
        where their pages are.
        """
        pages = self.pages
        return {
            "allocated_bytes": self.allocated_bytes,
            "used_bytes": pages.used << PAGE_SHIFT,
            "most_used_bytes": pages.most_used << PAGE_SHIFT,
            "limit_bytes": pages.limit << PAGE_SHIFT,
            "free_bytes": (pages.count - pages.used) << PAGE_SHIFT,
            "longest_free_run": pages.longest_run() << PAGE_SHIFT,
            "free_runs": pages.free_runs(),
            "bookkeeping_bytes": pages.table_bytes() + self._slabs.table_bytes(),
            "large_bytes": self._large_pages << PAGE_SHIFT,
            "allocations": self.allocations,
            "failures": self.failures,
            "refused_by_limit": pages.limited,
            "payload_bytes_copied": self.memory.payload_bytes_copied,
        }

    def class_statistics(self) -> dict[int, dict[str, int]]:
        """By object size: objects in use, on the free list, and free in slabs; and how many slabs (of a page) exist.

        Classes of a page and more have no slabs: their objects are runs of pages.
        """
        by_size = {}
        for size_class in range(SMALLEST_CLASS, LARGEST_CLASS + 1):
            listed = self._most[size_class] - self._room[size_class]
            if size_class < PAGE_SHIFT:
                slabs = self._slabs.count(size_class)
                free = self._slabs.free_objects(size_class)
                total = slabs << (PAGE_SHIFT - size_class)
            else:
                slabs = free = 0
                total = self._objects[size_class]
            by_size[1 << size_class] = {"used": total - free - listed, "listed": listed, "free": free, "slabs": slabs}
        return by_size
