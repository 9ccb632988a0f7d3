"""What all sockets of one core share: the event loop, buffers, the table of what is open, the counters.

Every socket is non-blocking and watched level-triggered. An event of one does a bounded amount of work; what is left
brings the next event.
"""

import errno
import socket
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address
from typing import Protocol

from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from ebbrt.events.timers import Timer
from ebbrt.memory import MemoryAllocator
from ebbrt.sockets.buffers import ReceiveBuffers
from ebbrt.syscalls import IoVector

MILLISECOND = 1_000_000
STARVED_RETRY = 10 * MILLISECOND  # until a socket that found no node memory looks again
LAST_PORT = 0xFFFF


class Readiness(InterruptHandler):
    """Lets the event loop call ``function`` when a descriptor is ready."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function

    def interrupt(self) -> None:
        """Call it."""
        self._function()


class Receiver(Protocol):
    """A socket that reads into the shared buffers."""

    def fed(self) -> None:
        """There is node memory again: go on reading."""


class Counters:
    """What has happened, for ``SocketNetworkManager.statistics``."""

    def __init__(self) -> None:
        self.accepted = 0
        self.accept_failures = 0  # no descriptor, or no kernel memory, for a connection: tried again
        self.active_opens = 0
        self.established = 0
        self.closed: dict[str, int] = {}  # connections by the reason of their end
        self.bytes_received = 0
        self.bytes_sent = 0
        self.reads = 0
        self.writes = 0
        self.no_memory = 0  # reads put off because node memory was used up
        self.datagrams_received = 0
        self.datagrams_truncated = 0  # dropped: node memory was used up
        self.datagrams_sent = 0
        self.datagrams_dropped = 0  # the kernel did not take them
        self.datagrams_undelivered = 0


class Shared:
    """One core's sockets; ``address`` is what they are bound to."""

    def __init__(self, events: EventManager, allocator: MemoryAllocator, address: str) -> None:
        self.events = events
        self.allocator = allocator
        self.address = address
        self.counters = Counters()
        self.buffers = ReceiveBuffers(allocator)
        self.send_vector = IoVector(allocator.memory)
        self._starved: dict[Receiver, None] = {}
        self._retry: Timer | None = None

    def starve(self, receiver: Receiver) -> None:
        """There is no node memory to read into: call ``receiver.fed`` once there is."""
        self.counters.no_memory += 1
        self._starved[receiver] = None
        if self._retry is None:
            self._retry = self.events.set_timer(STARVED_RETRY, self._feed)

    def forget(self, receiver: Receiver) -> None:
        """It is closed: do not call it."""
        self._starved.pop(receiver, None)

    def _feed(self) -> None:
        """Look for memory, which an application may be able to give up; it is no event of its own that runs now."""
        self._retry = None
        while not self.buffers.fill():
            if not self.allocator.reclaim():
                self._retry = self.events.set_timer(STARVED_RETRY, self._feed)
                return
        starved = self._starved
        self._starved = {}
        for receiver in starved:
            receiver.fed()

    def close(self) -> None:
        """Wait for nothing any more."""
        self._starved.clear()
        if self._retry is not None:
            self._retry.stop()
            self._retry = None


def make_socket(kind: int) -> socket.socket:
    """A non-blocking IPv4 socket."""
    return socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def is_busy(number: int) -> bool:
    """Whether a result means "not now": no room in the kernel, or nothing there."""
    return number in (errno.EAGAIN, errno.EINTR, errno.ENOBUFS, errno.ENOMEM)


@lru_cache(4096)
def check_address(address: str) -> str:
    """The dotted quad itself: a name would be looked up, and block. Raises ValueError."""
    return str(IPv4Address(address))
