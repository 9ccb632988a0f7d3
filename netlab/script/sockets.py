"""What sockets of both kinds have in common: the calls, how they block, and their errors.

A thin layer over the stack's own interface with the semantics of Linux's sockets; the stack itself has none. A call is
a generator: it yields when it would block (the time until which it would, or None), and returns its result. Whoever
drives it goes on when something has happened. An error is a ``CallError`` with Linux's number.
"""

import errno
from collections.abc import Generator
from typing import TypeVar

from ebbrt.clock import Clock
from stack.stack import Stack

T = TypeVar("T")
Blocking = Generator[int | None, None, T]

POLLIN, POLLOUT, POLLERR, POLLHUP, POLLRDHUP = 0x001, 0x004, 0x008, 0x010, 0x2000
POLLRDNORM, POLLWRNORM = 0x040, 0x100
SHUT_RD, SHUT_WR, SHUT_RDWR = 0, 1, 2
MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, MSG_FASTOPEN = 0x02, 0x40, 0x100, 0x20000000
O_NONBLOCK = 0x800
REASONS = {  # TcpHandler.closed
    "closed": 0,
    "aborted": 0,
    "reset": errno.ECONNRESET,
    "timeout": errno.ETIMEDOUT,
    "unreachable": errno.EHOSTUNREACH,
    "refused": errno.ECONNREFUSED,
}


class CallError(Exception):
    """A call that fails, as Linux's does, with this number of errno."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode.get(number, str(number)))
        self.number = number


class UnsupportedCallError(Exception):
    """A call asks for what this layer, or the stack, does not have."""


class Socket:
    """A socket on ``stack``. Calls that a kind of socket does not have are refused as Linux refuses them."""

    def __init__(self, stack: Stack, clock: Clock) -> None:
        self.stack = stack
        self.clock = clock
        self.nonblocking = False
        self.error = 0  # SO_ERROR
        self.port = 0
        self.options: dict[tuple[int, int], object] = {}  # what setsockopt gave, by level and name

    def bind(self, port: int) -> None:
        """Take a local port; 0: a free one."""
        raise CallError(errno.EOPNOTSUPP)

    def listen(self, backlog: int) -> None:
        """Accept connections."""
        raise CallError(errno.EOPNOTSUPP)

    def accept(self) -> "Blocking[Socket]":
        """The next connection."""
        raise CallError(errno.EOPNOTSUPP)

    def connect(self, address: str, port: int) -> Blocking[int]:
        """Connect, or name the one to talk to."""
        raise NotImplementedError

    def send(self, data: bytes, flags: int, to: tuple[str, int] | None = None) -> Blocking[int]:
        """Bytes taken of ``data``."""
        raise NotImplementedError

    def receive(self, count: int, flags: int) -> Blocking[bytes]:
        """At most ``count`` bytes; none: the end."""
        raise NotImplementedError

    def shutdown(self, how: int) -> None:
        """End one direction, or both."""
        raise NotImplementedError

    def close(self) -> None:
        """Give the socket up."""
        raise NotImplementedError

    def events(self) -> int:
        """What poll() would see now."""
        raise NotImplementedError

    def unread(self) -> int:
        """Bytes that can be read (FIONREAD)."""
        raise NotImplementedError

    def unsent(self) -> int:
        """Bytes that were written and are not acknowledged (SIOCOUTQ)."""
        raise NotImplementedError

    def waits(self, flags: int) -> bool:
        """Whether a call with these flags may block."""
        return not self.nonblocking and not flags & MSG_DONTWAIT

    def take_error(self) -> int:
        """The pending error, which is then no more."""
        error, self.error = self.error, 0
        return error

    def raise_error(self) -> None:
        """Fail with the pending error, if there is one."""
        error = self.take_error()
        if error:
            raise CallError(error)
