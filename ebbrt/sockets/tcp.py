"""A TCP connection over a kernel socket, as ``ebbrt.network.TcpConnection``.

The kernel speaks TCP; what is left is when to read, when to write, and what to tell the application in which order:
the same as a node's own stack tells it. Calls from within an upcall only queue, and what they lead to is done when the
upcall has returned (``_settle``), so that all replies leave in one ``writev``.

How it ends. Our FIN follows the queue (``shutdown``). The peer's is a read of nothing. When both are through, only the
kernel knows whether ours has been acknowledged: its state then becomes CLOSE, of which an edge-triggered watch tells.
"""

import errno
import select
import socket
import struct

from ebbrt.events.handlers import READABLE
from ebbrt.events.timers import Timer
from ebbrt.iobuf import IOBuf
from ebbrt.network import AddressInUseError, TcpConnection, TcpHandler
from ebbrt.sockets.buffers import SendQueue
from ebbrt.sockets.options import apply, info
from ebbrt.sockets.shared import Readiness, Shared, is_busy
from ebbrt.tcp_settings import DEFAULT_SETTINGS, TcpSettings, without_nagle

SEND_BUFFER = 256 * 1024  # what send_window() counts from; the kernel's own buffer comes on top
MOST_WRITES = 16  # in one event
WRITABLE = select.EPOLLOUT
PEER_FINISHED = select.EPOLLRDHUP
ON_CHANGE = select.EPOLLET  # only when something has happened; errors and the end of both directions always show
NOT_WATCHED = -1
NO_HANDLER = TcpHandler()  # what a connection points to after the last upcall

# The kernel's states (include/net/tcp_states.h), the first byte of TCP_INFO
SYN_SENT = 2
SYN_RECEIVED = 3
FIN_WAIT_2 = 5
CLOSE = 7

REASONS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timeout",
}


