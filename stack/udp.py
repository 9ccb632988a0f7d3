"""UDP (RFC 768; RFC 1122 section 4.1): sockets by port, checksums both ways, and "port unreachable" for the rest."""

import random

from ebbrt.clock import Clock
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.network import AddressInUseError, UdpHandler, UdpSocket
from stack.address import format_address, parse_address
from stack.constants import (
    ERROR_PORT,
    ERROR_TOO_BIG,
    IPV4_LONGEST,
    MASK32,
    PROTOCOL_UDP,
    UDP_CHECKSUM_OFFSET,
    UDP_HEADER,
)
from stack.internet import Internet
from stack.ipv4.igmp import Membership
from stack.transport import IcmpError, Path, Received, Transport
from stack.wire.checksum import transport_sum
from stack.wire.udp import UdpHeader

FIRST_EPHEMERAL = 49152  # RFC 6335 section 6
LAST_PORT = 65535


class Udp(Transport):
    """UDP over both versions of IP; it registers itself with ``internet``."""

    def __init__(self, internet: Internet, allocator: MemoryAllocator, clock: Clock, random: random.Random) -> None:
        self.internet = internet
        self.allocator = allocator
        self.clock = clock
        self.random = random
        self._sockets: dict[int, StackUdpSocket] = {}
        self._header = UdpHeader(allocator.memory)
        self._delivering = False  # a datagram to a socket
        # Each received datagram is counted in ``received`` and in one of the next six.
        self.received = 0
        self.delivered = 0
        self.too_short = 0
        self.bad_length = 0
        self.bad_checksum = 0
        self.no_socket = 0
        self.handed_over = 0
        self.sent = 0
        self.send_dropped = 0
        internet.register(PROTOCOL_UDP, self)

    def bind(self, port: int, handler: UdpHandler) -> "StackUdpSocket":
        """A socket on ``port``, or on a free one for 0. Raises AddressInUseError, ValueError for no port."""
        if not 0 <= port <= LAST_PORT:
            raise ValueError(f"a UDP port is 0 to {LAST_PORT}, not {port}")
        if port == 0:
            port = self._free_port()
        if port in self._sockets:
            raise AddressInUseError(f"UDP port {port} is bound already")
        socket = StackUdpSocket(self, port, handler)
        handler.socket = socket
        self._sockets[port] = socket
        if self.internet.steering is not None:
            self.internet.steering.claim(PROTOCOL_UDP, port)
        return socket

    def receive_segment(self, packet: IOBuf, length: int, received: Received, now: int) -> None:
        """Take one datagram."""
        self.received += 1
        if packet.length < UDP_HEADER:
            self.too_short += 1
            return
        header = self._header.at(packet.start)
        datagram_length = header.length()
        if datagram_length < UDP_HEADER or datagram_length > length:
            self.bad_length += 1
            return
        if header.checksum() == 0:
            if received.version == 6:  # there has to be one (RFC 8200 section 8.1)
                self.bad_checksum += 1
                return
        elif not received.checksum_valid:
            if transport_sum(packet, datagram_length, PROTOCOL_UDP, received.address_sum) != 0xFFFF:
                self.bad_checksum += 1
                return
        source_port = header.source_port()
        socket = self._sockets.get(header.destination_port())
        if socket is None:
            steering = self.internet.steering
            if steering is not None and steering.pass_on(PROTOCOL_UDP, header.destination_port(), packet):
                self.handed_over += 1
                return
            self.no_socket += 1
            self.internet.port_unreachable(packet, now)
            return
        self.delivered += 1
        if datagram_length < length:
            packet.truncate_chain(datagram_length)
        packet.advance(UDP_HEADER)
        while packet.length == 0 and packet.next is not None:
            packet = packet.next
        self._delivering = True
        try:
            socket.handler.receive(packet, format_address(received.source_high, received.source_low), source_port)
        finally:
            self._delivering = False

    def icmp_error(self, error: IcmpError, now: int) -> None:
        """Tell the socket that a datagram of its did not arrive (RFC 1122 section 4.1.3.3).

        If it was too long, longer ones go in fragments from now on.
        """
        socket = self._sockets.get(error.local_port)
        if socket is not None:
            if error.kind == ERROR_TOO_BIG:
                path = self.internet.known_path(error)  # else we cannot have sent it
                if path is not None:
                    path.packet_too_big(error.mtu, error.length, now)
            reason = "refused" if error.kind == ERROR_PORT else "unreachable"
            address = format_address(error.remote_high, error.remote_low)
            socket.handler.undelivered(reason, address, error.remote_port)

    def send(self, port: int, data: IOBuf, destination: tuple[int, int], destination_port: int) -> bool:
        """Send ``data`` in one datagram from ``port``; False, counted, when it could not leave.

        An answer to the datagram that is being delivered goes from the address that that was sent to, if there is a
        way from there (RFC 1122 section 4.1.3.5).
        """
        path = self.internet.path(None, destination)
        if self._answers(destination):
            back = self.internet.path_back()
            if back.leads_to_host():
                path = back
        return self.send_on(path, port, data, destination_port)

    def _answers(self, destination: tuple[int, int]) -> bool:
        """Whether ``destination`` is where the datagram came from that is being delivered, to us alone."""
        received = self.internet.received
        is_its_source = destination == (received.source_high, received.source_low)
        return self._delivering and is_its_source and not received.to_group

    def send_on(self, path: Path, port: int, data: IOBuf, destination_port: int) -> bool:
        """As ``send``, on a path that the caller has chosen."""
        length = UDP_HEADER + data.chain_length()
        header = allocate(self.allocator, UDP_HEADER, self.internet.headroom) if length <= IPV4_LONGEST else None
        if header is None:
            self.send_dropped += 1
            return False
        self._header.at(header.start).write(port, destination_port, length)
        header.next = data
        if not path.send(header, length, PROTOCOL_UDP, UDP_CHECKSUM_OFFSET, 0, 0, self.clock.now()):
            self.send_dropped += 1
            return False
        self.sent += 1
        return True

    def unbind(self, port: int) -> None:
        """Forget the socket on ``port``."""
        self._sockets.pop(port, None)
        if self.internet.steering is not None:
            self.internet.steering.release(PROTOCOL_UDP, port)

    def statistics(self) -> dict[str, int]:
        """Received datagrams by outcome; sent ones, and those that could not leave."""
        return {
            "received": self.received,
            "delivered": self.delivered,
            "too_short": self.too_short,
            "bad_length": self.bad_length,
            "bad_checksum": self.bad_checksum,
            "no_socket": self.no_socket,
            "handed_over": self.handed_over,
            "sent": self.sent,
            "send_dropped": self.send_dropped,
            "sockets": len(self._sockets),
        }

    def _free_port(self) -> int:
        """A port from the ephemeral range, at random (RFC 6056 section 3.3.1)."""
        first, last = FIRST_EPHEMERAL, LAST_PORT
        steering = self.internet.steering
        if steering is not None:
            first, last = steering.own_ports(first, last)
        count = last - first + 1
        start = self.random.randrange(count)
        for step in range(count):
            port = first + (start + step) % count
            if port not in self._sockets:
                if steering is None or not steering.is_claimed_elsewhere(PROTOCOL_UDP, port):
                    return port
        raise AddressInUseError("every ephemeral UDP port is bound")


