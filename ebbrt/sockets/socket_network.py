"""The Network Manager Ebb over kernel sockets: what a front-end, an ordinary Linux process, has for a network.

The same interface as on a node's own stack, with the same upcalls in the same order, so that an application runs
unchanged on both. The parts: ``sockets.tcp`` and ``sockets.udp``, over ``sockets.shared`` and ``sockets.buffers``.
"""

import errno
import socket
from collections.abc import Callable
from typing import Any

from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import READABLE
from ebbrt.events.timers import Timer
from ebbrt.memory import MemoryAllocator
from ebbrt.network import AddressInUseError, NetworkManager, TcpConnection, TcpHandler, UdpHandler, UdpSocket
from ebbrt.sockets.shared import LAST_PORT, MILLISECOND, Readiness, Shared, check_address, make_socket
from ebbrt.sockets.tcp import SocketConnection
from ebbrt.sockets.udp import KernelUdpSocket

MOST_ACCEPTED = 16  # connections in one event
ACCEPT_RETRY = 100 * MILLISECOND  # until an accept that found no descriptor is tried again
ANY_ADDRESS = "0.0.0.0"
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: let connect() choose the port, by the whole four-tuple


class SocketNetworkManager(NetworkManager):
    """The Network Manager of one core, on ``event_manager``; what is received lies in ``allocator``'s memory.

    address: listens there and connects from there; "0.0.0.0" is every address of the machine.
    """

    def __init__(self, event_manager: EventManager, allocator: MemoryAllocator, address: str = ANY_ADDRESS) -> None:
        self._shared = Shared(event_manager, allocator, check_address(address))
        self._listeners: dict[int, _Listener] = {}
        self._connections: set[SocketConnection] = set()
        self._udp_sockets: set[KernelUdpSocket] = set()
        self._is_open = True

    def listen(self, port: int, accept: Callable[[TcpConnection], TcpHandler], backlog: int = 1024) -> None:
        """See NetworkManager. Raises OSError when the kernel refuses the port (below 1024, to a user)."""
        _check_port(port)
        self._check_open()
        self._listeners[port] = _Listener(self._shared, self._connections, port, accept, backlog)

    def connect(self, address: str, port: int, handler: TcpHandler) -> TcpConnection:
        """See NetworkManager. Raises OSError when the process has no descriptor left."""
        _check_port(port)
        remote = (check_address(address), port)
        self._check_open()
        sock = make_socket(socket.SOCK_STREAM)
        try:
            if self._shared.address != ANY_ADDRESS:
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self._shared.address, 0))
        except OSError:
            sock.close()
            raise
        connection = SocketConnection(self._shared, self._connections, sock, remote)
        self._shared.counters.active_opens += 1
        connection.open(handler)
        return connection

    def bind_udp(self, port: int, handler: UdpHandler) -> UdpSocket:
        """See NetworkManager."""
        self._check_open()
        return KernelUdpSocket(self._shared, self._udp_sockets, port, handler)

    def local_address(self) -> str:
        """The address it was given."""
        return self._shared.address

    def close(self) -> None:
        """Give every socket back, for good; open connections are aborted, and their handlers told."""
        self._is_open = False
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()
        for udp_socket in list(self._udp_sockets):
            udp_socket.close()
        for connection in list(self._connections):
            self._shared.events.spawn(connection.abort)  # as an event: a handler that raises is reported
        self._shared.close()

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Connections and datagrams by what became of them, and the work it took."""
        counters = self._shared.counters
        return {
            "tcp": {
                "now": len(self._connections),
                "listeners": len(self._listeners),
                "accepted": counters.accepted,
                "accept_failures": counters.accept_failures,
                "active_opens": counters.active_opens,
                "established": counters.established,
                "closed": dict(counters.closed),
                "bytes_received": counters.bytes_received,
                "bytes_sent": counters.bytes_sent,
                "reads": counters.reads,
                "writes": counters.writes,
            },
            "udp": {
                "sockets": len(self._udp_sockets),
                "received": counters.datagrams_received,
                "truncated": counters.datagrams_truncated,
                "sent": counters.datagrams_sent,
                "send_dropped": counters.datagrams_dropped,
                "undelivered": counters.datagrams_undelivered,
            },
            "memory": {"reads_put_off": counters.no_memory},
        }

    def _check_open(self) -> None:
        """A handler that hears of its connection's end in ``close`` must not open another."""
        if not self._is_open:
            raise RuntimeError("the Network Manager is closed")


class _Listener:
    """An open port: its connections are accepted in bounded bursts."""

    def __init__(
        self,
        shared: Shared,
        connections: set[SocketConnection],
        port: int,
        accept: Callable[[TcpConnection], TcpHandler],
        backlog: int,
    ) -> None:
        self._shared = shared
        self._connections = connections
        self._accept = accept
        self._retry: Timer | None = None
        self._socket = make_socket(socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before may linger
        try:
            self._socket.bind((shared.address, port))
            self._socket.listen(backlog)
        except OSError as error:
            self._socket.close()
            if error.errno != errno.EADDRINUSE:
                where = f"{shared.address}:{port}"
                raise OSError(error.errno, f"cannot listen on {where}: {error.strerror}") from None
            raise AddressInUseError(f"something listens on TCP port {port} already") from None
        shared.events.watch(self._socket.fileno(), Readiness(self.interrupt), READABLE)

    def interrupt(self) -> None:
        """Connections wait to be accepted."""
        for _ in range(MOST_ACCEPTED):
            try:
                sock, remote = self._socket.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue  # it was reset while it waited
            except OSError:
                self._put_off()
                return
            sock.setblocking(False)
            self._shared.counters.accepted += 1
            connection = SocketConnection(self._shared, self._connections, sock, remote)
            try:
                handler = self._accept(connection)
            except BaseException:
                connection.abort()
                raise
            connection.accepted(handler)

    def close(self) -> None:
        """Accept no more."""
        if self._retry is not None:
            self._retry.stop()
        self._shared.events.unwatch(self._socket.fileno())
        self._socket.close()

    def _put_off(self) -> None:
        """No descriptor (EMFILE) or no kernel memory: those who wait stay in the kernel's backlog a little longer."""
        self._shared.counters.accept_failures += 1
        self._shared.events.rewatch(self._socket.fileno(), 0)
        self._retry = self._shared.events.set_timer(ACCEPT_RETRY, self._go_on)

    def _go_on(self) -> None:
        self._retry = None
        self._shared.events.rewatch(self._socket.fileno(), READABLE)


def _check_port(port: int) -> None:
    if not 0 < port <= LAST_PORT:
        raise ValueError(f"{port} is not a TCP port")
