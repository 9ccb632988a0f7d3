"""The File System Ebb: the files of the front-end's machine, from every node, beneath one directory the user names.

The front-end's representative works on the files themselves (``FileServer``), a back-end's asks the front-end by
messages (paper section 2.1: back-ends offload what they lack). Both are ``FileSystem``; only their ``FileChannel``
differs. Paths are relative to the directory and cannot leave it. A handle is a number that is this node's; what a node
has open is closed when it is lost.

**What is promised.** Every operation resolves or fails with a FileSystemError. Its ``errno`` is the front-end's own
when an operation on files failed there. ETIMEDOUT, ECONNRESET and EPROTO mean that no answer came: a write, rename,
remove or mkdir may have been done or not. Reads and writes of any size go in parts of 512 KiB, each with the time
limit: a long one is not atomic, and a write that fails may have been done in part. When ``write`` resolves, the data
have reached the front-end's kernel, not its disk.

**The cache**, where it is turned on, promises close-to-open: after ``open``, reads give what was in the file at that
moment, or later. A change by others while it is open may be seen in part, or only by the next ``open``. What is
written through the same representative is seen by all of its reads that begin after the write resolved.
"""

import errno
import os
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from ebbrt.ebb import FILE_SYSTEM
from ebbrt.files.cache import BLOCK, READ_AHEAD, FileCache, FileId
from ebbrt.files.confined import FileSystemError
from ebbrt.files.server import (
    AT_THE_END,
    CLOSE,
    FLAGS,
    LARGEST_HANDLE,
    LARGEST_OFFSET,
    LARGEST_TRANSFER,
    MKDIR,
    OPEN,
    PREAD,
    PWRITE,
    READDIR,
    REMOVE,
    RENAME,
    STAT,
    FileServer,
)
from ebbrt.future import Future, TimedOutError
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import (
    FRONT_END,
    BackPressureError,
    MessageHandler,
    Messenger,
    MessengerError,
    NodeId,
    RemoteCallError,
    pack,
    unpack,
)
from ebbrt.steps import Turns, run_steps

T = TypeVar("T")

DEFAULT_TIMEOUT = 10_000_000_000  # ns, for one message and its answer
UNANSWERED = (errno.ETIMEDOUT, errno.EPROTO, errno.ECONNRESET)


class FileStatus(NamedTuple):
    """What ``stat`` gives."""

    kind: str  # "file", "directory" or "other": a device, socket or FIFO, which is never opened
    size: int  # bytes
    modified: int  # ns since 1970
    permissions: int  # as chmod's


class FileChannel:
    """The way to the server that has the files."""

    async def ask(self, operation: int, *arguments: Any) -> Any:
        """The operation's result (``ebbrt.files.server``). Raises FileSystemError."""
        raise NotImplementedError


class LocalChannel(FileChannel):
    """The front-end's: the server is here."""

    def __init__(self, server: FileServer) -> None:
        self._server = server

    async def ask(self, operation: int, *arguments: Any) -> Any:
        """See FileChannel."""
        return self._server.carry_out(FRONT_END, [operation, *arguments])


class RemoteChannel(FileChannel):
    """A back-end's. The answer to a request is ``[0, result]`` or ``[errno, path, text]``."""

    def __init__(
        self, messenger: Messenger, front_end: NodeId, allocator: MemoryAllocator, timeout: int = DEFAULT_TIMEOUT
    ) -> None:
        self._messenger = messenger
        self._front_end = front_end
        self._allocator = allocator
        self._timeout = timeout

    async def ask(self, operation: int, *arguments: Any) -> Any:
        """See FileChannel."""
        try:
            request = pack(self._allocator, [operation, *arguments])
            answer = await self._messenger.call(self._front_end, FILE_SYSTEM, request, self._timeout)
        except TimedOutError:
            raise FileSystemError(errno.ETIMEDOUT, "", "the front-end did not answer in time") from None
        except MemoryError:
            raise FileSystemError(errno.ENOMEM, "", "no node memory for a message") from None
        except BackPressureError as error:
            raise FileSystemError(errno.ENOBUFS, "", f"the front-end was not asked: {error}") from None
        except RemoteCallError as error:
            raise FileSystemError(errno.EPROTO, "", f"the front-end has no answer: {error}") from None
        except MessengerError as error:
            raise FileSystemError(errno.ECONNRESET, "", f"the front-end was not reached: {error}") from None
        try:
            number, *result = unpack(answer)
            if number == 0:
                return result[0]
            path, text = result
            failure = FileSystemError(int(number), os.fsdecode(path), str(text))
        except (ValueError, TypeError, IndexError):
            failure = _nonsense()
        raise failure


class _File:
    """One open file of this node."""

    def __init__(self, handle: int, path: str, appends: bool, file: FileId, cached: bool) -> None:
        self.handle = handle
        self.path = path
        self.appends = appends
        self.file = file
        self.cached = cached
        self.position = 0
        self.next_block = 0  # what a reader in order would want next
        self.turns = Turns()  # of those who use the position


