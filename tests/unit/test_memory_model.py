"""The allocator against a model: random allocations and frees, in any order, and what must hold after each."""

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from ebbrt.memory import Buffer, MemoryAllocator, NodeMemory
from ebbrt.pages import PageAllocator

PAGE = 4096
PAGES = 64
NO_PAGE = 0xFFFFFFFF


class Allocations(RuleBasedStateMachine):
    """A small node memory, of which the allocator has all pages but the first and the last."""

    buffers = Bundle("buffers")

    def __init__(self) -> None:
        super().__init__()
        self.memory = NodeMemory(PAGES * PAGE)
        self.allocator = MemoryAllocator(self.memory, 100, (PAGES - 1) * PAGE + 100)
        self.live: dict[int, tuple[Buffer, int]] = {}
        self.serial = 0

    @rule(
        target=buffers,
        size=st.one_of(st.integers(0, 600), st.integers(0, 3 * PAGE), st.integers(0, PAGES * PAGE)),
    )
    def allocate(self, size: int) -> int:
        self.serial += 1
        buffer = self.allocator.allocate(size)
        if buffer is not None:
            assert buffer.size() >= size
            assert buffer.offset % min(buffer.size(), PAGE) == 0
            mark = self.serial % 251
            self.mark(buffer, mark)
            self.live[self.serial] = (buffer, mark)
        return self.serial

    @rule(serial=consumes(buffers))
    def release(self, serial: int) -> None:
        self.live.pop(serial, None)

    @rule()
    def trim(self) -> None:
        self.allocator.trim()

    @rule(pages=st.integers(0, PAGES))
    def limit(self, pages: int) -> None:
        self.allocator.set_limit(pages * PAGE)

    def mark(self, buffer: Buffer, mark: int) -> None:
        view = self.memory.view(buffer.offset, buffer.size())
        view[0] = view[-1] = mark

    @invariant()
    def nothing_overlaps(self) -> None:
        end = PAGE
        for buffer, mark in sorted(self.live.values(), key=lambda entry: entry[0].offset):
            assert buffer.offset >= end
            end = buffer.offset + buffer.size()
            view = self.memory.view(buffer.offset, buffer.size())
            assert view[0] == view[-1] == mark
        assert end <= (PAGES - 1) * PAGE

    @invariant()
    def the_counts_add_up(self) -> None:
        statistics = self.allocator.statistics()
        assert statistics["allocated_bytes"] == sum(buffer.size() for buffer, _ in self.live.values())
        assert statistics["free_bytes"] + statistics["used_bytes"] == (PAGES - 2) * PAGE
        assert statistics["allocated_bytes"] <= statistics["used_bytes"]
        used = sum(size * counts["used"] for size, counts in self.allocator.class_statistics().items())
        assert used + statistics["large_bytes"] == statistics["allocated_bytes"]

    def teardown(self) -> None:
        self.live.clear()
        self.allocator.set_limit(PAGES * PAGE)
        self.allocator.trim()
        statistics = self.allocator.statistics()
        assert statistics["allocated_bytes"] == statistics["used_bytes"] == 0
        assert statistics["free_runs"] == 1, "everything is one run again"
        assert statistics["longest_free_run"] == (PAGES - 2) * PAGE


class Runs(RuleBasedStateMachine):
    """The pages alone, against a set of the free ones: a run is found whenever the pages are there."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = PageAllocator(10, 300)
        self.free = set(range(10, 310))
        self.taken: list[tuple[int, int]] = []

    @rule(count=st.one_of(st.integers(1, 8), st.integers(1, 200)))
    def take(self, count: int) -> None:
        page = self.pages.take(count)
        if page == NO_PAGE:
            assert self.longest() < count
            return
        assert self.free >= set(range(page, page + count))
        self.free -= set(range(page, page + count))
        self.taken.append((page, count))

    @rule(number=st.integers(0, 1000))
    def give_back(self, number: int) -> None:
        if self.taken:
            page, count = self.taken.pop(number % len(self.taken))
            self.pages.give_back(page, count)
            self.free |= set(range(page, page + count))

    def longest(self) -> int:
        longest = length = 0
        for page in range(10, 311):
            length = length + 1 if page in self.free else 0
            longest = max(longest, length)
        return longest

    @invariant()
    def free_runs_are_joined(self) -> None:
        assert self.pages.used == 300 - len(self.free)
        assert self.pages.longest_run() == self.longest()
        starts = [page for page in self.free if page - 1 not in self.free]
        assert self.pages.free_runs() == len(starts)


@pytest.mark.parametrize("machine", [Allocations, Runs])
def test_against_the_model(machine: type[RuleBasedStateMachine]) -> None:
    machine.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None, derandomize=True)
    test = machine.TestCase("runTest")
    test.debug()
