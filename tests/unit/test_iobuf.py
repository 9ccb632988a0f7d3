"""IOBufs: views, chains, headroom, and whose memory it is."""

import random

import pytest

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator, NodeMemory


@pytest.fixture
def allocator() -> MemoryAllocator:
    return MemoryAllocator(NodeMemory(1 << 20))


def make(allocator: MemoryAllocator, *pieces: bytes, headroom: int = 0) -> IOBuf:
    head: IOBuf | None = None
    for data in pieces:
        piece = allocate(allocator, len(data), headroom)
        assert piece is not None
        piece.write(0, data)
        if head is None:
            head = piece
        else:
            head.append(piece)
    assert head is not None
    return head


def test_headroom_and_tailroom(allocator: MemoryAllocator) -> None:
    buf = make(allocator, b"payload", headroom=64)
    assert (buf.headroom(), buf.length, buf.tailroom()) == (64, 7, 128 - 64 - 7)
    buf.retreat(20)
    buf.write(0, b"h" * 20)
    assert (buf.headroom(), buf.copy_out()) == (44, b"h" * 20 + b"payload")
    buf.advance(20)
    buf.trim_end(4)
    assert buf.copy_out() == b"pay"


def test_only_the_first_view_owns_headroom(allocator: MemoryAllocator) -> None:
    buf = make(allocator, b"payload", headroom=64)
    assert buf.clone_view().headroom() == 0
    assert buf.slice(2, 3).headroom() == 0
    assert buf.slice(2, 3).copy_out() == b"ylo"
    assert buf.peek(1, 2) == b"ay"


def test_allocation_fails_without_memory(allocator: MemoryAllocator) -> None:
    assert allocate(allocator, 1 << 20, 1) is None


def test_memory_goes_back_with_the_last_view(allocator: MemoryAllocator) -> None:
    buf = make(allocator, b"one", b"two")
    clone = buf.clone_chain()
    del buf
    assert allocator.statistics()["allocated_bytes"] == 256
    assert clone.copy_out() == b"onetwo"
    del clone
    assert allocator.statistics()["allocated_bytes"] == 0


def test_copies_are_counted(allocator: MemoryAllocator) -> None:
    make(allocator, b"one", b"three").copy_out()
    assert allocator.statistics()["payload_bytes_copied"] == 8


def test_a_chain_pins_the_whole_of_its_buffers(allocator: MemoryAllocator) -> None:
    chain = make(allocator, b"one", bytes(200), bytes(5000))
    assert chain.pinned() == 128 + 256 + 8192
    chain.truncate_chain(1)
    assert chain.pinned() == 128


def test_a_long_chain_is_dropped_without_exhausting_the_stack(allocator: MemoryAllocator) -> None:
    head = make(allocator, b"x")
    for _ in range(100_000):
        longer = head.clone_view()
        longer.next = head
        head = longer
    assert head.chain_length() == 100_001
    del longer, head
    assert allocator.statistics()["allocated_bytes"] == 0


def test_chains_behave_like_their_bytes(allocator: MemoryAllocator) -> None:
    chance = random.Random(3)
    for _ in range(300):
        pieces = [chance.randbytes(chance.randrange(1, 40)) for _ in range(chance.randrange(1, 6))]
        data = b"".join(pieces)
        chain = make(allocator, *pieces)
        clone = chain.clone_chain()
        length = chance.randrange(1, len(data) + 1)
        chain.truncate_chain(length)
        assert chain.copy_out() == data[:length]
        assert chain.chain_length() == length
        count = chance.randrange(0, length + 3)
        rest = chain.advance_chain(count)
        assert (b"" if rest is None else rest.copy_out()) == data[count:length]
        assert clone.copy_out() == data, "the clone saw what was done to the original"
