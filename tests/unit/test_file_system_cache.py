"""The File System Ebb's cache: what it saves, what it promises, and what it forgets."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbrt.files.cache import BLOCK, READ_AHEAD, FileCache
from ebbrt.files.server import TICK
from tests.unit.test_file_system import BACK, OTHER, World

SECOND = 1_000_000_000


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, cached=True)
    yield world
    world.close()


def write(path: Path, data: bytes, changed: int) -> None:
    """A file that was last changed at that time."""
    path.write_bytes(data)
    os.utime(path, ns=(changed, changed))


def read_all(world: World, name: str, number: int = BACK, cached: bool | None = None) -> bytes:
    files = world.systems[number]
    handle = world.wait(files.open(name, cached=cached))
    data = world.wait(files.read(handle, 100 * BLOCK))
    world.wait(files.close(handle))
    return bytes(data)


def test_what_was_read_is_not_asked_for_again(world: World, tmp_path: Path) -> None:
    data = os.urandom(5 * BLOCK + 17)
    write(tmp_path / "f", data, SECOND)
    os.link(tmp_path / "f", tmp_path / "same")
    assert read_all(world, "f") == data
    asked = world.server.bytes_read
    assert read_all(world, "f") == read_all(world, "same") == data
    assert world.server.bytes_read == asked == len(data)
    figures = world.systems[BACK].statistics()["cache"]
    assert figures["hits"] == 5 + 2 * 6
    assert figures["misses"] == 1
    assert figures["bytes"] == len(data)


def test_one_who_reads_in_order_is_read_ahead_of_and_one_who_does_not_is_not(world: World, tmp_path: Path) -> None:
    data = os.urandom(20 * BLOCK)
    write(tmp_path / "f", data, SECOND)
    files = world.systems[BACK]
    handle = world.wait(files.open("f"))
    requests = world.server.requests
    read = b"".join(world.wait(files.read(handle, BLOCK // 4)) for _ in range(4 * READ_AHEAD))
    assert read == data[: len(read)]
    assert world.server.requests - requests == 1
    assert world.server.bytes_read == READ_AHEAD * BLOCK
    assert world.wait(files.pread(handle, 10, 15 * BLOCK + 5)) == data[15 * BLOCK + 5 : 15 * BLOCK + 15]
    assert world.server.bytes_read == (READ_AHEAD + 1) * BLOCK


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, READ_AHEAD * BLOCK, READ_AHEAD * BLOCK + 1])
def test_the_end_is_where_it_is(world: World, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    write(tmp_path / "f", data, SECOND)
    for _ in range(2):
        assert read_all(world, "f") == data
    handle = world.wait(world.systems[BACK].open("f"))
    assert world.wait(world.systems[BACK].pread(handle, 100, max(size - 1, 0))) == data[-1:]
    assert world.wait(world.systems[BACK].pread(handle, 100, size + 5 * BLOCK)) == b""


def test_the_next_open_sees_what_others_changed(world: World, tmp_path: Path) -> None:
    write(tmp_path / "f", b"old", SECOND)
    assert read_all(world, "f") == b"old"
    write(tmp_path / "f", b"new", 2 * SECOND)
    assert read_all(world, "f") == b"new"
    write(tmp_path / "f", b"longer", 2 * SECOND)
    assert read_all(world, "f") == b"longer"
    other = world.systems[OTHER]
    handle = world.wait(other.open("f", "r+"))
    world.wait(other.write(handle, b"OTHER!"))
    assert read_all(world, "f") == b"OTHER!"
    assert world.systems[BACK].statistics()["cache"]["invalidated"] == 3


def test_an_open_file_may_be_read_as_it_was(world: World, tmp_path: Path) -> None:
    write(tmp_path / "f", b"old", SECOND)
    files = world.systems[BACK]
    handle = world.wait(files.open("f"))
    assert world.wait(files.pread(handle, 3, 0)) == b"old"
    write(tmp_path / "f", b"new", 2 * SECOND)
    assert world.wait(files.pread(handle, 3, 0)) == b"old"
    assert read_all(world, "f", cached=False) == b"new"


def test_what_is_written_here_is_read_here(world: World, tmp_path: Path) -> None:
    write(tmp_path / "f", b"0123456789", SECOND)
    files = world.systems[BACK]
    reader, writer = world.wait(files.open("f")), world.wait(files.open("f", "r+", cached=False))
    assert world.wait(files.pread(reader, 4, 2)) == b"2345"
    world.wait(files.pwrite(writer, b"xx", 3))
    assert world.wait(files.pread(reader, 4, 2)) == b"2xx5"
    world.wait(files.close(world.wait(files.open("f", "w"))))
    assert world.wait(files.pread(reader, 4, 2)) == b""


def test_reads_and_writes_on_their_way_at_once_leave_nothing_old(world: World, tmp_path: Path) -> None:
    write(tmp_path / "f", b"old", SECOND)
    files = world.systems[BACK]
    handle = world.wait(files.open("f", "r+"))
    assert world.wait(files.pread(handle, 3, 0)) == b"old"
    world.wait(files.pwrite(handle, b"...", 0))
    futures = [files.pwrite(handle, b"new", 0), files.pread(handle, 3, 0)]
    assert [world.wait(future) for future in futures] == [3, b"new"]
    world.wait(files.pwrite(handle, b"NEW", 0))
    assert world.wait(files.pread(handle, 3, 0)) == b"NEW"


def test_a_file_that_changed_just_now_is_not_trusted_at_the_next_open(world: World, tmp_path: Path) -> None:
    """The kernel's stamps tick: two changes of one length may have the same."""
    write(tmp_path / "f", b"one", world.now - TICK)
    assert read_all(world, "f") == b"one"
    write(tmp_path / "f", b"two", world.now - TICK)
    assert read_all(world, "f") == b"two"
    world.now += 1
    assert read_all(world, "f") == b"two"
    asked = world.server.bytes_read
    assert read_all(world, "f") == b"two"
    assert world.server.bytes_read == asked


def test_it_is_off_unless_it_is_turned_on(tmp_path: Path) -> None:
    write(tmp_path / "f", b"data", SECOND)
    world = World(tmp_path)
    read_all(world, "f")
    read_all(world, "f")
    assert world.server.bytes_read == 8
    read_all(world, "f", cached=True)
    read_all(world, "f", cached=True)
    assert world.server.bytes_read == 12
    world.close()


def test_it_keeps_so_much_and_forgets_what_was_not_read_for_longest() -> None:
    cache = FileCache(3 * BLOCK)
    a, b = (1, 1), (1, 2)
    cache.opened(a, (0, 0))
    cache.opened(b, (0, 0))
    for file, number in ((a, 0), (a, 1), (b, 0)):
        cache.keep(file, cache.begin(file), number, bytes(BLOCK))
    assert cache.find(a, 0) is not None
    cache.keep(b, cache.begin(b), 1, bytes(BLOCK))
    assert cache.find(a, 1) is None
    assert cache.find(a, 0) is not None
    assert cache.statistics() == {"bytes": 3 * BLOCK, "hits": 2, "misses": 1, "invalidated": 0, "evicted": 1}
    for number in range(2, 10):
        cache.keep(b, cache.begin(b), number, bytes(BLOCK))
    cache.drop(a)
    cache.drop(b)
    assert cache.statistics()["bytes"] == 0
