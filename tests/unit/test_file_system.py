"""The File System Ebb in both forms, the front-end's and a back-end's: one suite, and what only messages can do."""

import errno
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ebbrt.ebb import FILE_SYSTEM
from ebbrt.files.file_system import FileStatus, FileSystem, FileSystemError, LocalChannel, RemoteChannel
from ebbrt.files.server import (
    CLOSE,
    LARGEST_HANDLE,
    LARGEST_OFFSET,
    LARGEST_TRANSFER,
    MOST_HANDLES,
    OPEN,
    PREAD,
    PWRITE,
    READDIR,
    STAT,
    FileServer,
)
from ebbrt.future import Future
from ebbrt.messages import MessageHandler, RemoteCallError, pack, to_message, unpack
from tests.fake_messenger import FakeNetwork

FRONT, BACK, OTHER = 0, 1, 2
SECOND = 1_000_000_000


class World:
    """A front-end with a directory, and two back-ends."""

    def __init__(self, directory: Path | None, cached: bool = False) -> None:
        self.network = FakeNetwork()
        self.nodes = [self.network.add(number) for number in range(3)]
        self.now = 4_000_000_000 * SECOND  # the wall clock: long after any change
        self.server = FileServer(str(directory) if directory else None, lambda: self.now)
        allocator = self.network.allocator
        self.systems = [FileSystem(LocalChannel(self.server), allocator, self.server, cached)]
        for node in self.nodes[1:]:
            channel = RemoteChannel(node, self.nodes[FRONT].local(), allocator, SECOND)
            self.systems.append(FileSystem(channel, allocator, cached=cached))
        for node, system in zip(self.nodes, self.systems, strict=True):
            node.handlers[FILE_SYSTEM] = system
        self.wait = self.network.wait

    def close(self) -> None:
        self.server.close()
        self.network.close()

    def fails(self, number: int, future: Future[Any]) -> FileSystemError:
        """The error of a future that fails with that errno."""
        with pytest.raises(FileSystemError) as caught:
            self.wait(future)
        assert caught.value.errno == number, caught.value
        return caught.value


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    descriptors = len(os.listdir("/proc/self/fd"))
    yield world
    for node in range(3):
        world.server.node_lost(node)
    assert len(os.listdir("/proc/self/fd")) == descriptors, "a descriptor is left open"
    world.close()


