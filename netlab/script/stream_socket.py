"""A TCP socket with Linux's semantics over the stack's connections.

Received data stays with the connection until it is read: a connection here is always paused, so that its window closes
as Linux's does when an application does not read. What goes beyond this layer: the queue of accepted connections has
no limit, and a reset takes unread data with it.
"""

import errno
from collections import deque

from ebbrt.clock import Clock
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.network import AddressInUseError, TcpConnection, TcpHandler
from ebbrt.tcp_settings import TcpSettings
from netlab.script.sockets import (
    MSG_FASTOPEN,
    MSG_PEEK,
    MSG_WAITALL,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    POLLRDNORM,
    POLLWRNORM,
    REASONS,
    SHUT_RD,
    SHUT_RDWR,
    SHUT_WR,
    Blocking,
    CallError,
    Socket,
    UnsupportedCallError,
)
from stack.address import parse_address
from stack.stack import Stack
from stack.tcp.connection import Connection
from stack.tcp.constants import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FAST_OPEN_ALL,
    FAST_OPEN_BLINDLY,
    FAST_OPEN_CLIENT,
    LAST_ACK,
    LISTEN,
    SYN_RECEIVED,
    TIME_WAIT,
)
from stack.tcp.info import LINUX_STATES
from stack.tcp.segment_output import send_ack
from stack.tcp.settings import push

HAVE_FIN = (CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT)
HEADROOM = 128
TCP_HEADER = 20
MOST_PIECE = 32 * 1024  # bytes in one buffer
MOST_BURST = 0xFFFF - 320  # what fits an IP packet with the longest headers


