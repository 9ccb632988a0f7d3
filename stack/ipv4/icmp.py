"""ICMP (RFC 792; RFC 1122 section 3.2.2): answers echo requests, reports errors, and hears of those of others.

An echo reply is a fresh 8-byte header chained to the request's own received data; its checksum is the request's,
updated for the one word that differs. Replies and errors return the options that ask for it (``stack.ipv4.options``).
Errors are never sent about errors, broadcasts or fragments, and at a bounded rate: a token bucket that fills with the
time it is given.
"""

import random

from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from stack.constants import (
    ERROR_TOO_BIG,
    ICMP_ECHO_REPLY,
    ICMP_ECHO_REQUEST,
    ICMP_HEADER,
    ICMP_PARAMETER_PROBLEM,
    ICMP_TIME_EXCEEDED,
    ICMP_UNREACHABLE,
    IPV4_HEADER,
    MASK32,
    PROTOCOL_ICMP,
    UNREACHABLE_TOO_BIG,
)
from stack.error_limit import ErrorLimit
from stack.ipv4.ipv4 import IPv4
from stack.ipv4.options import returned_options
from stack.transport import IcmpError, Received, Transport
from stack.wire.checksum import chain_sum, memory_sum, update
from stack.wire.icmp import IcmpHeader

IPV4_PROTOCOL_FIELD = 9  # its offset in the header
QUOTED_PAYLOAD = 8  # bytes behind the IPv4 header that an error quotes (RFC 792)


