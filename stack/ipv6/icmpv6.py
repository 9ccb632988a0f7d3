"""ICMPv6 (RFC 4443): answers echo requests, reports errors, and hears of those of others.

It also takes the messages that are about the link itself, and gives them to whom they concern: Neighbor Discovery
(``ndp``, ``routers``) and MLD (``mld``). Errors are never sent about errors, groups or nobody, and at a bounded rate:
a token bucket that fills with the time it is given.
"""

import random

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from stack.constants import ERROR_TOO_BIG, ICMP_HEADER
from stack.error_limit import ErrorLimit
from stack.ipv6.constants import (
    ECHO_REPLY,
    ECHO_REQUEST,
    FIRST_INFORMATIONAL,
    IPV6_HEADER,
    LEAST_MTU,
    LISTENER_QUERY,
    LISTENER_REPORT,
    NEIGHBOR_ADVERTISEMENT,
    NEIGHBOR_SOLICITATION,
    PACKET_TOO_BIG,
    PROTOCOL_ICMPV6,
    REDIRECT,
    ROUTER_ADVERTISEMENT,
)
from stack.ipv6.ipv6 import IPv6
from stack.transport import IcmpError, Received, Transport
from stack.wire.checksum import transport_sum
from stack.wire.icmp import IcmpHeader

MOST_QUOTED = LEAST_MTU - IPV6_HEADER - ICMP_HEADER  # bytes of a packet that an error quotes (section 2.4 (c))
CHECKSUM_OFFSET = 2
LONGEST_MESSAGE = 2048  # bytes of a message about the link that are looked at


