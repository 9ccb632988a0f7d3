"""The system calls of the hot path: one place, each with its plain Python twin.

Compiled, they are C calls on structures that are filled once and reused; uncompiled, the same methods use ``os`` and
``select``. Results follow the kernel's own convention: a count, or the negative errno; nothing here raises on the data
path. The names that only the compiled build knows come from the ``.pxd``.
"""

import os
import select
import time

import cython

from ebbrt.memory import NodeMemory

MOST_SEGMENTS = 1024  # IOV_MAX
MOST_EVENTS = 64


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds."""
    if cython.compiled:
        clock_gettime(CLOCK_MONOTONIC, cython.address(_time))
        return _time.tv_sec * 1_000_000_000 + _time.tv_nsec
    return time.monotonic_ns()


def yield_processor() -> None:
    """Let another program run that waits for this CPU, if there is one (``sched_yield``)."""
    if cython.compiled:
        sched_yield()
    else:
        os.sched_yield()


class IoVector:
    """Up to 1024 pieces of node memory for one ``readv`` or ``writev``, or for a copy within the process."""

    def __init__(self, memory: NodeMemory) -> None:
        self.memory = memory
        self._pieces: list[memoryview] = [] if cython.compiled else [memory.view(0, 0)] * MOST_SEGMENTS
        self._offsets: list[int] = [] if cython.compiled else [0] * MOST_SEGMENTS

    def put(self, index: int, offset: int, length: int) -> None:
        """Let piece ``index`` be the ``length`` bytes of node memory at ``offset``."""
        if cython.compiled:
            self._vector[index].iov_base = cython.cast(cython.p_void, self.memory.address + offset)
            self._vector[index].iov_len = length
        else:
            self._pieces[index] = self.memory.view(offset, length)
            self._offsets[index] = offset

    def offset(self, index: int) -> int:
        """Where piece ``index`` is in node memory."""
        if cython.compiled:
            return cython.cast(cython.ulonglong, self._vector[index].iov_base) - self.memory.address
        return self._offsets[index]

    def length(self, index: int) -> int:
        """How many bytes piece ``index`` is."""
        if cython.compiled:
            return self._vector[index].iov_len
        return len(self._pieces[index])

    def drop(self, count: int, kept: int) -> None:
        """Let the ``kept`` pieces behind the first ``count`` be the first ones."""
        if cython.compiled:
            memmove(self._vector, cython.address(self._vector[count]), kept * cython.sizeof(iovec))
        else:
            self._pieces[:kept] = self._pieces[count : count + kept]
            self._offsets[:kept] = self._offsets[count : count + kept]

    def read(self, fd: int, count: int) -> int:
        """``readv`` into the first ``count`` pieces: bytes read, or -errno."""
        if cython.compiled:
            result = readv(fd, self._vector, count)
            return result if result >= 0 else -errno
        try:
            return os.readv(fd, self._pieces[:count])
        except OSError as error:
            return -(error.errno or 0)

    def write(self, fd: int, count: int) -> int:
        """``writev`` from the first ``count`` pieces: bytes written, or -errno."""
        if cython.compiled:
            result = writev(fd, self._vector, count)
            return result if result >= 0 else -errno
        try:
            return os.writev(fd, self._pieces[:count])
        except OSError as error:
            return -(error.errno or 0)

    def fill(self, data: bytes, count: int) -> int:
        """As ``read``, from ``data``; its length: what has no room in the first ``count`` pieces is cut off."""
        at = 0
        left = len(data)
        for index in range(count):
            if cython.compiled:
                length = min(left, self._vector[index].iov_len)
                memcpy(self._vector[index].iov_base, PyBytes_AS_STRING(data) + at, length)
            else:
                length = min(left, len(self._pieces[index]))
                self._pieces[index][:length] = data[at : at + length]
            at += length
            left -= length
        return at

    def collect(self, count: int) -> bytes:
        """As ``write``, to bytes: a copy of the first ``count`` pieces."""
        if not cython.compiled:
            return b"".join(self._pieces[:count])
        length = 0
        for index in range(count):
            length += self._vector[index].iov_len
        data = PyBytes_FromStringAndSize(cython.NULL, length)
        at = 0
        for index in range(count):
            memcpy(PyBytes_AS_STRING(data) + at, self._vector[index].iov_base, self._vector[index].iov_len)
            at += self._vector[index].iov_len
        return data


class Epoll:
    """An epoll instance whose results are read by index, without making objects."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._fd = self._epoll.fileno()
        self._ready: list[tuple[int, int]] = []

    def register(self, fd: int, events: int) -> None:
        """Watch ``fd`` for ``events`` (EPOLLIN, EPOLLOUT), level-triggered."""
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Watch ``fd``, which is registered, for ``events`` instead."""
        self._epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        """Watch ``fd`` no longer."""
        self._epoll.unregister(fd)

    def wait(self, timeout_ms: int) -> int:
        """Wait at most that long (-1: for ever; 0: not at all); how many are ready, 0 too when a signal came.

        Other threads of the process run meanwhile, and signal handlers written in Python, whose exceptions are raised.
        """
        if cython.compiled:
            with cython.nogil:
                count = epoll_wait(self._fd, self._events, MOST_EVENTS, timeout_ms)
            PyErr_CheckSignals()
            return count if count > 0 else 0
        self._ready = self._epoll.poll(timeout_ms / 1000 if timeout_ms > 0 else timeout_ms, MOST_EVENTS)
        return len(self._ready)

    def ready_fd(self, index: int) -> int:
        """The file descriptor of result ``index`` of the last wait."""
        if cython.compiled:
            return self._events[index].data.fd
        return self._ready[index][0]

    def close(self) -> None:
        """Give the instance back."""
        self._epoll.close()