class StackUdpSocket(UdpSocket):
    """A socket on a node's own stack."""

    def __init__(self, udp: Udp, port: int, handler: UdpHandler) -> None:
        self.udp: Udp | None = udp
        self.port = port
        self.handler = handler
        self._joined: list[tuple[Membership, int]] = []

    def local_port(self) -> int:
        """The port it is bound to."""
        return self.port

    def send(self, data: IOBuf, address: str, port: int) -> bool:
        """See UdpSocket."""
        return self.udp is not None and self.udp.send(self.port, data, parse_address(address), port)

    def join(self, group: str) -> None:
        """See UdpSocket."""
        number = self._group(group)
        assert self.udp is not None, "joined after it was closed"
        ipv4 = self.udp.internet.ipv4
        membership = ipv4.igmp.membership(ipv4.interface_for(number))
        membership.join(number, self.udp.clock.now())
        self._joined.append((membership, number))

    def leave(self, group: str) -> None:
        """See UdpSocket."""
        number = self._group(group)
        for membership, joined in self._joined:
            if joined == number and self.udp is not None:
                self._joined.remove((membership, joined))
                membership.leave(number, self.udp.clock.now())
                return
        raise ValueError(f"{group} was not joined")

    def _group(self, group: str) -> int:
        high, low = parse_address(group)
        if high or low >> 28 != 0xFFFFE:
            raise ValueError(f"{group} is no IPv4 multicast group")
        return low & MASK32

    def close(self) -> None:
        """See UdpSocket."""
        if self.udp is not None:
            for membership, group in self._joined:
                membership.leave(group, self.udp.clock.now())
            self._joined.clear()
            self.udp.unbind(self.port)
            self.udp = None