class SocketConnection(TcpConnection):
    """One connection with ``remote`` on ``sock``, which is non-blocking; ``open`` or ``accepted`` begins it.

    connections: the manager's, of which it is one until its end.
    """

    def __init__(
        self, shared: Shared, connections: "set[SocketConnection]", sock: socket.socket, remote: tuple[str, int]
    ) -> None:
        self.handler = NO_HANDLER
        self._shared = shared
        self._connections = connections
        self._socket: socket.socket | None = sock
        self._fd = sock.fileno()
        self._remote = remote
        self._queue = SendQueue()
        self._settings = DEFAULT_SETTINGS
        self._send_buffer = SEND_BUFFER
        self._watched = NOT_WATCHED
        self._connecting = False
        self._in_upcall = False
        self._paused = False
        self._starved = False
        self._data_held = False  # paused, and data lies before the peer's FIN
        self._peer_closed = False
        self._fin_queued = False
        self._fin_sent = False
        self._failure = ""  # why the kernel refused to send: the reason of the end, once all is read
        self._window_seen = SEND_BUFFER
        self._tells_room = False
        self._last_received = 0
        self._linger: Timer | None = None
        connections.add(self)

    # What the Network Manager calls

    def open(self, handler: TcpHandler) -> None:
        """Connect; the handler is told the outcome, perhaps before this returns. Raises AddressInUseError."""
        assert self._socket is not None
        self._connecting = True
        result = self._socket.connect_ex(self._remote)
        if result == errno.EADDRNOTAVAIL:
            self._end("aborted")
            raise AddressInUseError(f"no local port is free towards port {self._remote[1]} of {self._remote[0]}")
        self.handler = handler
        handler.connection = self
        if result in (0, errno.EINPROGRESS):
            self._settle()
        else:
            self._end(self._reason(result))

    def accepted(self, handler: TcpHandler) -> None:
        """The kernel has completed a handshake, and ``accept`` has given the handler."""
        if self._socket is not None:  # else ``accept`` has aborted it, and the handler never was one
            self._establish(handler)

    # What the application calls

    def send(self, data: IOBuf) -> bool:
        """Queue a chain; False after close(), and when the connection has ended."""
        if self._socket is None or self._fin_queued or self._failure:
            return False
        self._queue.append(data)
        self._settle()
        return True

    def send_window(self) -> int:
        """Bytes until the send buffer is full: what the kernel has taken no longer counts."""
        self._window_seen = max(0, self._send_buffer - self._queue.length)
        return self._window_seen

    def disable_nagle(self) -> None:
        """Send short segments at once."""
        self.configure(without_nagle(self._settings))

    def settings(self) -> TcpSettings:
        """What is set for this connection."""
        return self._settings

    def configure(self, settings: TcpSettings) -> None:
        """Set it all, at any time. Raises SettingsError when the kernel has no such congestion control."""
        if self._socket is None or settings is self._settings:
            return
        apply(self._socket, settings, self._settings)
        self._settings = settings
        self._send_buffer = settings.send_buffer or SEND_BUFFER

    def info(self) -> dict[str, int]:
        """The kernel's TCP_INFO."""
        return {} if self._socket is None else info(self._socket)

    def pause(self) -> None:
        """Read no more: the kernel's buffer fills, and its receive window closes."""
        self._paused = True
        self._settle()

    def resume(self) -> None:
        """Read on, at once."""
        self._paused = False
        self._data_held = False
        if self._socket is not None and not self._in_upcall and not self._connecting:
            self._receive()
            self._settle()

    def close(self) -> None:
        """Send what is queued, then FIN; a connection that is not yet open is given up."""
        if self._connecting:
            self._end("aborted")
            return
        if self._settings.reset_on_close:
            self.abort()
            return
        self._fin_queued = True
        self._settle()

    def abort(self) -> None:
        """Reset the connection. ``closed`` is called with "aborted" before this returns."""
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._end("aborted")

    def remote(self) -> tuple[str, int]:
        """Address in dotted form, and port."""
        return self._remote

    # Events

    def interrupt(self) -> None:
        """Something is ready, or may be: which it is shows when it is tried."""
        if self._socket is None:
            return
        if self._in_upcall:  # which blocks, so that the loop turns meanwhile: all waits until it returns
            self._watch()
            return
        if self._connecting:
            self._check_handshake()
        elif self._peer_closed or self._paused or self._starved:
            self._check()
        else:
            self._receive()
        self._settle()

    def fed(self) -> None:
        """See Receiver."""
        self._starved = False
        self._settle()

    def _check_handshake(self) -> None:
        assert self._socket is not None
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._end(self._reason(error))
        elif self._state() not in (SYN_SENT, SYN_RECEIVED):
            self._connecting = False
            self._establish(self.handler)

    def _establish(self, handler: TcpHandler) -> None:
        self.handler = handler
        handler.connection = self
        self._shared.counters.established += 1
        self._in_upcall = True
        try:
            handler.connected()
        finally:
            self._in_upcall = False
            self._settle()

    def _receive(self) -> None:
        """Read once, and tell the application what came."""
        if self._peer_closed or self._starved:
            return
        if not self._shared.buffers.fill():
            self._starved = True
            self._shared.starve(self)
            return
        length = self._shared.buffers.read(self._fd)
        self._shared.counters.reads += 1
        if length > 0:
            self._shared.counters.bytes_received += length
            self._last_received = self._shared.events.now
            self._upcall_receive(self._shared.buffers.take(length))
        elif self._failure:
            self._end(self._failure)
        elif length == 0:
            self._peer_finished()
        elif not is_busy(-length):
            self._end(self._reason(-length))

    def _upcall_receive(self, chain: IOBuf) -> None:
        self._in_upcall = True
        try:
            self.handler.receive(chain)
        finally:
            self._in_upcall = False
            self._settle()

    def _peer_finished(self) -> None:
        self._peer_closed = True
        self._in_upcall = True
        try:
            self.handler.peer_closed()
        finally:
            self._in_upcall = False
            self._settle()
        if self._fin_sent:
            self._check()

    def _check(self) -> None:
        """An event although nothing is to be read: an error, an end, or the peer's FIN behind what is held back."""
        if self._socket is None:
            return
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error or self._failure:
            self._end(self._failure or self._reason(error))
        elif self._peer_closed:
            if self._fin_sent and self._state() == CLOSE:
                self._end("closed")
        elif not self._starved:
            self._look_for_fin(self._socket)

    def _look_for_fin(self, sock: socket.socket) -> None:
        """Paused: the application is told of a FIN that no data precedes, as it holds nothing back."""
        try:
            self._data_held = bool(sock.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return
        except OSError as error:
            self._end(self._reason(error.errno or 0))
            return
        if not self._data_held:
            self._peer_finished()

    # What follows from it

    def _settle(self) -> None:
        """Do what calls and events have made due, unless an upcall is under way: write, send FIN, watch."""
        if self._in_upcall or self._socket is None:
            return
        if not self._connecting:
            if self._queue.length:
                self._write()
            if self._fin_queued and not self._fin_sent and not self._queue.length and not self._failure:
                self._send_fin(self._socket)
            if self._window_seen < self._send_buffer and self._has_room() and not self._tells_room:
                self._tells_room = True
                self._shared.events.defer(self._tell_room)
        self._watch()

    def _write(self) -> None:
        """Give the kernel what it takes; an error shows to the application in an event of its own."""
        for _ in range(MOST_WRITES):
            written = self._queue.write(self._shared.send_vector, self._fd)
            self._shared.counters.writes += 1
            if written < 0:
                if not is_busy(-written):
                    self._failure = self._reason(-written)
                    self._queue.clear()
                break
            self._shared.counters.bytes_sent += written
            if not self._queue.length:
                break

    def _has_room(self) -> bool:
        """Whether at least half of the send buffer is free, and more than the application saw."""
        room = self._send_buffer - self._queue.length
        return room > self._window_seen and 2 * room >= self._send_buffer

    def _tell_room(self) -> None:
        """The application saw a window smaller than the buffer: tell it of the larger one."""
        self._tells_room = False
        if self._socket is None or self._failure or self._in_upcall or not self._has_room():
            return
        self._window_seen = self._send_buffer
        self._in_upcall = True
        try:
            self.handler.send_window_opened()
        finally:
            self._in_upcall = False
            self._settle()

    def _send_fin(self, sock: socket.socket) -> None:
        self._fin_sent = True
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # it is gone already, of which an event is on its way
            self._failure = self._reason(error.errno or 0)
            return
        if not self._peer_closed:
            self._last_received = self._shared.events.now
            self._linger = self._shared.events.set_timer(self._settings.fin_wait_2_time, self._check_linger)

    def _check_linger(self) -> None:
        """The kernel would wait for the peer's FIN for ever; we do not."""
        if self._socket is None or self._peer_closed:
            return
        silent = self._shared.events.now - self._last_received
        patience = self._settings.fin_wait_2_time
        if silent >= patience and self._state() == FIN_WAIT_2 and not self._paused:
            self._end("timeout")
        else:
            rest = patience - silent if silent < patience else patience
            self._linger = self._shared.events.set_timer(rest, self._check_linger)

    def _watch(self) -> None:
        """Watch the socket for what is wanted of it now."""
        wanted = self._wanted()
        if wanted == self._watched:
            return
        events = self._shared.events
        if self._watched == NOT_WATCHED:
            events.watch(self._fd, Readiness(self.interrupt), wanted)
        else:
            events.rewatch(self._fd, wanted)
        self._watched = wanted

    def _wanted(self) -> int:
        """The EPOLL flags. What cannot be acted on now, such as an end, must not wake the loop for ever: ON_CHANGE."""
        if self._in_upcall or (self._peer_closed and self._fin_sent):
            return ON_CHANGE
        wanted = WRITABLE if self._queue.length or self._connecting else 0
        if self._peer_closed or self._connecting:
            return wanted
        if self._starved or self._data_held:
            return wanted or ON_CHANGE
        return wanted | (PEER_FINISHED if self._paused else READABLE)

    def _state(self) -> int:
        assert self._socket is not None
        return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]

    def _reason(self, error: int) -> str:
        """TcpHandler.closed's word for an errno; an open connection is unreachable only when it has timed out."""
        return REASONS.get(error) or ("unreachable" if self._connecting else "timeout")

    def _end(self, reason: str) -> None:
        """Forget the connection whatever its state, and tell the application."""
        sock = self._socket
        if sock is None:
            return
        self._socket = None
        self._connecting = False
        if self._watched != NOT_WATCHED:
            self._shared.events.unwatch(self._fd)
        sock.close()
        self._connections.discard(self)
        self._shared.forget(self)
        if self._linger is not None:
            self._linger.stop()
            self._linger = None
        self._queue.clear()
        closed = self._shared.counters.closed
        closed[reason] = closed.get(reason, 0) + 1
        handler = self.handler
        self.handler = NO_HANDLER
        handler.closed(reason)
