"""The interface of the Network Manager: what an application sees of TCP and UDP.

An application subclasses ``TcpHandler`` for its upcalls, and calls down into the ``TcpConnection`` it was given; so
with ``UdpHandler`` and ``UdpSocket``. The same application runs over a node's own stack (``stack.network_manager``)
and, in a front-end, over kernel sockets. All of it happens on one core's events: nothing here needs a lock, and an
upcall runs to completion. They are base classes, so that in the compiled build an upcall is a C call. Paper section
4.1.1 and its Figure 3.
"""

from collections.abc import Callable

from ebbrt.iobuf import IOBuf
from ebbrt.tcp_settings import TcpSettings


class TcpHandler:
    """One connection's upcalls. Every one of them may call ``send``, ``close`` and ``abort``."""

    connection: "TcpConnection"  # set before the first upcall

    def connected(self) -> None:
        """The three-way handshake is complete; an accepting handler is told this too."""

    def receive(self, data: IOBuf) -> None:
        """Take received bytes, in order, as a chain; it is the handler's own from here on.

        Replies given to ``send`` during the call leave together when it returns.
        """

    def send_window_opened(self) -> None:
        """``send_window()`` was too small for the application and has grown: more may be sent."""

    def peer_closed(self) -> None:
        """The peer has sent FIN: no more data will come; data may still be sent, and close() is due."""

    def closed(self, reason: str) -> None:
        """The connection is gone, and this is its last upcall.

        ``reason``: "closed" after an orderly end in both directions; "reset" by the peer; "timeout" when the peer no
        longer answers; "unreachable"; "refused"; "aborted" by this side.
        """


class TcpConnection:
    """One connection as an application sees it; made by a Network Manager."""

    handler: TcpHandler

    def send(self, data: IOBuf) -> bool:
        """Queue a chain for sending, without copying; False when the connection can no longer send.

        The connection holds the chain until the peer has acknowledged it: the application must not write to it.
        Everything is queued, even beyond ``send_window()``: an application that looks at the window bounds itself.
        """
        raise NotImplementedError

    def send_window(self) -> int:
        """Bytes that may be queued before the connection's send buffer is full; ``send_window_opened`` follows 0."""
        raise NotImplementedError

    def disable_nagle(self) -> None:
        """Send short segments at once, even while others are unacknowledged (TCP_NODELAY)."""
        raise NotImplementedError

    def settings(self) -> TcpSettings:
        """What is set for this connection."""
        raise NotImplementedError

    def configure(self, settings: TcpSettings) -> None:
        """Set it all, as ``ebbrt.tcp_settings`` says; at any time.

        Raises SettingsError when the congestion control is none that there is. On a connection that has ended it does
        nothing.
        """
        raise NotImplementedError

    def info(self) -> dict[str, int]:
        """How the connection is doing: fields of Linux's TCP_INFO, by their names there, with its units and codes.

        A form leaves out what it does not know. Of a connection that has ended nothing is known.
        """
        raise NotImplementedError

    def pause(self) -> None:
        """Deliver no more data until ``resume``: the receive window closes as the peer goes on sending."""
        raise NotImplementedError

    def resume(self) -> None:
        """Deliver again, at once what has been held back."""
        raise NotImplementedError

    def close(self) -> None:
        """Send what is queued, then FIN. Data may still arrive until the peer closes too."""
        raise NotImplementedError

    def abort(self) -> None:
        """Send a reset and forget the connection."""
        raise NotImplementedError

    def remote(self) -> tuple[str, int]:
        """Address and port of the peer."""
        raise NotImplementedError


class UdpHandler:
    """One UDP socket's upcalls. Every one of them may call ``send`` and ``close``."""

    socket: "UdpSocket"  # set before the first upcall

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        """Take one datagram from ``address`` and ``port``: a chain, maybe of no bytes, the handler's from now on."""

    def undelivered(self, reason: str, address: str, port: int) -> None:
        """A datagram sent there is known to be lost: "refused", nothing is bound there; or "unreachable".

        Not every lost datagram is known to be.
        """


class UdpSocket:
    """A UDP port as an application sees it; made by a Network Manager."""

    def local_port(self) -> int:
        """The port it is bound to."""
        raise NotImplementedError

    def send(self, data: IOBuf, address: str, port: int) -> bool:
        """Send a chain as one datagram, without copying; False when it could not leave: no route, too long, no room.

        The device may read the chain later: the application must not write to it.
        """
        raise NotImplementedError

    def join(self, group: str) -> None:
        """Receive what is sent to an IPv4 multicast group and the port, on the interface that leads to the group.

        Other sockets on the same interface and port see it too. On a node of several cores each joins for itself.
        Raises OSError when there are too many groups, or this form has none (kernel sockets, bound to one address),
        ValueError when it is no group.
        """
        raise OSError("this form of UDP socket hears no groups")

    def leave(self, group: str) -> None:
        """Undo one ``join``. Raises ValueError without one."""
        raise ValueError(f"{group} was not joined")

    def close(self) -> None:
        """Give the port back and leave all groups; no upcall follows."""
        raise NotImplementedError


class NetworkManager:
    """The Ebb applications open connections with."""

    def listen(self, port: int, accept: Callable[[TcpConnection], TcpHandler], backlog: int = 1024) -> None:
        """Accept connections on ``port``: ``accept`` is called when a handshake is complete, and gives its handler.

        Raises AddressInUseError when something listens there already.
        """
        raise NotImplementedError

    def connect(self, address: str, port: int, handler: TcpHandler) -> TcpConnection:
        """Open a connection; ``handler.connected`` or ``handler.closed`` tells the outcome."""
        raise NotImplementedError

    def bind_udp(self, port: int, handler: UdpHandler) -> UdpSocket:
        """Receive datagrams on ``port``, or on a free one for 0: ``handler`` gets them.

        Raises AddressInUseError when the port is bound already, or none is free.
        """
        raise NotImplementedError


class AddressInUseError(OSError):
    """Something listens on that port already."""
