"""A UDP socket with Linux's semantics over the stack's UDP."""

import errno
from collections import deque

from ebbrt.clock import Clock
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.network import AddressInUseError, UdpHandler, UdpSocket
from netlab.script.sockets import (
    MSG_PEEK,
    POLLERR,
    POLLIN,
    POLLOUT,
    POLLRDNORM,
    POLLWRNORM,
    Blocking,
    CallError,
    Socket,
)
from stack.stack import Stack

HEADROOM = 128
MOST_DATAGRAM = 65507


class _Upcalls(UdpHandler):
    """What the stack tells of the port of ``owner``."""

    def __init__(self, owner: "DatagramSocket") -> None:
        self.owner = owner

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        self.owner.take(data.copy_out(), address, port)

    def undelivered(self, reason: str, address: str, port: int) -> None:
        self.owner.undelivered(reason, address, port)


class DatagramSocket(Socket):
    """One UDP socket."""

    def __init__(self, stack: Stack, clock: Clock) -> None:
        super().__init__(stack, clock)
        self.peer: tuple[str, int] | None = None
        self._bound: UdpSocket | None = None
        self._received: deque[tuple[bytes, str, int]] = deque()
        self.sender = ("", 0)  # of the datagram that was read last
        self.was_cut = False  # whether the call did not take all of it

    def bind(self, port: int) -> None:
        """See Socket."""
        if self._bound is not None:
            raise CallError(errno.EINVAL)
        try:
            self._bound = self.stack.udp.bind(port, _Upcalls(self))
        except AddressInUseError:
            raise CallError(errno.EADDRINUSE) from None
        self.port = self._bound.local_port()

    def take(self, data: bytes, address: str, port: int) -> None:
        """A datagram has come; a connected socket hears its peer only."""
        if self.peer is None or self.peer == (address, port):
            self._received.append((data, address, port))

    def undelivered(self, reason: str, address: str, port: int) -> None:
        """A datagram was lost: a connected socket is told."""
        if self.peer == (address, port):
            self.error = errno.ECONNREFUSED if reason == "refused" else errno.EHOSTUNREACH

    def connect(self, address: str, port: int) -> Blocking[int]:
        """See Socket."""
        if self._bound is None:
            self.bind(0)
        self.peer = (address, port)
        return 0
        yield None

    def send(self, data: bytes, flags: int, to: tuple[str, int] | None = None) -> Blocking[int]:
        """See Socket."""
        self.raise_error()
        target = to or self.peer
        if target is None:
            raise CallError(errno.EDESTADDRREQ)
        if len(data) > MOST_DATAGRAM:
            raise CallError(errno.EMSGSIZE)
        if self._bound is None:
            self.bind(0)
        assert self._bound is not None
        iobuf = allocate(self.stack.allocator, len(data), HEADROOM)
        if iobuf is None:
            raise CallError(errno.ENOBUFS)
        iobuf.write(0, data)
        if not self._bound.send(iobuf, *target):
            raise CallError(errno.ENETUNREACH)
        return len(data)
        yield None

    def receive(self, count: int, flags: int) -> Blocking[bytes]:
        """See Socket: the rest of a longer datagram is lost."""
        while not self._received:
            self.raise_error()
            if not self.waits(flags):
                raise CallError(errno.EAGAIN)
            yield None
        data, address, port = self._received[0] if flags & MSG_PEEK else self._received.popleft()
        self.sender = (address, port)
        self.was_cut = len(data) > count
        return data[:count]

    def shutdown(self, how: int) -> None:
        """See Socket."""
        if self.peer is None:
            raise CallError(errno.ENOTCONN)

    def close(self) -> None:
        """See Socket."""
        if self._bound is not None:
            self._bound.close()
            self._bound = None

    def events(self) -> int:
        """See Socket."""
        found = POLLOUT | POLLWRNORM
        if self._received:
            found |= POLLIN | POLLRDNORM
        return found | (POLLERR if self.error else 0)

    def unread(self) -> int:
        """See Socket: of the next datagram."""
        return len(self._received[0][0]) if self._received else 0

    def unsent(self) -> int:
        """See Socket: the stack keeps none."""
        return 0