class Icmp(Transport):
    """ICMP for one ``IPv4``, where it registers itself. random: for the limit of errors."""

    def __init__(self, ip: IPv4, allocator: MemoryAllocator, random: random.Random) -> None:
        self.ip = ip
        self.allocator = allocator
        self._header = IcmpHeader(allocator.memory)
        self._error_limit = ErrorLimit(random)
        # Each received message is counted in ``received`` and in one of the next nine.
        self.received = 0
        self.too_short = 0
        self.bad_checksum = 0
        self.echo_requests_answered = 0
        self.echo_requests_dropped = 0
        self.echo_to_broadcast = 0
        self.echo_replies = 0
        self.errors_delivered = 0
        self.errors_not_ours = 0
        self.unknown_type = 0
        self.errors_sent = 0
        self.errors_limited = 0
        self.errors_about_broadcast = 0
        self.errors_about_errors = 0
        self.errors_dropped = 0
        self.internet = ip.internet
        self.internet.register(PROTOCOL_ICMP, self)
        ip.icmp = self

    def receive_segment(self, packet: IOBuf, length: int, received: Received, now: int) -> None:
        """Take one ICMP message. Its checksum is always verified: devices vouch for TCP's and UDP's only."""
        self.received += 1
        if packet.length < ICMP_HEADER:
            self.too_short += 1
            return
        if chain_sum(packet, length) != 0xFFFF:
            self.bad_checksum += 1
            return
        header = self._header.at(packet.start)
        message_type = header.message_type()
        if message_type == ICMP_ECHO_REQUEST:
            self._answer_echo(packet, length, received, now)
        elif message_type == ICMP_ECHO_REPLY:
            self.echo_replies += 1
        elif message_type in (ICMP_UNREACHABLE, ICMP_TIME_EXCEEDED, ICMP_PARAMETER_PROBLEM):
            code = header.code()
            too_big = message_type == ICMP_UNREACHABLE and code == UNREACHABLE_TOO_BIG
            mtu = header.rest() & 0xFFFF if too_big else 0  # RFC 1191 section 4
            quoted = packet.start + ICMP_HEADER
            contiguous = packet.length - ICMP_HEADER
            if self.ip.report_error(message_type, code, mtu, quoted, contiguous, received.interface, now):
                self.errors_delivered += 1
                if self.internet.steering is not None:
                    self.internet.steering.share_error(packet)
            else:
                self.errors_not_ours += 1
        else:
            self.unknown_type += 1  # among them source quench (RFC 6633), and redirects: a host with one gateway

    def icmp_error(self, error: IcmpError, now: int) -> None:
        """An echo reply or an error of ours did not arrive: nothing waits for it, but the next one is to pass."""
        if error.kind == ERROR_TOO_BIG:
            local, remote = (error.local_high, error.local_low), (error.remote_high, error.remote_low)
            self.internet.path(local, remote).packet_too_big(error.mtu, error.length, now)

    def send_error(self, error_type: int, code: int, rest: int, packet: IOBuf, now: int) -> None:
        """Report the packet that IPv4 is delivering to its sender, unless an error about it is forbidden.

        rest: the last 4 bytes of ICMP's header. packet: its chain from the transport header on. That it is no fragment
        but maybe a first one, and from one single host, IPv4 has seen to (RFC 1122 section 3.2.2).
        """
        received = self.internet.received
        if received.to_group:
            self.errors_about_broadcast += 1
            return
        if self._is_error(packet, received):
            self.errors_about_errors += 1
            return
        if not self._error_limit.take(now):
            self.errors_limited += 1
            return
        quoted = received.header_length + min(packet.chain_length(), QUOTED_PAYLOAD)
        length = ICMP_HEADER + quoted
        options = self._options(received, now)
        error = allocate(self.allocator, length, self.internet.headroom + len(options))
        if error is None:
            self.errors_dropped += 1
            return
        self._header.at(error.start).write(error_type, code, 0, rest)
        received.quote(packet, error.start + ICMP_HEADER, quoted)
        checksum = 0xFFFF ^ memory_sum(error.memory, error.start, length)
        self._header.write(error_type, code, checksum, rest)
        if self._send_back(error, length, options, 0, now):
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
            "echo_to_broadcast": self.echo_to_broadcast,
            "echo_replies": self.echo_replies,
            "errors_delivered": self.errors_delivered,
            "errors_not_ours": self.errors_not_ours,
            "unknown_type": self.unknown_type,
            "errors_sent": self.errors_sent,
            "errors_limited": self.errors_limited,
            "errors_about_broadcast": self.errors_about_broadcast,
            "errors_about_errors": self.errors_about_errors,
            "errors_dropped": self.errors_dropped,
        }

    def _answer_echo(self, request: IOBuf, length: int, received: Received, now: int) -> None:
        """Send the request's data back to its sender."""
        if received.to_group:
            self.echo_to_broadcast += 1  # RFC 1122 section 3.2.2.6 allows silence, and an amplifier is no use
            return
        options = self._options(received, now)
        reply = allocate(self.allocator, ICMP_HEADER, self.internet.headroom + len(options))
        if reply is None:
            self.echo_requests_dropped += 1
            return
        header = self._header
        code = header.code()
        checksum = update(header.checksum(), (ICMP_ECHO_REQUEST << 8) | code, (ICMP_ECHO_REPLY << 8) | code)
        rest = header.rest()
        header.at(reply.start).write(ICMP_ECHO_REPLY, code, checksum, rest)
        reply.next = request.advance_chain(ICMP_HEADER)
        if self._send_back(reply, length, options, received.traffic_class, now):
            self.echo_requests_answered += 1
        else:
            self.echo_requests_dropped += 1

    def _options(self, received: Received, now: int) -> bytes:
        """Those of the answer to the packet that IPv4 is delivering."""
        if received.header_length == IPV4_HEADER:
            return b""
        memory = self.allocator.memory
        options = bytes(memory.view(received.start + IPV4_HEADER, received.header_length - IPV4_HEADER))
        return returned_options(options, received.destination_low & MASK32, now)

    def _send_back(self, message: IOBuf, length: int, options: bytes, traffic_class: int, now: int) -> bool:
        """Send a message to whom the packet is from that IPv4 is delivering."""
        path = self.ip.reply_path()
        if options:
            return path.send_with_options(message, length, PROTOCOL_ICMP, options, traffic_class, now)
        return path.send(message, length, PROTOCOL_ICMP, 0, 0, traffic_class, now)

    def _is_error(self, packet: IOBuf, received: Received) -> bool:
        """Whether a packet is an ICMP message other than a question: about such there are no errors."""
        if packet.memory.mem[received.start + IPV4_PROTOCOL_FIELD] != PROTOCOL_ICMP:
            return False
        return packet.length == 0 or packet.memory.mem[packet.start] != ICMP_ECHO_REQUEST
