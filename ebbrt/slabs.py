"""Slabs: pages cut into objects of one size class, smaller than a page, that know how many of theirs are free.

This is the half of SLQB that is not on the hot path. ``MemoryAllocator`` keeps a list of free objects for each class;
an object of that list counts as used here. Only when its list is too long, or memory is short, does it hand objects
back to their slabs. A slab with free objects is in the list of its class, and is the first to be taken from again; one
whose objects are all free goes back to the pages.

A free object holds the number of the next one in its first bytes, in units of the smallest class.
"""

from ebbrt.constants import LARGEST_CLASS, NO_OFFSET, NO_PAGE, PAGE_SHIFT, SMALLEST_CLASS
from ebbrt.pages import PageAllocator, page_table


class Slabs:
    """The slabs of one allocator; ``words`` is node memory in 32-bit words."""

    def __init__(self, words: memoryview, pages: PageAllocator) -> None:
        self.head = NO_OFFSET  # what ``take`` found: the first object,
        self.taken = 0  # and how many
        self._words = words
        self._pages = pages
        # By page, counted from the first: the free objects of the slab there, how many, and its list's neighbours.
        self._heads = page_table(pages.count)
        self._free = page_table(pages.count)
        self._next = page_table(pages.count)
        self._previous = page_table(pages.count)
        # By class: the slabs that have free objects, the number of all slabs, and of the free objects in them.
        self._partial = memoryview(bytearray(4 * (LARGEST_CLASS + 1))).cast("I")
        self._slabs = memoryview(bytearray(4 * (LARGEST_CLASS + 1))).cast("I")
        self._free_objects = memoryview(bytearray(4 * (LARGEST_CLASS + 1))).cast("I")
        for size_class in range(LARGEST_CLASS + 1):
            self._partial[size_class] = NO_PAGE

    def take(self, size_class: int) -> bool:
        """Take all free objects of one slab, in ``head`` and ``taken``; False when no slab of the class has any."""
        page = self._partial[size_class]
        if page == NO_PAGE:
            return False
        self.head = self._heads[page]
        self.taken = self._free[page]
        self._remove(page, size_class)
        self._free[page] = 0
        self._free_objects[size_class] -= self.taken
        return True

    def make(self, size_class: int) -> bool:
        """Cut a new page into objects, and take them all, lowest first; False when there is no page."""
        page = self._pages.take(1)
        if page == NO_PAGE:
            return False
        step = 1 << (size_class - SMALLEST_CLASS)
        self.head = page << (PAGE_SHIFT - SMALLEST_CLASS)
        self.taken = 1 << (PAGE_SHIFT - size_class)
        last = self.head + (self.taken - 1) * step
        number = self.head
        while number < last:
            self._words[number << (SMALLEST_CLASS - 2)] = number + step
            number += step
        self._words[last << (SMALLEST_CLASS - 2)] = NO_OFFSET
        self._free[page - self._pages.first] = 0
        self._slabs[size_class] += 1
        return True

    def put(self, number: int, size_class: int) -> None:
        """Give an object back to its slab, and the slab to the pages when that was the last one in use."""
        page = (number >> (PAGE_SHIFT - SMALLEST_CLASS)) - self._pages.first
        free = self._free[page]
        if free + 1 == 1 << (PAGE_SHIFT - size_class):
            self._remove(page, size_class)
            self._free_objects[size_class] -= free
            self._slabs[size_class] -= 1
            self._pages.give_back(page + self._pages.first, 1)
            return
        if free == 0:
            self._words[number << (SMALLEST_CLASS - 2)] = NO_OFFSET
            self._add(page, size_class)
        else:
            self._words[number << (SMALLEST_CLASS - 2)] = self._heads[page]
        self._heads[page] = number
        self._free[page] = free + 1
        self._free_objects[size_class] += 1

    def table_bytes(self) -> int:
        """Bytes of the tables over the pages and the classes."""
        return 4 * 4 * (self._pages.count + 1) + 3 * 4 * (LARGEST_CLASS + 1)

    def count(self, size_class: int) -> int:
        """How many slabs the class has."""
        return self._slabs[size_class]

    def free_objects(self, size_class: int) -> int:
        """How many objects of the class's slabs are free."""
        return self._free_objects[size_class]

    def _add(self, page: int, size_class: int) -> None:
        """Put a slab at the front of its class's list."""
        head = self._partial[size_class]
        self._next[page] = head
        self._previous[page] = NO_PAGE
        if head != NO_PAGE:
            self._previous[head] = page
        self._partial[size_class] = page

    def _remove(self, page: int, size_class: int) -> None:
        """Take a slab out of its class's list."""
        after = self._next[page]
        before = self._previous[page]
        if before == NO_PAGE:
            self._partial[size_class] = after
        else:
            self._next[before] = after
        if after != NO_PAGE:
            self._previous[after] = before
