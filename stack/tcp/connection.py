"""A TCP connection as an application holds it: ``ebbrt.network.TcpConnection`` over this stack.

Calls from outside an upcall take effect at once, at the time the clock says. Calls from inside one only queue: what
they lead to is sent when the upcall has returned.
"""

from ebbrt.iobuf import IOBuf
from ebbrt.tcp_settings import TcpSettings, without_nagle
from stack.address import format_address
from stack.tcp.autotune import send_room
from stack.tcp.constants import (
    CLOSE_WAIT,
    ESTABLISHED,
    LISTEN,
    MASK32,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)
from stack.tcp.delivery import flush
from stack.tcp.info import info
from stack.tcp.lifecycle import end, transition
from stack.tcp.output import output
from stack.tcp.segment_output import receive_window, send_reset
from stack.tcp.settings import configure
from stack.tcp.state import CLOSE
from stack.tcp.tcb import Tcb


class Connection(Tcb):
    """One TCP connection."""

    def send(self, data: IOBuf) -> bool:
        """Queue a chain; False after close(), and when the connection has ended."""
        if self.fin_queued or not (
            self.state == ESTABLISHED or self.state == CLOSE_WAIT or SYN_SENT <= self.state <= SYN_RECEIVED
        ):
            return False
        self.queue.append(data)
        self.cork = self.corked
        if not self.in_upcall:
            output(self, self.engine.clock.now())
        return True

    def send_window(self) -> int:
        """Bytes until the send buffer is full."""
        window = send_room(self)
        self.window_seen = window
        return window

    def disable_nagle(self) -> None:
        """Send short segments at once."""
        configure(self, without_nagle(self.configured))

    def settings(self) -> TcpSettings:
        """What is set for this connection."""
        return self.configured

    def configure(self, settings: TcpSettings) -> None:
        """Set it all, at any time. Raises SettingsError when there is no such congestion control."""
        configure(self, settings)

    def info(self) -> dict[str, int]:
        """Fields of Linux's TCP_INFO."""
        return info(self, self.engine.clock.now())

    def pause(self) -> None:
        """Hold received data back: the receive window closes as node memory is pinned by it."""
        self.paused = True

    def resume(self) -> None:
        """Deliver what was held back, and tell the peer of the window that this opens.

        As in Linux, that takes a segment of its own only when the window is then twice what the peer knows of; a
        smaller change goes with the next acknowledgment. No peer waits for one that does not come: if an empty buffer
        is less than twice what it knows of, it may use that (RFC 9293 section 3.8.6.2.1, half the largest window).
        """
        connection = self  # held on to: an upcall may be the end of it
        connection.paused = False
        if connection.in_upcall:
            return
        flush(connection)
        if ESTABLISHED <= connection.state < TIME_WAIT:
            known = (connection.rcv_adv - connection.rcv_nxt) & MASK32
            if receive_window(connection) >= max(2 * known, 1):
                connection.ack_now = True
            output(connection, connection.engine.clock.now())

    def close(self) -> None:
        """Send what is queued, then FIN; a connection that is not yet open is given up."""
        if self.state == SYN_SENT:
            end(self, "aborted")
            return
        if self.fin_queued:
            return
        if self.configured.reset_on_close:
            self.abort()
            return
        if self.state == ESTABLISHED or self.state == CLOSE_WAIT:
            self.fin_queued = True
            transition(self, CLOSE)
            if not self.in_upcall:
                output(self, self.engine.clock.now())
        elif self.state == SYN_RECEIVED:
            self.fin_queued = True  # the transition follows that to ESTABLISHED (RFC 9293 section 3.10.4)

    def abort(self) -> None:
        """Reset the connection. ``closed`` is called with "aborted" before this returns."""
        if self.state > SYN_SENT and self.state != TIME_WAIT:
            send_reset(self, self.engine.clock.now())
        if self.state > LISTEN:
            end(self, "aborted")

    def remote(self) -> tuple[str, int]:
        """Address in text, and port."""
        return format_address(self.path.destination_high, self.path.destination_low), self.remote_port
