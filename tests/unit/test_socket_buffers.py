"""Receive buffers that are posted once for all sockets, and queues that are written in place; over pipes."""

import os
from collections.abc import Iterator

import pytest

from ebbrt.iobuf import allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.sockets.buffers import MOST_PIECES, SIZES, ReceiveBuffers, SendQueue
from ebbrt.syscalls import IoVector
from tests.fakes import make_allocator, read_chain


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe2(os.O_NONBLOCK)
    yield ends
    for end in ends:
        os.close(end)


def received(buffers: ReceiveBuffers, pipe: tuple[int, int], data: bytes) -> bytes:
    os.write(pipe[1], data)
    assert buffers.read(pipe[0]) == len(data)
    return read_chain(buffers.take(len(data)))


def test_what_a_read_did_not_fill_waits_for_the_next(pipe: tuple[int, int]) -> None:
    allocator = make_allocator()
    buffers = ReceiveBuffers(allocator)
    assert buffers.fill()
    assert allocator.allocations == len(SIZES)
    for length in (1, 512, 513, 1024, 1025, 40_000):
        before = allocator.allocations
        data = os.urandom(length)
        assert received(buffers, pipe, data) == data
        assert buffers.fill()
        assert allocator.allocations - before == sum(length > sum(SIZES[:index]) for index in range(len(SIZES)))


def test_with_little_memory_reads_are_short_until_there_is_more(pipe: tuple[int, int]) -> None:
    allocator = make_allocator(1 << 20)
    room = [allocator.allocate(SIZES[0]), allocator.allocate(SIZES[1])]
    taken = take_all(allocator)
    buffers = ReceiveBuffers(allocator)
    assert not buffers.fill()
    assert buffers.count == 0
    room.pop()
    assert buffers.fill()
    assert buffers.count == 1
    assert len(received(buffers, pipe, bytes(512))) == 512
    room.pop()
    assert buffers.fill()
    assert buffers.count == 2
    assert len(received(buffers, pipe, bytes(1))) == 1
    taken.clear()
    assert buffers.fill()
    assert buffers.count == len(SIZES)
    assert len(buffers.views()) == len(SIZES)


def take_all(allocator: MemoryAllocator) -> list[object]:
    taken: list[object] = []
    size = 1 << 20
    while size >= 128:
        buffer = allocator.allocate(size)
        if buffer is None:
            size //= 2
        else:
            taken.append(buffer)
    return taken


def test_a_queue_is_written_piece_by_piece_and_dropped_as_it_is_taken(pipe: tuple[int, int]) -> None:
    allocator = make_allocator()
    before = allocator.allocated_bytes
    queue = SendQueue()
    sent = b""
    for number in range(3 * MOST_PIECES):
        data = bytes([number % 256]) * (1 + number * 7)
        iobuf = allocate(allocator, len(data), 16)
        assert iobuf is not None
        iobuf.write(0, data)
        queue.append(iobuf)
        del iobuf
        sent += data
    assert queue.length == len(sent)
    vector = IoVector(allocator.memory)
    arrived = b""
    while queue.length:
        queue.write(vector, pipe[1])  # as much as the pipe holds: cuts fall anywhere
        arrived += os.read(pipe[0], 5000)
    arrived += b"".join(iter(lambda: read_now(pipe[0]), b""))
    assert arrived == sent
    assert allocator.allocated_bytes == before


def read_now(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except BlockingIOError:
        return b""


def test_a_full_pipe_takes_nothing_and_nothing_is_lost(pipe: tuple[int, int]) -> None:
    allocator = make_allocator()
    queue = SendQueue()
    vector = IoVector(allocator.memory)
    for _ in range(3):
        iobuf = allocate(allocator, 60_000)
        assert iobuf is not None
        queue.append(iobuf)
    while queue.write(vector, pipe[1]) > 0:
        pass
    left = queue.length
    assert 0 < left < 180_000
    assert queue.write(vector, pipe[1]) < 0
    assert queue.length == left
    queue.clear()
    assert queue.length == 0
