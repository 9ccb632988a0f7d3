"""The interrupts of one core: vectors that devices raise, and file descriptors that become ready."""

import os
from collections import deque

from ebbrt.events.handlers import READABLE, InterruptHandler
from ebbrt.syscalls import Epoll


class _Wakeup(InterruptHandler):
    """Ends a halt when another thread has something for the core: an eventfd the loop watches."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def interrupt(self) -> None:
        """Take the count, so that the descriptor is ready no longer."""
        os.eventfd_read(self.fd)


class Vectors:
    """The interrupts of a core that has devices only, as under virtual time (``virtual``).

    ``pending`` holds the handlers that are to run, the one that waits longest first."""

    def __init__(self) -> None:
        self.pending: deque[InterruptHandler] = deque()
        self._vectors: list[InterruptHandler | None] = []

    def allocate_vector(self, handler: InterruptHandler) -> int:
        """The number of a vector that nobody has."""
        if None in self._vectors:
            vector = self._vectors.index(None)
            self._vectors[vector] = handler
            return vector
        self._vectors.append(handler)
        return len(self._vectors) - 1

    def raise_vector(self, vector: int) -> None:
        """Mark it pending."""
        handler = self._vectors[vector] if vector < len(self._vectors) else None
        if handler is None:
            raise ValueError(f"interrupt vector {vector} belongs to nobody: allocate it first")
        self.pending.append(handler)

    def free_vector(self, vector: int) -> None:
        """Give it back."""
        handler = self._vectors[vector]
        self._vectors[vector] = None
        self._forget(handler)

    def _forget(self, handler: InterruptHandler | None) -> None:
        if handler in self.pending:
            self.pending = deque([pending for pending in self.pending if pending is not handler])

    # What only ``Interrupts`` can do

    def watch(self, fd: int, handler: InterruptHandler, events: int) -> None:
        """See Interrupts."""
        raise RuntimeError("this core watches no file descriptors: it runs under virtual time")

    def rewatch(self, fd: int, events: int) -> None:
        """See Interrupts: nothing is watched."""
        raise KeyError(fd)

    def unwatch(self, fd: int) -> None:
        """See Interrupts: nothing is watched."""
        raise KeyError(fd)

    def look(self, timeout: int) -> InterruptHandler | None:
        """See Interrupts: there is nothing to look at."""
        return None

    def wake(self) -> None:
        """See Interrupts: it never waits."""

    def close(self) -> None:
        """See Interrupts."""


class Interrupts(Vectors):
    """The vectors, and file descriptors that are watched with epoll."""

    def __init__(self) -> None:
        super().__init__()
        self._epoll = Epoll()
        self._watched: dict[int, InterruptHandler] = {}
        self._wakeup = _Wakeup()
        self.watch(self._wakeup.fd, self._wakeup, READABLE)

    def watch(self, fd: int, handler: InterruptHandler, events: int) -> None:
        """Run ``handler`` whenever the descriptor is found ready."""
        self._watched[fd] = handler
        self._epoll.register(fd, events)

    def rewatch(self, fd: int, events: int) -> None:
        """Watch it for ``events`` instead."""
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        """Watch it no longer."""
        handler = self._watched.pop(fd)
        self._epoll.unregister(fd)
        self._forget(handler)

    def look(self, timeout: int) -> InterruptHandler | None:
        """Wait at most ``timeout`` ms, -1 for ever, until a file descriptor is ready: the handler of one.

        Those of others that are ready too are pending.
        """
        first = None
        for index in range(self._epoll.wait(timeout)):
            handler = self._watched.get(self._epoll.ready_fd(index))
            if first is None:
                first = handler
            elif handler is not None:
                self.pending.append(handler)
        return first

    def wake(self) -> None:
        """End a look of the core's; from any thread."""
        os.eventfd_write(self._wakeup.fd, 1)

    def close(self) -> None:
        """Give the descriptors back."""
        self._epoll.close()
        os.close(self._wakeup.fd)
