"""Nothing leads out of the File System Ebb's directory: links, "..", renames in the middle, devices and FIFOs."""

import errno
import os
import random
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ebbrt.files.confined import ConfinedDirectory, FileSystemError

READ, WRITE = os.O_RDONLY, os.O_WRONLY


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What must not be reached: a file with a secret, and a directory, beside the shared one."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "inside").mkdir()
    (tmp_path / "shared" / "inside" / "f").write_bytes(b"mine")
    return tmp_path / "outside"


@pytest.fixture
def root(outside: Path) -> Path:
    return outside.parent / "shared"


@pytest.fixture
def confined(root: Path) -> Iterator[ConfinedDirectory]:
    directory = ConfinedDirectory(str(root))
    descriptors = len(os.listdir("/proc/self/fd"))
    yield directory
    assert len(os.listdir("/proc/self/fd")) == descriptors, "a descriptor is left open"
    directory.close()


def read(confined: ConfinedDirectory, path: bytes) -> bytes:
    fd = confined.open_file(path, READ, False, False)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def operations(confined: ConfinedDirectory, path: bytes) -> list[Callable[[], object]]:
    """Everything that can be done with a path."""
    return [
        lambda: confined.open_file(path, READ, False, False),
        lambda: confined.open_file(path, os.O_RDWR, False, False),
        lambda: confined.open_file(path, WRITE, True, False),
        lambda: confined.open_file(path, WRITE, True, True),
        lambda: confined.status(path),
        lambda: confined.names(path),
        lambda: confined.rename(path, b"stolen"),
        lambda: confined.rename(b"inside/f", path),
        lambda: confined.remove(path),
        lambda: confined.make_directory(path),
    ]


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize(
    "path",
    [b"../outside/secret", b"inside/../../outside/secret", b"dir/secret", b"dir/new", b"inside/dir/secret",
     b"../outside/new", b"absolute/secret", b"absolute/new", b"chain/secret", b"..", b"../shared/../outside/secret",
     b"magic/root/etc/passwd", b"magic/cwd/x"],
)  # fmt: skip
def test_no_path_leads_out(confined: ConfinedDirectory, root: Path, outside: Path, path: bytes) -> None:
    (root / "dir").symlink_to("../outside")
    (root / "inside" / "dir").symlink_to("../../outside")
    (root / "absolute").symlink_to(outside)
    (root / "chain").symlink_to("inside/dir")
    (root / "magic").symlink_to("/proc/self")
    before = all_bytes(root.parent)
    for operation in operations(confined, path):
        with pytest.raises(FileSystemError) as caught:
            operation()
        assert caught.value.errno in (errno.EACCES, errno.EINVAL, errno.EXDEV), caught.value
    assert all_bytes(root.parent) == before


def test_a_link_that_leads_out_is_not_opened_but_can_be_renamed_and_removed(
    confined: ConfinedDirectory, root: Path, outside: Path
) -> None:
    (root / "link").symlink_to("../outside/secret")
    for flags in ((READ, False, False), (WRITE, True, False)):
        with pytest.raises(FileSystemError, match="leads out"):
            confined.open_file(b"link", *flags)
    with pytest.raises(FileSystemError, match="leads out"):
        confined.status(b"link")
    with pytest.raises(FileSystemError) as caught:
        confined.open_file(b"link", WRITE, True, True)
    assert caught.value.errno == errno.EEXIST
    confined.rename(b"link", b"inside/link")
    assert (root / "inside" / "link").is_symlink()
    confined.remove(b"inside/link")
    assert (outside / "secret").read_bytes() == b"secret"


def test_a_file_is_not_made_through_a_link_that_leads_nowhere(
    confined: ConfinedDirectory, root: Path, outside: Path
) -> None:
    (root / "link").symlink_to("../outside/new")
    (root / "near").symlink_to("inside/new")
    with pytest.raises(FileSystemError, match="leads out"):
        confined.open_file(b"link", WRITE, True, False)
    with pytest.raises(FileSystemError) as caught:
        confined.open_file(b"near", WRITE, True, False)
    assert caught.value.errno == errno.ENOENT
    assert os.listdir(outside) == ["secret"]


def test_links_and_dots_that_stay_inside_are_followed(confined: ConfinedDirectory, root: Path) -> None:
    (root / "link").symlink_to("inside/../inside/f")
    (root / "up").symlink_to("../inside")
    assert read(confined, b"link") == read(confined, b"inside/../inside/./f") == b"mine"
    assert confined.names(b"inside/..") == [b"inside", b"link", b"up"]
    with pytest.raises(FileSystemError, match="leads out"):  # although it would come back in, were the name the same
        confined.names(b"up")


def test_it_stays_the_directory_it_was(confined: ConfinedDirectory, root: Path, outside: Path) -> None:
    root.rename(root.parent / "elsewhere")
    root.symlink_to(outside)
    assert confined.names(b".") == [b"inside"]
    assert read(confined, b"inside/f") == b"mine"


def test_what_is_no_file_is_not_opened_and_nobody_waits_for_it(confined: ConfinedDirectory, root: Path) -> None:
    os.mkfifo(root / "fifo")
    made = ["fifo", "inside"]
    try:
        os.mknod(root / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        made.append("null")
    except PermissionError:
        pass  # not root: FIFOs must do
    for name in made:
        for flags in ((READ, False), (WRITE, False), (os.O_RDWR, False), (WRITE, True)):
            with pytest.raises(FileSystemError) as caught:
                confined.open_file(name.encode(), *flags, False)
            assert caught.value.errno == (errno.EISDIR if name == "inside" else errno.EINVAL)
    for name in made[:1] + made[2:]:
        confined.remove(name.encode())


def test_a_component_exchanged_all_the_time_never_leads_out(
    confined: ConfinedDirectory, root: Path, outside: Path
) -> None:
    """The attack on those who check a path first: a directory and a link that leads out change places meanwhile."""
    (root / "inside" / "secret").write_bytes(b"decoy")
    (root / "trap").symlink_to("../outside")
    (root / "moved").mkdir()
    over = threading.Event()

    def attack() -> None:
        names = [root / "inside", root / "trap"]
        while not over.is_set():
            names[0].rename(root / "aside")
            names[1].rename(names[0])
            (root / "aside").rename(names[1])

    attacker = threading.Thread(target=attack)
    attacker.start()
    outcomes = set()
    chance = random.Random(1)
    try:
        for _ in range(1500):
            path = chance.choice([b"inside/secret", b"trap/secret", b"moved/../inside/secret"])
            try:
                outcomes.add(read(confined, path))
            except FileSystemError as error:
                outcomes.add(error.errno)
            for change in (
                lambda path=path: confined.rename(path, b"moved/secret"),
                lambda path=path: confined.rename(b"moved/secret", path),
                lambda path=path: os.close(confined.open_file(path + b"2", WRITE, True, False)),
                lambda path=path: confined.remove(path + b"2"),
            ):
                try:
                    change()
                except FileSystemError as error:
                    outcomes.add(error.errno)
    finally:
        over.set()
        attacker.join()
    assert b"secret" not in outcomes
    assert b"decoy" in outcomes
    assert errno.EACCES in outcomes, "the attack never hit"
    assert all_bytes(outside) == {"secret": b"secret"}


def test_a_directory_that_is_none_is_said(root: Path) -> None:
    with pytest.raises(NotADirectoryError):
        ConfinedDirectory(str(root / "inside" / "f"))
    with pytest.raises(FileNotFoundError):
        ConfinedDirectory(str(root / "nothing"))
