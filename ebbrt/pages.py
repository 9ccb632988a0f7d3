"""Pages of node memory, in runs: taken from free runs, given back, and joined with the free neighbours at once.

Every free run knows its length at its first and at its last page, so that both neighbours of a run that comes back
are found in one step (boundary tags). Free runs are kept in lists by length: one list for each length up to
EXACT_RUNS pages, above that one for each power of two, where the first that is long enough is taken. A run is taken
from the front of a free one. What this knows about pages lies outside of node memory, so that a page nobody uses is
never touched.
"""

import mmap

from ebbrt.constants import NO_PAGE

EXACT_RUNS = 64
LISTS = EXACT_RUNS + 32


def page_table(count: int) -> memoryview:
    """A 32-bit word for each of ``count`` pages, all zero; private to this process, and there when it is touched."""
    return memoryview(mmap.mmap(-1, 4 * (count + 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)).cast("I")


class PageAllocator:
    """The pages ``first`` to ``first + count`` of node memory; all free at first."""

    def __init__(self, first: int, count: int) -> None:
        self.first = first
        self.count = count
        self.limit = count  # at most so many in use
        self.used = 0
        self.most_used = 0
        self.limited = 0  # refusals because of the limit
        # By page, counted from ``first``: the length of the free run that begins or ends here, else 0; and, where one
        # begins, its neighbours in its list.
        self._runs = page_table(count)
        self._next = page_table(count)
        self._previous = page_table(count)
        self._lists = memoryview(bytearray(4 * LISTS)).cast("I")
        for index in range(LISTS):
            self._lists[index] = NO_PAGE
        if count:
            self._add(0, count)

    def take(self, count: int) -> int:
        """The first of ``count`` pages in a row, or NO_PAGE when no free run is so long or the limit is reached."""
        if self.used + count > self.limit:
            self.limited += 1
            return NO_PAGE
        page = self._find(count)
        if page == NO_PAGE:
            return NO_PAGE
        length = self._runs[page]
        self._remove(page, length)
        if length > count:
            self._add(page + count, length - count)
        self.used += count
        if self.used > self.most_used:
            self.most_used = self.used
        return self.first + page

    def give_back(self, page: int, count: int) -> None:
        """Free ``count`` pages from ``page`` on, which were taken together."""
        self.used -= count
        page -= self.first
        if page > 0 and self._runs[page - 1] != 0:
            before = self._runs[page - 1]
            self._remove(page - before, before)
            page -= before
            count += before
        if page + count < self.count and self._runs[page + count] != 0:
            after = self._runs[page + count]
            self._remove(page + count, after)
            count += after
        self._add(page, count)

    def table_bytes(self) -> int:
        """Bytes of the tables over the pages."""
        return 3 * 4 * (self.count + 1) + 4 * LISTS

    def longest_run(self) -> int:
        """Pages of the longest free run."""
        longest = 0
        index = LISTS
        while index > 0 and longest == 0:
            index -= 1
            page = self._lists[index]
            while page != NO_PAGE:
                longest = max(longest, self._runs[page])
                page = self._next[page]
        return longest

    def free_runs(self) -> int:
        """How many free runs there are."""
        total = 0
        for index in range(LISTS):
            page = self._lists[index]
            while page != NO_PAGE:
                total += 1
                page = self._next[page]
        return total

    def _find(self, count: int) -> int:
        """A free run of at least ``count`` pages."""
        index = self._list_of(count)
        page = self._lists[index]
        while page != NO_PAGE and self._runs[page] < count:
            page = self._next[page]
        while page == NO_PAGE and index + 1 < LISTS:
            index += 1
            page = self._lists[index]
        return page

    def _list_of(self, length: int) -> int:
        """The list in which runs of that length are."""
        if length <= EXACT_RUNS:
            return length - 1
        index = EXACT_RUNS
        length >>= 7
        while length:
            index += 1
            length >>= 1
        return index

    def _add(self, page: int, length: int) -> None:
        """Make a free run, at the front of its list."""
        index = self._list_of(length)
        head = self._lists[index]
        self._runs[page] = length
        self._runs[page + length - 1] = length
        self._next[page] = head
        self._previous[page] = NO_PAGE
        if head != NO_PAGE:
            self._previous[head] = page
        self._lists[index] = page

    def _remove(self, page: int, length: int) -> None:
        """Take a free run out of its list; its pages count as used."""
        after = self._next[page]
        before = self._previous[page]
        if before == NO_PAGE:
            self._lists[self._list_of(length)] = after
        else:
            self._next[before] = after
        if after != NO_PAGE:
            self._previous[after] = before
        self._runs[page] = 0
        self._runs[page + length - 1] = 0