@pytest.fixture(params=[FRONT, BACK], ids=["front-end", "back-end"])
def side(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def files(world: World, side: int) -> FileSystem:
    return world.systems[side]


# Both forms


def test_what_is_written_is_read(world: World, files: FileSystem, tmp_path: Path) -> None:
    handle = world.wait(files.open("a.txt", "w"))
    assert world.wait(files.write(handle, b"hello, ")) == 7
    assert world.wait(files.write(handle, b"world")) == 5
    world.wait(files.close(handle))
    assert (tmp_path / "a.txt").read_bytes() == b"hello, world"
    handle = world.wait(files.open("a.txt"))
    assert world.wait(files.read(handle, 5)) == b"hello"
    assert world.wait(files.read(handle, 100)) == b", world"
    assert world.wait(files.read(handle, 100)) == b""
    assert world.wait(files.pread(handle, 5, 7)) == b"world"
    assert world.wait(files.pread(handle, 5, 70)) == b""
    assert world.wait(files.read(handle, 0)) == b""
    world.wait(files.close(handle))


def test_reads_and_writes_begun_together_follow_each_other(world: World, files: FileSystem, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    handle = world.wait(files.open("f", "r+"))
    futures: list[Future[Any]] = [files.read(handle, 3), files.write(handle, b"xx"), files.read(handle, 3)]
    futures.append(files.close(handle))
    assert [world.wait(future) for future in futures] == [b"012", 2, b"567", None]
    assert (tmp_path / "f").read_bytes() == b"012xx56789"


def test_what_is_larger_than_a_message_goes_in_parts(world: World, files: FileSystem, tmp_path: Path) -> None:
    data = bytes(range(251)) * ((3 * LARGEST_TRANSFER) // 251)
    handle = world.wait(files.open("large", "w"))
    assert world.wait(files.write(handle, data)) == len(data)
    assert world.wait(files.pwrite(handle, b"!", len(data))) == 1
    assert (tmp_path / "large").read_bytes() == data + b"!"
    world.wait(files.close(handle))
    handle = world.wait(files.open("large"))
    assert world.wait(files.read(handle, len(data) + 100)) == data + b"!"
    assert world.server.bytes_written == world.server.bytes_read == len(data) + 1


@pytest.mark.parametrize(
    ("flags", "missing", "present"),
    [("r", errno.ENOENT, b"old"), ("r+", errno.ENOENT, b"NEW"), ("w", b"NEW", b"NEW"), ("a", b"NEW", b"oldNEW"),
     ("x", b"NEW", errno.EEXIST)],
)  # fmt: skip
def test_ways_to_open(world: World, files: FileSystem, tmp_path: Path, flags: str, missing: Any, present: Any) -> None:
    (tmp_path / "present").write_bytes(b"old")
    for name, expected in (("missing", missing), ("present", present)):
        if isinstance(expected, int):
            assert world.fails(expected, files.open(name, flags)).filename == name
            continue
        handle = world.wait(files.open(name, flags))
        if flags == "r":
            assert world.fails(errno.EBADF, files.write(handle, b"NEW")).filename == name
        else:
            world.wait(files.write(handle, b"NEW"))
        if flags not in ("r", "r+"):
            world.fails(errno.EBADF, files.read(handle, 1))
        assert (tmp_path / name).read_bytes() == expected
        world.wait(files.close(handle))


def test_writes_at_the_end_go_to_the_end_whoever_else_writes(world: World, files: FileSystem, tmp_path: Path) -> None:
    ours, theirs = world.wait(files.open("log", "a")), world.wait(world.systems[OTHER].open("log", "a"))
    world.wait(files.write(ours, b"one\n"))
    world.wait(world.systems[OTHER].write(theirs, b"two\n"))
    world.wait(files.write(ours, b"three\n"))
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\n"
    world.fails(errno.EINVAL, files.pwrite(ours, b"x", 0))


def test_an_unknown_way_to_open_is_refused_at_once(files: FileSystem) -> None:
    with pytest.raises(ValueError, match="use one of r, r\\+, w, a, x"):
        files.open("f", "rw")


def test_stat_says_what_a_path_is(world: World, files: FileSystem, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    os.utime(tmp_path / "f", ns=(1, 1_234_567_890_123_456_789))
    (tmp_path / "f").chmod(0o640)
    (tmp_path / "link").symlink_to("f")
    os.mkfifo(tmp_path / "fifo")
    for name in ("f", "link"):
        assert world.wait(files.stat(name)) == FileStatus("file", 5, 1_234_567_890_123_456_789, 0o640)
    assert world.wait(files.stat(".")).kind == "directory"
    assert world.wait(files.stat("fifo")).kind == "other"
    assert world.fails(errno.ENOENT, files.stat("nothing")).filename == "nothing"
    assert world.fails(errno.ENOTDIR, files.stat("f/x")).strerror == "Not a directory"


def test_directories_are_made_listed_and_removed(world: World, files: FileSystem, tmp_path: Path) -> None:
    assert world.wait(files.readdir()) == []
    world.wait(files.mkdir("d"))
    world.fails(errno.EEXIST, files.mkdir("d"))
    world.fails(errno.ENOENT, files.mkdir("no/d"))
    for name in ("b", "a", "ü"):
        (tmp_path / "d" / name).touch()
    (tmp_path / "d" / os.fsdecode(b"\xff")).touch()  # a name that is no text
    names = world.wait(files.readdir("d"))
    assert names == ["a", "b", "ü", os.fsdecode(b"\xff")]
    world.fails(errno.ENOTDIR, files.readdir("d/a"))
    assert world.fails(errno.ENOTEMPTY, files.remove("d")).filename == "d"
    for name in names:
        world.wait(files.remove(f"d/{name}"))
    world.wait(files.remove("d/"))
    assert world.wait(files.readdir(".")) == []


def test_a_long_directory_is_listed_in_parts(
    world: World, files: FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebbrt.files.server.LARGEST_LIST", 1000)
    names = [f"{number:03}" + "x" * 97 for number in range(35)]
    for name in names:
        (tmp_path / name).touch()
    before = world.server.requests
    assert world.wait(files.readdir()) == names
    assert world.server.requests - before == 4


def test_a_directory_with_too_many_names_is_refused(
    world: World, files: FileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ebbrt.files.confined.MOST_NAMES", 3)
    for name in "abc":
        (tmp_path / name).touch()
    assert world.wait(files.readdir()) == ["a", "b", "c"]
    (tmp_path / "d").touch()
    assert "more than 3 names" in world.fails(errno.EOVERFLOW, files.readdir()).strerror


def test_operations_leave_nothing_for_the_garbage_collector(world: World, files: FileSystem) -> None:
    """A node runs with it switched off."""

    def work() -> None:
        handle = world.wait(files.open("f", "r+"))
        futures: list[Future[Any]] = [files.write(handle, b"x"), files.read(handle, 1), files.close(handle)]
        for future in futures:
            world.wait(future)
        world.wait(files.readdir())
        refused = files.stat("nothing")
        world.network.until(refused.done)
        assert refused.error() is not None

    world.wait(files.open("f", "w"))
    work()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            work()
        assert gc.collect() < 20
    finally:
        gc.enable()


def test_rename_replaces_and_moves(world: World, files: FileSystem, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "d" / "b").write_bytes(b"b")
    world.wait(files.rename("a", "d/b"))
    assert (tmp_path / "d" / "b").read_bytes() == b"a"
    assert not (tmp_path / "a").exists()
    assert world.fails(errno.ENOENT, files.rename("a", "b")).filename == "a"
    world.fails(errno.EINVAL, files.rename("d/..", "b"))
    world.fails(errno.EINVAL, files.remove("."))


def test_a_handle_is_good_until_it_is_closed_and_only_here(world: World, files: FileSystem, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    handle = world.wait(files.open("f"))
    world.fails(errno.EBADF, world.systems[OTHER].read(handle, 1))
    world.wait(files.close(handle))
    for future in (files.read(handle, 1), files.pread(handle, 1, 0), files.write(handle, b""), files.close(handle)):
        world.fails(errno.EBADF, future)
    assert files.statistics()["open"] == world.server.statistics()["open"] == 0


def test_a_file_removed_while_open_is_still_there_for_who_has_it(world: World, files: FileSystem) -> None:
    handle = world.wait(files.open("f", "w"))
    world.wait(files.remove("f"))
    assert world.wait(files.write(handle, b"x")) == 1


def test_offsets_that_no_file_has_are_refused(world: World, files: FileSystem) -> None:
    handle = world.wait(files.open("f", "w"))
    for future in (
        files.pread(handle, 1, -1),
        files.pread(handle, -1, 0),
        files.pread(handle, 2, LARGEST_OFFSET),
        files.pwrite(handle, b"x", -1),
        files.pwrite(handle, b"x", LARGEST_OFFSET),
    ):
        world.fails(errno.EINVAL, future)


def test_a_node_has_so_many_files_and_no_more(world: World, files: FileSystem, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    handles = [world.wait(files.open("f")) for _ in range(MOST_HANDLES)]
    assert "close some" in world.fails(errno.EMFILE, files.open("f")).strerror
    other = world.wait(world.systems[OTHER].open("f"))
    world.wait(world.systems[OTHER].close(other))
    world.wait(files.close(handles[7]))
    world.wait(files.open("f"))


def test_without_a_directory_all_is_refused_with_a_reason(side: int) -> None:
    world = World(None)
    files = world.systems[side]
    for future in (
        files.open("f"), files.stat("f"), files.readdir(), files.rename("a", "b"), files.remove("f"), files.mkdir("d")
    ):  # fmt: skip
        assert "name one for the File System" in world.fails(errno.EACCES, future).strerror
    assert files.statistics()["failures"] == 6
    world.close()


# What a node that is lost, slow or hostile can do


def test_a_lost_nodes_files_are_closed_and_no_others(world: World) -> None:
    for number in (BACK, OTHER):
        for name in ("a", "b"):
            world.wait(world.systems[number].open(name, "w"))
    world.systems[FRONT].node_lost(BACK)
    world.systems[FRONT].node_lost(77)
    figures = world.server.statistics()
    assert (figures["open"], figures["nodes_lost"]) == (2, 1)
    assert world.wait(world.systems[OTHER].write(0, b"x")) == 1
    world.fails(errno.EBADF, world.systems[BACK].write(0, b"x"))


def test_without_an_answer_operations_fail_in_time(world: World, tmp_path: Path) -> None:
    files = world.systems[BACK]
    handle = world.wait(files.open("f", "w"))
    world.network.cut(BACK)
    before = world.network.clock.now()
    pending: list[Future[Any]] = [files.write(handle, b"x"), files.stat("f"), files.open("g", "w"), files.readdir()]
    for future in pending:
        world.fails(errno.ETIMEDOUT, future)
    assert world.network.clock.now() - before <= 1.01 * SECOND
    world.network.mend(BACK)
    world.wait(files.stat("f"))
    assert world.server.statistics()["open"] == 1, "the file whose open got no answer was not closed"
    world.network.cut(BACK)
    pending = [files.read(handle, 1), files.stat("f"), files.close(handle)]
    world.nodes[BACK].node_lost(FRONT, "it died")
    for future in pending:
        world.fails(errno.ECONNRESET, future)


def test_too_much_on_the_way_is_said(world: World) -> None:
    world.nodes[BACK].full = True
    assert "too much is queued" in world.fails(errno.ENOBUFS, world.systems[BACK].stat("f")).strerror


def ask(world: World, request: Any) -> Any:
    """What the front-end answers to this from a back-end."""
    allocator = world.network.allocator
    data = to_message(allocator, request) if isinstance(request, bytes) else pack(allocator, request)
    return unpack(world.wait(world.nodes[BACK].call(world.nodes[FRONT].local(), FILE_SYSTEM, data, SECOND)))


@pytest.mark.parametrize(
    "request_",
    [b"", b"\xc1", b"\x93\x01", None, 7, "text", {}, [], [None], [[]], [0], [99], [True, b"f"], [OPEN],
     [OPEN, 0, b"f"], [OPEN, -1, b"f", "r"], [OPEN, LARGEST_HANDLE + 1, b"f", "r"], [OPEN, 0, "f", "r"],
     [OPEN, 0, b"f", "rw"], [OPEN, 0, b"f", 2], [OPEN, 0, b"f", "r", 0], [CLOSE, "0"], [CLOSE, None],
     [PREAD, 0, LARGEST_TRANSFER + 1, 0], [PREAD, 0, -1, 0], [PREAD, 0, 1, -1], [PREAD, 0, 1, 1 << 63],
     [PREAD, 0, True, 0], [PWRITE, 0, "text", 0], [PWRITE, 0, bytes(LARGEST_TRANSFER + 1), 0],
     [PWRITE, 0, b"", -2], [STAT, None], [STAT, [b"f"]], [READDIR, b"."], [READDIR, b".", None]],
)  # fmt: skip
def test_a_malformed_request_is_answered_with_an_error_and_counted(world: World, request_: Any) -> None:
    number, path, text = ask(world, request_)
    assert (number, path) == (errno.EINVAL, b"")
    assert "malformed request" in text
    assert world.server.statistics()["malformed"] == 1
    world.wait(world.systems[BACK].mkdir("still-works"))


@pytest.mark.parametrize(
    ("path", "number"),
    [(b"", errno.ENOENT), (b"a\0b", errno.EINVAL), (b"/etc/passwd", errno.EACCES), (b"x" * 4096, errno.ENAMETOOLONG),
     (b"x" * 256, errno.ENAMETOOLONG), (b"..", errno.EACCES), (b"a/../..", errno.ENOENT)],
)  # fmt: skip
def test_paths_that_are_none_are_refused(world: World, path: bytes, number: int) -> None:
    assert ask(world, [STAT, path])[0] == number
    assert ask(world, [OPEN, 0, path, "r"])[0] == number
    assert ask(world, [READDIR, path, b""])[0] == number
    assert world.server.statistics()["malformed"] == 0


def test_a_handle_is_opened_once(world: World, tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    assert ask(world, [OPEN, 5, b"f", "r"])[0] == 0
    assert ask(world, [OPEN, 5, b"f", "r"])[0] == errno.EEXIST
    assert ask(world, [CLOSE, 5]) == [0, None]
    assert ask(world, [CLOSE, 5])[0] == errno.EBADF


def test_a_back_end_answers_nobody(world: World) -> None:
    data = pack(world.network.allocator, [STAT, b"."])
    with pytest.raises(RemoteCallError, match="not the front-end"):
        world.wait(world.nodes[OTHER].call(world.nodes[BACK].local(), FILE_SYSTEM, data, SECOND))
    world.nodes[OTHER].send(world.nodes[BACK].local(), FILE_SYSTEM, pack(world.network.allocator, 1))
    world.network.pass_time(0.01)
    assert world.systems[BACK].statistics()["refused"] == 2


@pytest.mark.parametrize(
    "answer",
    [b"\xc1", None, [], [0], [0, "text"], [0, 7], [0, [1]], [0, [[b"a"], False, 3]], ["x", b"", ""], [5, b""],
     [5, 6, 7], [0, [["a"], False]], [0, [[], True]]],
)  # fmt: skip
def test_an_answer_that_makes_no_sense_fails_the_operation(world: World, answer: Any) -> None:
    class Nonsense(MessageHandler):
        def receive_call(self, sender: Any, data: Any) -> Any:
            allocator = world.network.allocator
            return to_message(allocator, answer) if isinstance(answer, bytes) else pack(allocator, answer)

    world.nodes[FRONT].handlers[FILE_SYSTEM] = Nonsense()
    files = world.systems[BACK]
    operations: list[Callable[[], Future[Any]]] = [
        lambda: files.open("f"), lambda: files.stat("f"), lambda: files.readdir(), lambda: files.mkdir("d")
    ]  # fmt: skip
    for operation in operations:
        world.fails(errno.EPROTO, operation())
