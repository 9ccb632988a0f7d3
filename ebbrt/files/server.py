"""The front-end's side of the File System Ebb: carries out requests on the directory that the user named.

A request is plain data, a list: an operation and its arguments, with paths as bytes.

| operation | arguments | result |
|---|---|---|
| OPEN | handle, path, one of FLAGS | size, time of change (ns), device, inode, whether that time is well past |
| CLOSE | handle | |
| PREAD | handle, count, offset | bytes; fewer at the end |
| PWRITE | handle, bytes, offset (of an "a" handle: -1, the end) | how many were written |
| STAT | path | kind, size, time of change in ns, permissions |
| READDIR | path, name (or nothing) | names after that one, sorted, and whether there are more |
| RENAME | old, new | |
| REMOVE, MKDIR | path | |

The handle's number is the node's choice, so that a node that never heard of its OPEN's success can still close it.
Positions are the node's business too: a request can be lost, so the server remembers none.

Everything a node sends is checked, bounded and counted. Files are read and written on the event loop: a slow disk
holds it up for as long as one operation, of at most 512 KiB, takes.
"""

import errno
import os
import resource
import stat
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from ebbrt.files.confined import ConfinedDirectory, FileSystemError

OPEN, CLOSE, PREAD, PWRITE, STAT, READDIR, RENAME, REMOVE, MKDIR = range(1, 10)
LARGEST_TRANSFER = 512 << 10  # bytes in one request or reply
LARGEST_LIST = 256 << 10  # bytes of names in one reply
MOST_HANDLES = 256  # of one node
LARGEST_HANDLE = (1 << 31) - 1
LARGEST_OFFSET = (1 << 63) - 1 - LARGEST_TRANSFER
AT_THE_END = -1
# The kernel stamps files with a clock that ticks every few ms: a file changed this recently may change again unseen.
TICK = 50_000_000

# What may be asked for: how the file is opened, whether it is made, whether it must be, whether it is emptied.
FLAGS: dict[str, tuple[int, bool, bool, bool]] = {
    "r": (os.O_RDONLY, False, False, False),
    "r+": (os.O_RDWR, False, False, False),
    "w": (os.O_WRONLY, True, False, True),
    "a": (os.O_WRONLY | os.O_APPEND, True, False, False),
    "x": (os.O_WRONLY, True, True, False),
}


class _Open(NamedTuple):
    """One open file of a node."""

    fd: int
    access: int
    path: str