class FileSystem(MessageHandler):
    """One node's representative; ``cached`` is what ``open`` does when it is not told.

    The front-end's is given the ``server`` and answers back-ends from it, with buffers of ``allocator``.
    """

    def __init__(
        self,
        channel: FileChannel,
        allocator: MemoryAllocator,
        server: FileServer | None = None,
        cached: bool = False,
    ) -> None:
        self.cache = FileCache()
        self._channel = channel
        self._allocator = allocator
        self._server = server
        self._cached = cached
        self._files: dict[int, _File] = {}
        self._next_handle = 0
        self.operations = 0
        self.failures = 0
        self.refused = 0

    def open(self, path: str, flags: str = "r", cached: bool | None = None) -> Future[int]:
        """A handle of a regular file.

        ``flags``: "r" to read; "r+" to read and write; "w" to write, made or emptied; "a" to write at the end, made
        if need be; "x" to write, made, EEXIST if it is there. ``cached`` turns the cache on or off for this handle.
        """
        if flags not in FLAGS:
            raise ValueError(f"{flags!r} is no way to open a file: use one of {', '.join(FLAGS)}")
        return self._run(self._open(path, flags, self._cached if cached is None else cached))

    def close(self, handle: int) -> Future[None]:
        """Close it, after the reads and writes begun before."""
        return self._run(self._close(handle))

    def read(self, handle: int, count: int) -> Future[bytes]:
        """Up to ``count`` bytes from where the last read or write ended; fewer only at the end of the file."""
        return self._run(self._read(handle, count))

    def write(self, handle: int, data: bytes) -> Future[int]:
        """Write all of ``data`` where the last read or write ended, or at the end if opened so; its length."""
        return self._run(self._write(handle, data))

    def pread(self, handle: int, count: int, offset: int) -> Future[bytes]:
        """Up to ``count`` bytes from ``offset`` on; fewer only at the end of the file."""
        return self._run(self._pread(handle, count, offset))

    def pwrite(self, handle: int, data: bytes, offset: int) -> Future[int]:
        """Write all of ``data`` at ``offset``; its length. EINVAL for a file opened with "a"."""
        return self._run(self._pwrite(handle, data, offset))

    def stat(self, path: str) -> Future[FileStatus]:
        """What ``path`` is; links that stay beneath the directory are followed."""
        return self._run(self._stat(path))

    def readdir(self, path: str = ".") -> Future[list[str]]:
        """The names in a directory, sorted, without "." and ".."; of one that changes meanwhile, some or all."""
        return self._run(self._readdir(path))

    def rename(self, old: str, new: str) -> Future[None]:
        """Give a file or directory another name, in the place of a file that has it."""
        return self._run(self._ask(type(None), RENAME, os.fsencode(old), os.fsencode(new)))

    def remove(self, path: str) -> Future[None]:
        """Remove a file, a link itself, or an empty directory."""
        return self._run(self._ask(type(None), REMOVE, os.fsencode(path)))

    def mkdir(self, path: str) -> Future[None]:
        """Make a directory in one that is there."""
        return self._run(self._ask(type(None), MKDIR, os.fsencode(path)))

    def receive_message(self, sender: NodeId, data: IOBuf) -> None:
        """Nobody has reason to send one: counted."""
        self.refused += 1

    def receive_call(self, sender: NodeId, data: IOBuf) -> IOBuf:
        """A back-end's request, which only the front-end carries out."""
        if self._server is None:
            self.refused += 1
            raise FileSystemError(errno.EOPNOTSUPP, "", "this node is not the front-end: it has no files")
        try:
            try:
                request = unpack(data)
            except ValueError:
                request = None  # which the server refuses and counts
            answer = [0, self._server.carry_out(sender.number, request)]
        except FileSystemError as error:
            answer = [error.errno, os.fsencode(error.filename), error.strerror]
        return pack(self._allocator, answer)

    def node_lost(self, number: int) -> None:
        """In the front-end: close what a node that is gone had open."""
        if self._server is not None:
            self._server.node_lost(number)

    def statistics(self) -> dict[str, Any]:
        """Operations, those that failed, requests refused, open files; the cache's counters; the server's."""
        figures: dict[str, Any] = {
            "operations": self.operations,
            "failures": self.failures,
            "refused": self.refused,
            "open": len(self._files),
            "cache": self.cache.statistics(),
        }
        if self._server is not None:
            figures["server"] = self._server.statistics()
        return figures

    # The operations, in steps

    def _run(self, steps: Coroutine[Any, Any, T]) -> Future[T]:
        self.operations += 1
        return run_steps(self._counted(steps))

    async def _counted(self, steps: Coroutine[Any, Any, T]) -> T:
        try:
            return await steps
        except FileSystemError:
            self.failures += 1
            raise

    async def _ask(self, kind: type, operation: int, *arguments: Any) -> Any:
        """The result, which is to be of this kind."""
        result = await self._channel.ask(operation, *arguments)
        if not isinstance(result, kind):
            raise _nonsense()
        return result

    def _file(self, handle: int) -> _File:
        file = self._files.get(handle)
        if file is None:
            raise FileSystemError(errno.EBADF, "", f"{handle} is not an open file of this node")
        return file

    async def _open(self, path: str, flags: str, cached: bool) -> int:
        handle = self._next_handle
        self._next_handle = handle + 1 if handle < LARGEST_HANDLE else 0
        try:
            opened = await self._ask(list, OPEN, handle, os.fsencode(path), flags)
            size, modified, device, inode, settled = opened
        except FileSystemError as error:
            if error.errno in UNANSWERED:
                # It may be open over there.
                run_steps(self._ask(type(None), CLOSE, handle)).when_done(_whatever_came)
            raise
        except ValueError:
            raise _nonsense() from None
        file = _File(handle, path, flags == "a", (device, inode), cached)
        self.cache.opened(file.file, (size, modified) if settled else None)
        self._files[handle] = file
        return handle

    async def _close(self, handle: int) -> None:
        file = self._file(handle)
        del self._files[handle]
        await file.turns.take()
        await self._ask(type(None), CLOSE, handle)

    async def _read(self, handle: int, count: int) -> bytes:
        file = self._file(handle)
        await file.turns.take()
        try:
            data = await self._read_at(file, count, file.position)
            file.position += len(data)
            return data
        finally:
            file.turns.give()

    async def _write(self, handle: int, data: bytes) -> int:
        file = self._file(handle)
        await file.turns.take()
        try:
            count = await self._write_at(file, data, AT_THE_END if file.appends else file.position)
            file.position += count
            return count
        finally:
            file.turns.give()

    async def _pread(self, handle: int, count: int, offset: int) -> bytes:
        return await self._read_at(self._file(handle), count, offset)

    async def _pwrite(self, handle: int, data: bytes, offset: int) -> int:
        file = self._file(handle)
        if file.appends:
            raise FileSystemError(errno.EINVAL, file.path, "the file was opened to be written at its end")
        return await self._write_at(file, data, offset)

    async def _read_at(self, file: _File, count: int, offset: int) -> bytes:
        if count < 0 or offset < 0 or offset + count > LARGEST_OFFSET:
            raise FileSystemError(errno.EINVAL, file.path, f"no file has {count} bytes at {offset}")
        pieces = []
        while count > 0:
            if file.cached:
                number, skip = divmod(offset, BLOCK)
                block = await self._block(file, number, -(-(skip + count) // BLOCK))
                piece = block[skip : skip + count]
                ended = len(block) < BLOCK
            else:
                wanted = min(count, LARGEST_TRANSFER)
                piece = await self._ask(bytes, PREAD, file.handle, wanted, offset)
                ended = len(piece) < wanted
            pieces.append(piece)
            offset += len(piece)
            count -= len(piece)
            if ended:
                break
        return b"".join(pieces)

    async def _block(self, file: _File, number: int, wanted: int) -> bytes:
        """One block of a cached file. If it must be fetched, so are the ``wanted`` from there on, or more in order."""
        block = self.cache.find(file.file, number)
        if block is not None:
            return block
        count = READ_AHEAD if number == file.next_block else min(wanted, READ_AHEAD)
        file.next_block = number + count
        begun = self.cache.begin(file.file)
        data: bytes = await self._ask(bytes, PREAD, file.handle, count * BLOCK, number * BLOCK)
        for index in range(count):
            block = data[index * BLOCK : (index + 1) * BLOCK]
            self.cache.keep(file.file, begun, number + index, block)
            if len(block) < BLOCK:
                break
        return data[:BLOCK]

    async def _write_at(self, file: _File, data: bytes, offset: int) -> int:
        if offset != AT_THE_END and not 0 <= offset <= LARGEST_OFFSET - len(data):
            raise FileSystemError(errno.EINVAL, file.path, f"no file has {len(data)} bytes at {offset}")
        done = 0
        try:
            while done < len(data):
                part = data[done : done + LARGEST_TRANSFER]
                where = offset if offset == AT_THE_END else offset + done
                written = await self._ask(int, PWRITE, file.handle, part, where)
                if not 0 < written <= len(part):
                    raise FileSystemError(errno.EIO, file.path, "nothing was written")
                done += written
        finally:
            self.cache.drop(file.file)
        return done

    async def _stat(self, path: str) -> FileStatus:
        status = await self._ask(list, STAT, os.fsencode(path))
        if len(status) != len(FileStatus._fields):
            raise _nonsense()
        return FileStatus(*status)

    async def _readdir(self, path: str) -> list[str]:
        names: list[bytes] = []
        more = True
        while more:
            listed = await self._ask(list, READDIR, os.fsencode(path), names[-1] if names else b"")
            try:
                page, more = listed
                names += [bytes(memoryview(name)) for name in page]
            except (ValueError, TypeError):
                raise _nonsense() from None
            if more and not page:
                raise _nonsense()
        return [os.fsdecode(name) for name in names]


def _whatever_came(_: object) -> None:
    """For a future whose error is no news."""


def _nonsense() -> FileSystemError:
    return FileSystemError(errno.EPROTO, "", "the front-end's answer makes no sense")
