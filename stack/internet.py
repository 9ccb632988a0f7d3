"""IP as the transports see it: both versions behind one object.

It knows who takes which protocol, holds the one ``Received`` that every delivered packet is described by, and finds
the path to an address of either version.
"""

from typing import TYPE_CHECKING

from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from stack.address import is_mapped
from stack.constants import ICMP_UNREACHABLE, UNREACHABLE_PORT
from stack.ipv6.constants import DESTINATION_UNREACHABLE, PORT_UNREACHABLE
from stack.transport import IcmpError, Path, Received, Transport

if TYPE_CHECKING:
    from stack.ipv4.icmp import Icmp
    from stack.ipv4.ipv4 import IPv4
    from stack.ipv6.ipv6 import IPv6
    from stack.steering import Steering


class Internet:
    """What the transports of one stack have below them; ``Stack`` puts it together.

    headroom: what any path may need. steering: the way to the other cores of the node; None on a node of one.
    """

    def __init__(self, allocator: MemoryAllocator) -> None:
        self.allocator = allocator
        self.received = Received()
        self.error = IcmpError()
        self.headroom = 0
        self.steering: Steering | None = None
        self.ipv4: IPv4 = None  # type: ignore[assignment]  # the Stack puts these here before anything can ask
        self.ipv6: IPv6 = None  # type: ignore[assignment]
        self.icmp: Icmp = None  # type: ignore[assignment]
        self._transports: list[Transport | None] = [None] * 256

    def register(self, protocol: int, transport: Transport) -> None:
        """Deliver packets of ``protocol`` (0 to 255) to ``transport``, whichever version of IP they came in."""
        self._transports[protocol] = transport

    def transport(self, protocol: int) -> Transport | None:
        """Who takes packets of ``protocol``."""
        return self._transports[protocol]

    def path(self, source: tuple[int, int] | None, destination: tuple[int, int]) -> Path:
        """The way to ``destination`` (high, low) from our address ``source``, or from the one that fits best."""
        if is_mapped(*destination):
            return self.ipv4.path(source, destination)
        return self.ipv6.output.path(source, destination)

    def known_path(self, error: IcmpError) -> Path | None:
        """The path that the packet took which ``error`` is about, if anything was sent on it that is remembered."""
        local, remote = (error.local_high, error.local_low), (error.remote_high, error.remote_low)
        if is_mapped(*remote):
            return self.ipv4.known_path(local, remote)
        return self.ipv6.output.known_path(local, remote)

    def port_unreachable(self, packet: IOBuf, now: int) -> None:
        """Tell the sender of the packet that is being delivered that nobody waits for such at its port.

        packet: from the transport header on.
        """
        if self.received.version == 4:
            self.icmp.send_error(ICMP_UNREACHABLE, UNREACHABLE_PORT, 0, packet, now)
        elif self.ipv6.reporter is not None:
            self.ipv6.reporter.send_error(DESTINATION_UNREACHABLE, PORT_UNREACHABLE, 0, packet, False, now)

    def path_back(self) -> Path:
        """The way back to whom the packet is from that is being delivered."""
        received = self.received
        return self.path(
            (received.destination_high, received.destination_low), (received.source_high, received.source_low)
        )

    def reply_path(self) -> Path:
        """The same for a single packet: nothing is kept for it, so that a flood from many sources leaves no trace.

        Valid until the transport returns.
        """
        return self.ipv4.reply_path() if self.received.version == 4 else self.ipv6.output.reply_path(self.received)