class FileServer:
    """Serves the files beneath ``directory``; without one it refuses everything and says why.

    ``wall_clock`` gives the time by which files are stamped, in nanoseconds.
    """

    def __init__(self, directory: str | None, wall_clock: Callable[[], int] = time.time_ns) -> None:
        self._root = None if directory is None else ConfinedDirectory(directory)
        self._wall_clock = wall_clock
        self._handles: dict[int, dict[int, _Open]] = {}  # by node
        # The front-end needs descriptors for other things too.
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most_in_all = limit // 2 if limit != resource.RLIM_INFINITY else LARGEST_HANDLE
        self._open_in_all = 0
        self._operations: dict[Any, tuple[Callable[..., Any], tuple[Callable[[Any], bool], ...]]] = {
            OPEN: (self._open, (_is_handle, _is_path, _is_flags)),
            CLOSE: (self._close, (_is_handle,)),
            PREAD: (self._pread, (_is_handle, _is_count, _is_offset)),
            PWRITE: (self._pwrite, (_is_handle, _is_data, _is_offset_or_end)),
            STAT: (self._stat, (_is_path,)),
            READDIR: (self._readdir, (_is_path, _is_path)),
            RENAME: (self._rename, (_is_path, _is_path)),
            REMOVE: (self._remove, (_is_path,)),
            MKDIR: (self._mkdir, (_is_path,)),
        }
        self.requests = 0
        self.refused = 0
        self.malformed = 0
        self.bytes_read = 0
        self.bytes_written = 0
        self.nodes_lost = 0

    def carry_out(self, node: int, request: Any) -> Any:
        """Do what node number ``node`` asks; its result. Raises FileSystemError, whatever the request is."""
        self.requests += 1
        try:
            return self._carry_out(node, request)
        except FileSystemError:
            self.refused += 1
            raise
        except OSError as error:
            self.refused += 1
            raise FileSystemError(error.errno or errno.EIO, "") from None

    def node_lost(self, number: int) -> None:
        """A node has died or was freed: close its files."""
        handles = self._handles.pop(number, {})
        if handles:
            self.nodes_lost += 1
        for opened in handles.values():
            self._open_in_all -= 1
            os.close(opened.fd)

    def close(self) -> None:
        """Close everything."""
        for number in list(self._handles):
            self.node_lost(number)
        if self._root is not None:
            self._root.close()
            self._root = None

    def statistics(self) -> dict[str, int]:
        """Requests, those refused and among them malformed; open files; bytes read and written."""
        return {
            "requests": self.requests,
            "refused": self.refused,
            "malformed": self.malformed,
            "open": self._open_in_all,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
            "nodes_lost": self.nodes_lost,
        }

    def _carry_out(self, node: int, request: Any) -> Any:
        if not isinstance(request, list) or not request or type(request[0]) is not int:
            raise self._malformed("it is not a list that begins with an operation")
        function, checks = self._operations.get(request[0], (None, ()))
        arguments = request[1:]
        if function is None:
            raise self._malformed(f"there is no operation {request[0]}")
        if len(arguments) != len(checks) or not all(
            check(value) for check, value in zip(checks, arguments, strict=True)
        ):
            raise self._malformed(f"these are not the arguments of operation {request[0]}")
        return function(node, *arguments)

    def _malformed(self, text: str) -> FileSystemError:
        self.malformed += 1
        return FileSystemError(errno.EINVAL, "", f"malformed request: {text}")

    def _directory(self) -> ConfinedDirectory:
        if self._root is None:
            raise FileSystemError(
                errno.EACCES, "", "no directory is shared: name one for the File System when the front-end starts"
            )
        return self._root

    def _handle(self, node: int, handle: int) -> _Open:
        opened = self._handles.get(node, {}).get(handle)
        if opened is None:
            raise FileSystemError(errno.EBADF, "", f"node {node} has no open file {handle}")
        return opened

    # The operations

    def _open(self, node: int, handle: int, path: bytes, flags: str) -> list[Any]:
        directory = self._directory()
        handles = self._handles.get(node, {})
        if handle in handles:
            raise FileSystemError(errno.EEXIST, os.fsdecode(path), f"node {node} has an open file {handle}")
        if len(handles) >= MOST_HANDLES or self._open_in_all >= self._most_in_all:
            raise FileSystemError(
                errno.EMFILE, os.fsdecode(path), f"{len(handles)} files are open on node {node}: close some"
            )
        access, create, exclusive, truncate = FLAGS[flags]
        fd = directory.open_file(path, access, create, exclusive)
        try:
            if truncate:
                os.ftruncate(fd, 0)
            status = os.fstat(fd)
        except OSError:
            os.close(fd)
            raise
        self._handles.setdefault(node, {})[handle] = _Open(fd, access, os.fsdecode(path))
        self._open_in_all += 1
        settled = status.st_mtime_ns < self._wall_clock() - TICK
        return [status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino, settled]

    def _close(self, node: int, handle: int) -> None:
        opened = self._handle(node, handle)
        del self._handles[node][handle]
        if not self._handles[node]:
            del self._handles[node]
        self._open_in_all -= 1
        try:
            os.close(opened.fd)
        except OSError as error:  # what was written before did not reach the disk
            raise FileSystemError(error.errno or errno.EIO, opened.path) from None

    def _pread(self, node: int, handle: int, count: int, offset: int) -> bytes:
        opened = self._handle(node, handle)
        if opened.access & os.O_WRONLY:
            raise FileSystemError(errno.EBADF, opened.path, "the file is open for writing only")
        try:
            data = os.pread(opened.fd, count, offset)
        except OSError as error:
            raise FileSystemError(error.errno or errno.EIO, opened.path) from None
        self.bytes_read += len(data)
        return data

    def _pwrite(self, node: int, handle: int, data: bytes, offset: int) -> int:
        opened = self._handle(node, handle)
        if opened.access & os.O_ACCMODE == os.O_RDONLY:
            raise FileSystemError(errno.EBADF, opened.path, "the file is open for reading only")
        if bool(opened.access & os.O_APPEND) != (offset == AT_THE_END):
            raise FileSystemError(
                errno.EINVAL, opened.path, 'a file opened with "a" is written at its end, no other is'
            )
        try:
            if offset == AT_THE_END:
                count = os.write(opened.fd, data)
            else:
                count = os.pwrite(opened.fd, data, offset)
        except OSError as error:
            raise FileSystemError(error.errno or errno.EIO, opened.path) from None
        self.bytes_written += count
        return count

    def _stat(self, node: int, path: bytes) -> list[Any]:
        status = self._directory().status(path)
        if stat.S_ISREG(status.st_mode):
            kind = "file"
        elif stat.S_ISDIR(status.st_mode):
            kind = "directory"
        else:
            kind = "other"
        return [kind, status.st_size, status.st_mtime_ns, stat.S_IMODE(status.st_mode)]

    def _readdir(self, node: int, path: bytes, after: bytes) -> list[Any]:
        names = [name for name in self._directory().names(path) if name > after]
        size = 0
        for index, name in enumerate(names):
            size += len(name)
            if size > LARGEST_LIST:
                return [names[:index], True]
        return [names, False]

    def _rename(self, node: int, old: bytes, new: bytes) -> None:
        self._directory().rename(old, new)

    def _remove(self, node: int, path: bytes) -> None:
        self._directory().remove(path)

    def _mkdir(self, node: int, path: bytes) -> None:
        self._directory().make_directory(path)


def _is_handle(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_HANDLE


def _is_path(value: Any) -> bool:
    return isinstance(value, bytes)


def _is_flags(value: Any) -> bool:
    return isinstance(value, str) and value in FLAGS


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_TRANSFER


def _is_offset(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST_OFFSET


def _is_offset_or_end(value: Any) -> bool:
    return _is_offset(value) or (type(value) is int and value == AT_THE_END)


def _is_data(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) <= LARGEST_TRANSFER
