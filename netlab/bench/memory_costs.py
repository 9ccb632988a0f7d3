"""What memory costs: a buffer of node memory against ``bytearray``, in time; and what a buffer takes, in bytes.

Both sides are timed in one run, round by round, with the order turned each time; a figure is a median over rounds,
and a ratio the median of the rounds' own ratios. Nothing here prints: ``netlab bench runtime`` does.
"""

import statistics
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from ebbrt import iobuf
from ebbrt.memory import MemoryAllocator, NodeMemory

SIZES = tuple(1 << size_class for size_class in range(7, 21))
MEMORY = 64 << 20  # of the allocator that is measured
HELD_BYTES = 1 << 20  # so much is allocated before it is freed, within the next line's number of buffers
MOST_HELD = 64


class AllocationCost(NamedTuple):
    """Nanoseconds to allocate and free one object of ``size`` bytes; ``ratio`` is ours over ``bytearray``'s."""

    size: int
    buffer_ns: float
    bytearray_ns: float
    ratio: float


class BufferBytes(NamedTuple):
    """Bytes that a view of ``size`` bytes takes, each with its own buffer.

    node_memory: pages in use, with what rounding and unfilled slabs waste. bookkeeping: the tables over these pages.
    objects: the ``Buffer`` and the ``IOBuf``, with what Python's collector puts in front of each.
    """

    size: int
    node_memory: float
    bookkeeping: float
    objects: int

    def total(self) -> float:
        """All of it."""
        return self.node_memory + self.bookkeeping + self.objects


def allocation_costs(
    rounds: int = 31,
    repeats: int = 20,
    sizes: tuple[int, ...] = SIZES,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[AllocationCost]:
    """Time both, for each size, ``rounds`` times: ``repeats`` times as many as may be held, then freed.

    ``bytearray`` fills its bytes with zeros, a buffer's are as they were: each does what its users get.
    """
    allocator = MemoryAllocator(NodeMemory(MEMORY))
    costs = []
    for size in sizes:
        held = max(1, min(MOST_HELD, HELD_BYTES // size))
        makers: list[Callable[[int], object]] = [allocator.allocate, bytearray]
        times: dict[Callable[[int], object], list[float]] = {make: [] for make in makers}
        for make in makers:
            _time(make, size, held, 1, clock)  # what only the first use costs
        for _ in range(rounds):
            for make in makers:
                times[make].append(_time(make, size, held, repeats, clock))
            makers.reverse()
        ours, plain = times[allocator.allocate], times[bytearray]
        ratio = statistics.median(one / other for one, other in zip(ours, plain, strict=True))
        costs.append(AllocationCost(size, statistics.median(ours), statistics.median(plain), ratio))
    return costs


def _time(make: Callable[[int], object], size: int, held: int, repeats: int, clock: Callable[[], int]) -> float:
    """Nanoseconds for each object."""
    start = clock()
    for _ in range(repeats):
        kept = [make(size) for _ in range(held)]
        del kept
    return (clock() - start) / (held * repeats)


def buffer_bytes(size: int) -> BufferBytes:
    """What a view of ``size`` bytes takes, as the mean of as many as fit into half of a MEMORY, at most 10,000."""
    allocator = MemoryAllocator(NodeMemory(MEMORY))
    count = max(1, min(10_000, MEMORY // 2 // max(size, 128)))
    views = [iobuf.allocate(allocator, size) for _ in range(count)]
    figures = allocator.statistics()
    last = views[-1]
    if last is None:
        raise MemoryError(f"a buffer of {size} bytes cannot be measured in {MEMORY} bytes of node memory")
    return BufferBytes(
        size=size,
        node_memory=figures["used_bytes"] / count,
        bookkeeping=figures["bookkeeping_bytes"] * figures["used_bytes"] / MEMORY / count,
        objects=sys.getsizeof(last) + sys.getsizeof(last.buffer),
    )
