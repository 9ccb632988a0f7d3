"""The Network Manager Ebb on a node's own stack: what joins the engine to the event loop.

A node makes one per core and installs it as ``ebbrt.ebb.NETWORK_MANAGER``. Frames come from the driver's events
straight to the Stack; here its deadlines become the loop's, and applications get ``ebbrt.network``'s interface.
"""

from collections.abc import Callable
from typing import Any

from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import TimerSource
from ebbrt.iobuf import IOBuf
from ebbrt.network import NetworkManager, TcpConnection, TcpHandler, UdpHandler, UdpSocket
from stack.address import format_address, mapped, parse_address
from stack.stack import Stack


class StackTimers(TimerSource):
    """A stack's deadlines, as the event loop asks for them before it halts."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def next_deadline(self) -> int:
        """When the stack wants to be polled."""
        return self.stack.next_deadline()

    def expire(self, now: int) -> None:
        """Poll it."""
        self.stack.poll(now)


class StackNetworkManager(NetworkManager):
    """The Network Manager of one core, on ``stack``, whose timers run on ``event_manager``."""

    def __init__(self, stack: Stack, event_manager: EventManager) -> None:
        self.stack = stack
        event_manager.add_timer_source(StackTimers(stack))

    def listen(
        self, port: int, accept: Callable[[TcpConnection], TcpHandler], backlog: int = 1024, fast_open: int = 0
    ) -> None:
        """See NetworkManager; fast_open: see ``Tcp.listen``."""
        self.stack.tcp.listen(port, accept, backlog, fast_open=fast_open)

    def connect(self, address: str, port: int, handler: TcpHandler, fast_open: IOBuf | None = None) -> TcpConnection:
        """See NetworkManager; fast_open: see ``Tcp.connect``."""
        return self.stack.tcp.connect(parse_address(address), port, handler, fast_open=fast_open)

    def bind_udp(self, port: int, handler: UdpHandler) -> UdpSocket:
        """See NetworkManager."""
        return self.stack.udp.bind(port, handler)

    def local_address(self) -> str:
        """The node's IPv4 address."""
        return format_address(*mapped(self.stack.interfaces[0].ipv4_address))

    def statistics(self) -> dict[str, dict[str, Any]]:
        """The stack's counters by layer."""
        return self.stack.statistics()
