"""A directory that cannot be left: every path is resolved by the kernel beneath it, in one step.

``openat2`` with RESOLVE_BENEATH (Linux 5.6) refuses whatever would lead out, symbolic links and ``..`` included, while
it walks: nothing is checked first and used later, so nobody can exchange a component in between. What works on names
(rename, remove, make a directory) opens the parent so and gives the kernel the last name alone, which it does not
follow.

What is mounted beneath the directory belongs to it, and so does a hard link to a file elsewhere: whoever could make
them had the right to share.

Only regular files are opened. A file that exists is opened with O_PATH first, which has no effect on a device and does
not wait for the other end of a FIFO; that very inode is then opened for use, through /proc/self/fd.
"""

import ctypes
import errno
import os
import stat

OPENAT2 = 437  # the same on every architecture
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_BENEATH = 0x08
LONGEST_PATH = 4095  # bytes; the kernel's own limit
NEW_FILE_MODE = 0o666  # less the umask
NEW_DIRECTORY_MODE = 0o777
# openat2 gives up with EAGAIN when something was renamed while it went through "..", and a file may come and go
# between two attempts to open it.
TRIES = 64
MOST_NAMES = 100_000  # in one directory

_libc = ctypes.CDLL(None, use_errno=True)


class FileSystemError(OSError):
    """An operation on a file failed: ``errno``, ``strerror`` and ``filename`` say how and where."""

    def __init__(self, number: int, path: str, text: str = "") -> None:
        super().__init__(number, text or os.strerror(number), path)


class _OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class ConfinedDirectory:
    """Files beneath the directory that ``path`` names now. Paths are bytes, relative to it; all raise FileSystemError.

    It stays that directory when ``path`` is renamed or comes to name another. Raises OSError when there is none.
    """

    def __init__(self, path: str) -> None:
        self._root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(self._open_beneath(b".", os.O_PATH))
        except FileSystemError as error:
            self.close()
            if error.errno == errno.ENOSYS:
                raise OSError(
                    errno.ENOSYS, "this kernel has no openat2: files can be shared from Linux 5.6 on"
                ) from None
            raise

    def open_file(self, path: bytes, access: int, create: bool, exclusive: bool) -> int:
        """A descriptor of a regular file; ``access`` is O_RDONLY, O_WRONLY or O_RDWR, maybe with O_APPEND."""
        error = FileSystemError(errno.ENOENT, os.fsdecode(path))
        for _ in range(TRIES):
            if create:
                try:
                    return self._open_beneath(path, access | os.O_CREAT | os.O_EXCL, NEW_FILE_MODE)
                except FileSystemError as failure:
                    if failure.errno != errno.EEXIST or exclusive:
                        raise
            try:
                return self._open_existing(path, access)
            except FileSystemError as failure:
                if failure.errno != errno.ENOENT or not create:
                    raise
                error = failure
        raise error

    def status(self, path: bytes) -> os.stat_result:
        """What stat says of it; links that stay beneath the directory are followed."""
        fd = self._open_beneath(path, os.O_PATH)
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def names(self, path: bytes) -> list[bytes]:
        """The names in a directory, sorted, without "." and ".."."""
        fd = self._open_beneath(path, os.O_RDONLY | os.O_DIRECTORY)
        names: list[bytes] = []
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if len(names) == MOST_NAMES:
                        raise FileSystemError(
                            errno.EOVERFLOW, os.fsdecode(path), f"the directory has more than {MOST_NAMES} names"
                        )
                    names.append(os.fsencode(entry.name))
        finally:
            os.close(fd)
        return sorted(names)

    def rename(self, old: bytes, new: bytes) -> None:
        """As rename(2): a file in the place of ``new`` is replaced; a link is renamed, not followed."""
        old_parent, old_name = self._parent(old)
        try:
            new_parent, new_name = self._parent(new)
            try:
                os.rename(old_name, new_name, src_dir_fd=old_parent, dst_dir_fd=new_parent)
            except OSError as error:
                raise _named(error, old) from None
            finally:
                os.close(new_parent)
        finally:
            os.close(old_parent)

    def remove(self, path: bytes) -> None:
        """Remove a file, a link itself, or an empty directory."""
        parent, name = self._parent(path)
        try:
            try:
                os.unlink(name, dir_fd=parent)
            except IsADirectoryError:
                os.rmdir(name, dir_fd=parent)
        except OSError as error:
            raise _named(error, path) from None
        finally:
            os.close(parent)

    def make_directory(self, path: bytes) -> None:
        """Make a directory in one that is there."""
        parent, name = self._parent(path)
        try:
            os.mkdir(name, NEW_DIRECTORY_MODE, dir_fd=parent)
        except OSError as error:
            raise _named(error, path) from None
        finally:
            os.close(parent)

    def close(self) -> None:
        """Give the directory's descriptor back."""
        os.close(self._root)

    def _open_existing(self, path: bytes, access: int) -> int:
        fd = self._open_beneath(path, os.O_PATH)
        try:
            mode = os.fstat(fd).st_mode
            if stat.S_ISDIR(mode):
                raise FileSystemError(errno.EISDIR, os.fsdecode(path))
            if not stat.S_ISREG(mode):
                raise FileSystemError(errno.EINVAL, os.fsdecode(path), "not a regular file: it is not opened")
            # O_NONBLOCK: a lease that somebody holds on the file must not keep us waiting.
            return os.open(f"/proc/self/fd/{fd}", access | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileSystemError:
            raise
        except OSError as error:
            raise _named(error, path) from None
        finally:
            os.close(fd)

    def _parent(self, path: bytes) -> tuple[int, bytes]:
        """A descriptor of the directory that holds ``path``, and its last name."""
        _check(path)
        head, _, name = path.rstrip(b"/").rpartition(b"/")
        if name in (b"", b".", b".."):
            raise FileSystemError(errno.EINVAL, os.fsdecode(path), "the path does not end in a name")
        return self._open_beneath(head or b".", os.O_PATH | os.O_DIRECTORY), name

    def _open_beneath(self, path: bytes, flags: int, mode: int = 0) -> int:
        _check(path)
        how = _OpenHow(flags | os.O_CLOEXEC, mode, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
        number = 0
        for _ in range(TRIES):
            fd: int = _libc.syscall(
                ctypes.c_long(OPENAT2), self._root, path, ctypes.byref(how), ctypes.c_size_t(ctypes.sizeof(how))
            )
            if fd >= 0:
                return fd
            number = ctypes.get_errno()
            if number not in (errno.EAGAIN, errno.EINTR):
                break
        if number == errno.EXDEV:
            raise FileSystemError(
                errno.EACCES, os.fsdecode(path), "the path leads out of the directory that is shared"
            )
        raise FileSystemError(number, os.fsdecode(path))


def _check(path: bytes) -> None:
    """Refuse what the kernel would take for something else."""
    if not path:
        raise FileSystemError(errno.ENOENT, "", "the path is empty")
    if b"\0" in path:
        raise FileSystemError(errno.EINVAL, os.fsdecode(path), "the path has a zero byte in it")
    if len(path) > LONGEST_PATH:
        raise FileSystemError(errno.ENAMETOOLONG, os.fsdecode(path[:64]) + "...")
    if path.startswith(b"/"):
        raise FileSystemError(errno.EACCES, os.fsdecode(path), "paths are relative to the directory that is shared")


def _named(error: OSError, path: bytes) -> FileSystemError:
    return FileSystemError(error.errno or errno.EIO, os.fsdecode(path))