class Icmpv6(Transport):
    """ICMPv6 for one ``IPv6``, where it registers itself. random: for the limit of errors."""

    def __init__(self, ip: IPv6, allocator: MemoryAllocator, random: random.Random) -> None:
        self.ip = ip
        self.internet = ip.internet
        self.allocator = allocator
        self._header = IcmpHeader(allocator.memory)
        self._error_limit = ErrorLimit(random)
        # Each received message is counted in ``received`` and in one of the next ten.
        self.received = 0
        self.too_short = 0
        self.bad_checksum = 0
        self.echo_requests_answered = 0
        self.echo_requests_dropped = 0
        self.echo_replies = 0
        self.errors_delivered = 0
        self.errors_not_ours = 0
        self.about_link = 0
        self.in_fragments = 0
        self.unknown_type = 0
        self.errors_sent = 0
        self.errors_limited = 0
        self.errors_forbidden = 0
        self.errors_dropped = 0
        ip.icmp = self
        ip.reporter = self

    def receive_segment(self, packet: IOBuf, length: int, received: Received, now: int) -> None:
        """Take one ICMPv6 message. Its checksum is always verified: devices vouch for TCP's and UDP's only."""
        self.received += 1
        if length < ICMP_HEADER or packet.length < ICMP_HEADER:
            self.too_short += 1
            return
        if transport_sum(packet, length, PROTOCOL_ICMPV6, received.address_sum) != 0xFFFF:
            self.bad_checksum += 1
            return
        header = self._header.at(packet.start)
        message_type = header.message_type()
        if message_type == ECHO_REQUEST:
            self._answer_echo(packet, length, received, now)
        elif message_type == ECHO_REPLY:
            self.echo_replies += 1
        elif message_type < FIRST_INFORMATIONAL:
            self._take_error(message_type, packet, received, now)
        elif LISTENER_QUERY <= message_type <= REDIRECT:
            self._take_link_message(message_type, packet, received, now)
        else:
            self.unknown_type += 1  # section 2.4 (b)

    def icmp_error(self, error: IcmpError, now: int) -> None:
        """An echo reply or an error of ours did not arrive: nothing waits for it, but the next one is to pass."""
        if error.kind == ERROR_TOO_BIG:
            local, remote = (error.local_high, error.local_low), (error.remote_high, error.remote_low)
            self.internet.path(local, remote).packet_too_big(error.mtu, error.length, now)

    def send_error(
        self, error_type: int, code: int, parameter: int, packet: IOBuf, even_to_group: bool, now: int
    ) -> None:
        """Report the packet that IPv6 is delivering to its sender, unless an error about it is forbidden.

        packet: its chain behind the ``header_length`` bytes that ``Received`` tells of. even_to_group: though it was
        sent to a group, which only two kinds of error may (section 2.4 (e.3)). The caller must not report an ICMPv6
        error or redirect.
        """
        received = self.internet.received
        if (received.to_group and not even_to_group) or (received.source_high == 0 and received.source_low == 0):
            self.errors_forbidden += 1
            return
        if not self._error_limit.take(now):
            self.errors_limited += 1
            return
        quoted = min(received.header_length + packet.chain_length(), MOST_QUOTED)
        error = allocate(self.allocator, ICMP_HEADER + quoted, self.internet.headroom)
        if error is None:
            self.errors_dropped += 1
            return
        self._header.at(error.start).write(error_type, code, 0, parameter)
        received.quote(packet, error.start + ICMP_HEADER, quoted)
        if self._send_back(error, ICMP_HEADER + quoted, 0, now):
            self.errors_sent += 1
        else:
            self.errors_dropped += 1

    def statistics(self) -> dict[str, int]:
        """Received messages by outcome; errors sent, and those held back."""
        return {
            "received": self.received,
            "too_short": self.too_short,
            "bad_checksum": self.bad_checksum,
            "echo_requests_answered": self.echo_requests_answered,
            "echo_requests_dropped": self.echo_requests_dropped,
            "echo_replies": self.echo_replies,
            "errors_delivered": self.errors_delivered,
            "errors_not_ours": self.errors_not_ours,
            "about_link": self.about_link,
            "in_fragments": self.in_fragments,
            "unknown_type": self.unknown_type,
            "errors_sent": self.errors_sent,
            "errors_limited": self.errors_limited,
            "errors_forbidden": self.errors_forbidden,
            "errors_dropped": self.errors_dropped,
        }

    def _answer_echo(self, request: IOBuf, length: int, received: Received, now: int) -> None:
        """Send the request's data back to its sender; one to a group is answered at the rate of errors."""
        header = self._header
        rest = header.rest()
        reply = None
        if not received.to_group or self._error_limit.take(now):
            reply = allocate(self.allocator, ICMP_HEADER, self.internet.headroom)
        if reply is None:
            self.echo_requests_dropped += 1
            return
        header.at(reply.start).write(ECHO_REPLY, 0, 0, rest)
        reply.next = request.advance_chain(ICMP_HEADER)
        if self._send_back(reply, length, received.traffic_class, now):
            self.echo_requests_answered += 1
        else:
            self.echo_requests_dropped += 1

    def _send_back(self, message: IOBuf, length: int, traffic_class: int, now: int) -> bool:
        """Send a message to whom the packet is from: from its destination, or if that is a group, from an address of
        ours (section 2.2).
        """
        path = self.internet.reply_path()
        return path.send(message, length, PROTOCOL_ICMPV6, CHECKSUM_OFFSET, 0, traffic_class, now)

    def _take_error(self, message_type: int, packet: IOBuf, received: Received, now: int) -> None:
        """An error about a packet of ours goes to the transport that sent it (section 2.4 (a), (d))."""
        header = self._header
        code = header.code()
        mtu = header.rest() if message_type == PACKET_TOO_BIG else 0
        quoted = packet.start + ICMP_HEADER
        contiguous = packet.length - ICMP_HEADER
        link = received.interface.link6
        assert link is not None
        if self.ip.report_error(message_type, code, mtu, quoted, contiguous, link, now):
            self.errors_delivered += 1
            if self.internet.steering is not None:
                self.internet.steering.share_ipv6_error(
                    packet, self.ip.quoted_protocol, self.internet.error.local_port
                )
        else:
            self.errors_not_ours += 1

    def _take_link_message(self, message_type: int, packet: IOBuf, received: Received, now: int) -> None:
        """A message of Neighbor Discovery, which never comes in fragments (RFC 6980 section 5), or of MLD."""
        if self.ip.in_fragments:
            self.in_fragments += 1
            return
        self.about_link += 1
        link = received.interface.link6
        assert link is not None
        message = _bytes_of(packet)
        steering = self.internet.steering
        to_answer = steering is None or not steering.is_shared
        in_order = False
        if message_type == NEIGHBOR_SOLICITATION:
            in_order = link.neighbours.receive_solicitation(message, received, now, to_answer)
        elif message_type == NEIGHBOR_ADVERTISEMENT:
            in_order = link.neighbours.receive_advertisement(message, received, now)
        elif message_type == ROUTER_ADVERTISEMENT:
            in_order = link.routers.receive_advertisement(message, received, now)
        elif message_type == LISTENER_QUERY:
            router_alert = received.header_length > IPV6_HEADER and self.ip.extensions.router_alert
            link.mld.receive_query(message, received, router_alert, now)
        elif message_type == LISTENER_REPORT:
            link.mld.receive_report(message)
        elif message_type == REDIRECT:
            link.routers.redirects_ignored += 1
        if in_order and steering is not None:
            steering.share_link_message(packet)


def _bytes_of(chain: IOBuf) -> bytes:
    """The first bytes of a message, which may lie in several pieces."""
    data = b""
    piece: IOBuf | None = chain
    while piece is not None and len(data) < LONGEST_MESSAGE:
        data += piece.peek(0, piece.length)
        piece = piece.next
    return data[:LONGEST_MESSAGE]
