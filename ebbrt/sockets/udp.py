"""A UDP port over a kernel socket, as ``ebbrt.network.UdpSocket``.

The kernel keeps the ICMP errors that come back about our datagrams in a queue of the socket (ip(7), IP_RECVERR): each
tells where the datagram was going.
"""

import errno
import socket
import struct

from ebbrt.events.handlers import READABLE
from ebbrt.iobuf import IOBuf
from ebbrt.network import AddressInUseError, UdpHandler, UdpSocket
from ebbrt.sockets.shared import LAST_PORT, Readiness, Shared, check_address, is_busy, make_socket

MOST_DATAGRAMS = 16  # in one event
IP_RECVERR = 11  # linux/in.h
EXTENDED_ERROR = struct.Struct("=IBBBxII")  # linux/errqueue.h: errno, origin, type, code, info, data
ORIGIN_ICMP = 2
UNREACHABLE = 3
UNREACHABLE_PORT = 3


class KernelUdpSocket(UdpSocket):
    """A socket on ``port``, or on a free one for 0. Raises AddressInUseError, ValueError for no port."""

    def __init__(self, shared: Shared, sockets: "set[KernelUdpSocket]", port: int, handler: UdpHandler) -> None:
        if not 0 <= port <= LAST_PORT:
            raise ValueError(f"a UDP port is 0 to {LAST_PORT}, not {port}")
        self._shared = shared
        self._sockets = sockets  # the manager's, of which it is one until it is closed
        self._handler: UdpHandler | None = handler
        self._starved = False
        sock = make_socket(socket.SOCK_DGRAM)
        try:
            sock.bind((shared.address, port))
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRINUSE:
                raise
            taken = f"UDP port {port} is bound already" if port else "every ephemeral UDP port is bound"
            raise AddressInUseError(taken) from None
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self._socket: socket.socket | None = sock
        self._port: int = sock.getsockname()[1]
        handler.socket = self
        sockets.add(self)
        shared.events.watch(sock.fileno(), Readiness(self.interrupt), READABLE)

    def local_port(self) -> int:
        """The port it is bound to."""
        return self._port

    def send(self, data: IOBuf, address: str, port: int) -> bool:
        """See UdpSocket."""
        destination = (check_address(address), port)
        if self._socket is None:
            return False
        pieces = []
        piece: IOBuf | None = data
        while piece is not None:
            pieces.append(piece.memory.view(piece.start, piece.length))
            piece = piece.next
        error = self._send(self._socket, pieces, destination)
        if error and not is_busy(error):
            error = self._send(self._socket, pieces, destination)  # that may have been about an earlier datagram
        if error:
            self._shared.counters.datagrams_dropped += 1
            return False
        self._shared.counters.datagrams_sent += 1
        return True

    def close(self) -> None:
        """See UdpSocket."""
        sock = self._socket
        if sock is None:
            return
        self._socket = None
        self._handler = None
        self._shared.events.unwatch(sock.fileno())
        sock.close()
        self._sockets.discard(self)
        self._shared.forget(self)

    def interrupt(self) -> None:
        """Datagrams, or errors, have come."""
        for count in range(MOST_DATAGRAMS):
            if self._socket is None or self._starved:
                return
            error = self._receive(self._socket)
            if error:
                if count == 0 or not is_busy(error):
                    self._receive_errors()
                return

    def fed(self) -> None:
        """See Receiver."""
        if self._socket is not None:
            self._starved = False
            self._shared.events.rewatch(self._socket.fileno(), READABLE)

    def _send(self, sock: socket.socket, pieces: list[memoryview], destination: tuple[str, int]) -> int:
        """0, or the errno."""
        try:
            sock.sendmsg(pieces, (), 0, destination)
        except OSError as error:
            return error.errno or errno.EIO
        return 0

    def _receive(self, sock: socket.socket) -> int:
        """Take one datagram; 0, or the errno."""
        buffers = self._shared.buffers
        if not buffers.fill():
            self._starved = True
            self._shared.events.rewatch(sock.fileno(), 0)
            self._shared.starve(self)
            return errno.EAGAIN
        try:
            length, _, flags, (address, port) = sock.recvmsg_into(buffers.views())
        except OSError as error:
            return error.errno or errno.EIO
        self._shared.counters.datagrams_received += 1
        if flags & socket.MSG_TRUNC:
            self._shared.counters.datagrams_truncated += 1
            return 0
        assert self._handler is not None
        self._handler.receive(buffers.take(length), address, port)
        return 0

    def _receive_errors(self) -> None:
        """Tell the application which datagrams are lost."""
        for _ in range(MOST_DATAGRAMS):
            if self._socket is None:
                return
            try:
                _, messages, _, destination = self._socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return  # it is empty
            for level, kind, data in messages:
                if level == socket.IPPROTO_IP and kind == IP_RECVERR and self._handler is not None:
                    _, origin, error, code, _, _ = EXTENDED_ERROR.unpack_from(data)
                    if origin == ORIGIN_ICMP:
                        self._shared.counters.datagrams_undelivered += 1
                        refused = error == UNREACHABLE and code == UNREACHABLE_PORT
                        self._handler.undelivered("refused" if refused else "unreachable", *destination)