def _burst(connection: Connection) -> int:
    """Bytes that Linux fills a buffer with before it sends it: whole segments, at most half of the peer's window."""
    most = min(MOST_BURST, connection.max_snd_wnd // 2)
    return max(most // connection.snd_mss, 1) * connection.snd_mss


class _Upcalls(TcpHandler):
    """What the stack tells of the connection of ``socket``."""

    def __init__(self, socket: "StreamSocket") -> None:
        self.socket = socket

    def receive(self, data: IOBuf) -> None:
        self.socket.take(data)

    def peer_closed(self) -> None:
        self.socket.had_fin = True

    def closed(self, reason: str) -> None:
        self.socket.ended(reason)


class StreamSocket(Socket):
    """One TCP socket: unconnected, listening, or a connection."""

    def __init__(self, stack: Stack, clock: Clock) -> None:
        super().__init__(stack, clock)
        self.engine = stack.tcp.engine
        self.connection: Connection | None = None
        self.settings: TcpSettings = stack.tcp.engine.settings
        self.accepted: deque[StreamSocket] | None = None  # of a listening socket
        self.had_fin = False  # the peer has closed its side
        self._data = bytearray()  # taken from the connection and not yet read
        self.fast_opens = 0  # TCP_FASTOPEN: how many connections a listener has accepted before they are open
        self.defers_connect = False  # TCP_FASTOPEN_CONNECT
        self._deferred: tuple[str, int] | None = None  # whom the first data will be sent to, with the SYN
        self._connecting = False  # connect() has begun and not yet told how it ended
        self._read_shut = False
        self._write_shut = False
        self._abandoned = False  # close() was called

    # Opening

    def bind(self, port: int) -> None:
        """See Socket."""
        if self.port or self.connection is not None:
            raise CallError(errno.EINVAL)
        if port in self.stack.tcp.engine.listeners:
            raise CallError(errno.EADDRINUSE)
        self.port = port

    def listen(self, backlog: int) -> None:
        """See Socket."""
        if self.connection is not None:
            raise CallError(errno.EINVAL)
        if self.port == 0:
            raise UnsupportedCallError("listen() of a socket that is not bound")
        if self.accepted is None:
            if self.engine.fast_open & FAST_OPEN_ALL and not self.fast_opens:
                self.fast_opens = backlog
            try:
                self.stack.tcp.listen(self.port, self._accept, max(backlog, 1), self.settings, self.fast_opens)
            except AddressInUseError:
                raise CallError(errno.EADDRINUSE) from None
            self.accepted = deque()

    def _accept(self, connection: TcpConnection) -> TcpHandler:
        """A handshake is complete."""
        socket = StreamSocket(self.stack, self.clock)
        socket.options = dict(self.options)
        socket.settings = self.settings
        socket.port = self.port
        handler = socket.adopt(connection)
        if self.accepted is None:
            connection.abort()
        else:
            self.accepted.append(socket)
        return handler

    def adopt(self, connection: TcpConnection) -> TcpHandler:
        """Be the socket of ``connection``; what hears its upcalls."""
        assert isinstance(connection, Connection)
        self.connection = connection
        connection.pause()
        return _Upcalls(self)

    def configure(self, settings: TcpSettings) -> None:
        """Set for the connection, or for those to come. Raises SettingsError."""
        if self.connection is not None:
            self.connection.configure(settings)
        elif self.accepted is not None:
            self.stack.tcp.engine.listeners[self.port].take_settings(settings)
        self.settings = settings

    def push(self) -> None:
        """TCP_NODELAY sends what is queued, however often it is set, and under a cork as well (tcp(7))."""
        if self.connection is not None:
            push(self.connection)

    def set_fast_opens(self, most: int) -> None:
        """How many connections may be accepted before they are open (RFC 7413)."""
        self.fast_opens = most
        if self.accepted is not None:
            self.stack.tcp.engine.listeners[self.port].fast_open.set_limit(most)

    def set_quick_acks(self, value: int) -> None:
        """TCP_QUICKACK, of a connection: 0 lets ACKs wait for answers, 1 does not, and sends the one that waits."""
        connection = self.connection
        if connection is None or connection.state < ESTABLISHED:
            if not value:
                raise UnsupportedCallError("TCP_QUICKACK of 0 before there is a connection")
            return
        connection.pingpong = not value & 1
        if value and connection.ack_delayed:
            send_ack(connection, self.clock.now())

    def accept(self) -> Blocking[Socket]:
        """See Socket."""
        if self.accepted is None:
            raise CallError(errno.EINVAL)
        while not self.accepted:
            if self.nonblocking:
                raise CallError(errno.EAGAIN)
            yield None
        return self.accepted.popleft()

    def connect(self, address: str, port: int) -> Blocking[int]:
        """See Socket."""
        if self.accepted is not None:
            raise CallError(errno.EISCONN)
        if self.connection is None:
            if self.defers_connect and self._room(address):
                self._deferred = (address, port)
                return 0
            self._begin(address, port, self._buffer(b"") if self.defers_connect else None)
            if self.nonblocking and self._is_opening():
                raise CallError(errno.EINPROGRESS)
        elif not self._connecting:
            raise CallError(errno.EISCONN)
        elif self._is_opening() and self.nonblocking:
            raise CallError(errno.EALREADY)
        while self._is_opening():
            yield None
        self._connecting = False
        self.raise_error()
        return 0

    def _begin(self, address: str, port: int, first: IOBuf | None = None) -> None:
        handler = _Upcalls(self)
        try:
            connection = self.stack.tcp.connect(parse_address(address), port, handler, self.settings, first, self.port)
        except AddressInUseError:
            raise CallError(errno.EADDRNOTAVAIL) from None
        self._connecting = True
        assert isinstance(connection, Connection)
        self.connection = connection
        self.port = connection.local_port
        connection.pause()

    def _is_opening(self) -> bool:
        """Whether connect() is under way; a connection that was accepted is open, if only for fast open."""
        connection = self.connection
        return connection is not None and self._connecting and CLOSED < connection.state <= SYN_RECEIVED

    def _room(self, address: str) -> int:
        """How many bytes may go with a SYN to that host: 0 without a cookie of it."""
        tcp = self.stack.tcp.engine
        path = tcp.ip.path(None, parse_address(address))
        most = path.mtu - path.header_length - TCP_HEADER
        known = tcp.fast_open_servers.begin(path, most, self.clock.now(), bool(tcp.fast_open & FAST_OPEN_BLINDLY))
        return known.room if known is not None else 0

    def _send_first(self, data: bytes, flags: int, to: tuple[str, int]) -> Blocking[int]:
        """Connect, with as much of the data in the SYN as may go; what a call that blocks then has left follows."""
        first = min(len(data), self._room(to[0]))
        self._begin(*to, self._buffer(data[:first]))
        if not self.waits(flags):
            if not first:
                raise CallError(errno.EINPROGRESS)
            return first
        yield from self.connect(*to)
        return first + (yield from self.send(data[first:], flags & ~MSG_FASTOPEN))

    # Data

    def take(self, data: IOBuf) -> None:
        """Bytes that the connection delivers: we read, or nobody ever will (RFC 1122 section 4.2.2.13)."""
        assert self.connection is not None
        if self._abandoned:
            self.connection.abort()
            return
        self._data += data.copy_out()
        self.connection.pause()

    def _fill(self) -> None:
        """Take what the connection holds."""
        if self.connection is not None and self.connection.held is not None:
            self.connection.resume()
            self.connection.pause()

    def receive(self, count: int, flags: int) -> Blocking[bytes]:
        """See Socket."""
        while True:
            if len(self._data) < count:
                self._fill()
            wanted = count if flags & MSG_WAITALL else min(count, 1)
            if len(self._data) >= wanted or self._read_ended():
                break
            self.raise_error()
            if self.connection is None or (self._is_opening() and not self.waits(flags)):
                raise CallError(errno.ENOTCONN if self.connection is None else errno.EAGAIN)
            if not self.waits(flags):
                if self._data:
                    break
                raise CallError(errno.EAGAIN)
            yield None
        if not self._data and count:
            self.raise_error()
        data = bytes(self._data[:count])
        if not flags & MSG_PEEK:
            del self._data[:count]
        return data

    def _read_ended(self) -> bool:
        """Whether no more than what was taken will ever be read."""
        if self.connection is None:
            return False
        if self.connection.held is not None:
            return False
        return self._read_shut or self.connection.state in HAVE_FIN or self.connection.state == CLOSED

    def send(self, data: bytes, flags: int, to: tuple[str, int] | None = None) -> Blocking[int]:
        """See Socket."""
        if flags & MSG_FASTOPEN and not self.engine.fast_open & FAST_OPEN_CLIENT:
            raise CallError(errno.EOPNOTSUPP)
        if flags & MSG_FASTOPEN or self._deferred is not None:
            target = to or self._deferred
            self._deferred = None
            if self.connection is not None or target is None:
                raise CallError(errno.EISCONN if target is not None else errno.EINVAL)
            return (yield from self._send_first(data, flags, target))
        self.raise_error()
        sent = 0
        while True:
            connection = self.connection
            if connection is None:
                raise CallError(errno.EPIPE)
            if self._write_shut or connection.state == CLOSED or connection.fin_queued:
                if sent:
                    return sent
                self.raise_error()
                raise CallError(errno.EPIPE)
            if not self._is_opening():
                sent += self._put_all(connection, data[sent:])
                if sent == len(data):
                    return sent
            if not self.waits(flags):
                if sent:
                    return sent
                raise CallError(errno.EAGAIN)
            yield None

    def _put_all(self, connection: Connection, data: bytes) -> int:
        """Queue as many of the bytes as there is room for; how many that were.

        As in Linux a limit on what is unsent (TCP_NOTSENT_LOWAT) is looked at before each piece of as much as is sent
        at once, and what could be sent meanwhile counts no more.
        """
        taken = 0
        while taken < len(data):
            room = connection.send_window()
            if room and self.settings.most_unsent:
                room = max(room, _burst(connection))
            piece = data[taken : taken + room]
            if not piece or not connection.send(self._buffer(piece)):
                break
            taken += len(piece)
        return taken

    def _buffer(self, data: bytes) -> IOBuf:
        """The bytes as one chain."""
        head: IOBuf | None = None
        for at in range(0, len(data) or 1, MOST_PIECE):
            piece = data[at : at + MOST_PIECE]
            iobuf = allocate(self.stack.allocator, len(piece), HEADROOM)
            if iobuf is None:
                raise CallError(errno.ENOBUFS)
            iobuf.write(0, piece)
            if head is None:
                head = iobuf
            else:
                head.append(iobuf)
        assert head is not None
        return head

    # Ending

    def ended(self, reason: str) -> None:
        """The connection is gone."""
        self.error = REASONS[reason]
        if reason == "reset" and self.had_fin:
            self.error = errno.EPIPE

    def shutdown(self, how: int) -> None:
        """See Socket."""
        connection = self.connection
        if how not in (SHUT_RD, SHUT_WR, SHUT_RDWR):
            raise CallError(errno.EINVAL)
        if connection is None or connection.state == CLOSED:
            raise CallError(errno.ENOTCONN)
        if how != SHUT_WR:
            self._read_shut = True
        if how != SHUT_RD and not self._write_shut:
            self._write_shut = True
            connection.close()

    def close(self) -> None:
        """See Socket: with unread data the peer is told by a reset that it was lost (RFC 1122 section 4.2.2.13)."""
        self._abandoned = True
        if self.accepted is not None:
            del self.stack.tcp.engine.listeners[self.port]
            for socket in self.accepted:
                socket.reset()
            self.accepted = None
        connection = self.connection
        if connection is None or connection.state == CLOSED:
            return
        if self._data or connection.held is not None:
            connection.abort()
            return
        if not self._write_shut:
            connection.close()
        connection.resume()

    def reset(self) -> None:
        """Reset the connection."""
        if self.connection is not None and self.connection.state != CLOSED:
            self.connection.abort()

    # Looking

    def peer(self) -> tuple[str, int]:
        """Address and port at the other end of the connection."""
        assert self.connection is not None
        return self.connection.remote()

    def tcp_info(self) -> tuple[dict[str, int], str]:
        """The fields of TCP_INFO that are known, and why there are no others, or ''."""
        if self.accepted is not None:
            return {"tcpi_state": LINUX_STATES[LISTEN]}, "the socket listens"
        if self.connection is None:
            return {"tcpi_state": LINUX_STATES[CLOSED]}, "the socket is not connected"
        if self.connection.state == CLOSED:
            return {"tcpi_state": LINUX_STATES[CLOSED]}, "the connection has ended"
        return self.connection.info(), ""

    def events(self) -> int:
        """See Socket."""
        if self.accepted is not None:
            return POLLIN | POLLRDNORM if self.accepted else 0
        connection = self.connection
        error = POLLERR if self.error else 0
        if connection is None:
            return POLLOUT | POLLWRNORM | POLLHUP
        if self._is_opening():
            return error
        found = error
        if connection.state == CLOSED or ((self._read_shut or connection.state in HAVE_FIN) and self._write_shut):
            found |= POLLHUP
        if self._read_shut or connection.state in HAVE_FIN or connection.state == CLOSED:
            found |= POLLIN | POLLRDNORM | POLLRDHUP
        if self.unread():
            found |= POLLIN | POLLRDNORM
        if self._write_shut or connection.state == CLOSED or connection.send_window():
            found |= POLLOUT | POLLWRNORM
        return found

    def unread(self) -> int:
        """See Socket."""
        if self.accepted is not None:
            raise CallError(errno.EINVAL)
        held = self.connection.held if self.connection is not None else None
        return len(self._data) + (held.chain_length() if held is not None else 0)

    def unsent(self) -> int:
        """See Socket."""
        if self.accepted is not None:
            raise CallError(errno.EINVAL)
        return self.connection.queue.length if self.connection is not None else 0
