"""The packets of a run: injecting those that the script sends, and waiting for those that it expects.

As in packetdrill, one connection at a time is under test: the socket that was last told to listen or connect, or the
connection that the next inbound packet opens to a listening one. Packets of others are passed over.
"""

import struct
from collections.abc import Callable
from dataclasses import replace

from netlab.script.compare import differences
from netlab.script.configuration import Configuration
from netlab.script.flow import BOUND, CONNECTING, LISTENING, PASSIVE, Flow, UntranslatableError
from netlab.script.packets import Ends, Seen, build
from netlab.script.report import Failure, side_by_side
from netlab.script.tree import Event, Icmp, Packet, Tcp, Udp
from netlab.script.wire import InjectionError, Wire

FIRST_REMOTE_PORT = 40000
LAST_FLAGS = "FPW"  # those that only the last of several segments may have


class Exchange:
    """The packets on ``wire``, as the script numbers them."""

    def __init__(self, wire: Wire, configuration: Configuration) -> None:
        self.wire = wire
        self.configuration = configuration
        self.flow: Flow | None = None
        self._next_port = FIRST_REMOTE_PORT

    # What sockets do

    def bound(self, protocol: str, port: int) -> None:
        """A socket was bound. A datagram one can receive now."""
        if protocol == "udp":
            ends = Ends(
                self.configuration.local_ip, port, self.configuration.remote_ip, self.configuration.connect_port
            )
            self.flow = Flow(protocol, ends, BOUND)

    def listening(self, port: int) -> None:
        """A socket listens."""
        self.flow = Flow("tcp", Ends(self.configuration.local_ip, port, self.configuration.remote_ip, 0), LISTENING)

    def connecting(self, protocol: str, local_port: Callable[[], int], address: str, port: int) -> None:
        """A socket connects, or sends to somebody; its own port is 0 as long as it has none."""
        ends = Ends(self.configuration.local_ip, 0, address, port)
        self.flow = Flow(protocol, ends, CONNECTING, local_port)

    # Inbound

    def inject(self, event: Event, packet: Packet) -> None:
        """Send the stack a packet of the script. Raises Failure for one that cannot be translated."""
        flow = self._flow_of(event, packet)
        try:
            translated = flow.inbound(packet, self.configuration.ts_ecr_scaled)
        except UntranslatableError as error:
            raise Failure(event.position, str(error)) from error
        ends = flow.ends.reversed()
        if packet.ports[0]:
            ends = replace(ends, source_port=packet.ports[0])
        if packet.ports[1]:
            ends = replace(ends, destination_port=packet.ports[1])
        try:
            data = build(translated, ends)
        except struct.error:
            raise Failure(event.position, "the packet is longer than a header can say: 65535 bytes") from None
        try:
            self.wire.inject(data)
        except InjectionError as error:
            raise Failure(event.position, str(error)) from error

    def _flow_of(self, event: Event, packet: Packet) -> Flow:
        """The connection a packet belongs to, which a first one opens."""
        flow = self.flow
        if isinstance(packet.body, Tcp) and packet.inbound and (flow is None or flow.state == LISTENING):
            configuration = self.configuration
            port = flow.ends.source_port if flow is not None else configuration.bind_port
            flow = Flow("tcp", Ends(configuration.local_ip, port, configuration.remote_ip, self._next_port), PASSIVE)
            self._next_port += 1
            self.flow = flow
        if flow is None or not self._fits(flow, packet):
            raise Failure(event.position, "the packet belongs to no socket: none was bound, listens or connects")
        return flow

    @staticmethod
    def _fits(flow: Flow, packet: Packet) -> bool:
        kinds = {"tcp": (Tcp, Icmp), "udp": (Udp, Icmp)}[flow.protocol]
        return isinstance(packet.body, kinds) or any(packet.ports)

    # Outbound

    def expect(self, event: Event, packet: Packet, too_late: bool) -> Seen | None:
        """The packet that the script expects, if it has been sent by now; None when it has not yet.

        too_late: a part of it that was sent is all there will be. Raises Failure when another was sent instead;
        whether it came in time is the runner's business.
        """
        flow = self._flow_of(event, packet)
        seen = self._next_of(flow)
        if seen is None:
            return None
        flow.learn(seen, packet)
        whole = self._joined(flow, seen, packet, too_late)
        if whole is None:
            return None
        shown = flow.outbound(whole, packet)
        wrong = differences(packet, shown, flow, self.configuration)
        if wrong:
            raise Failure(
                event.position, "another packet was sent than expected", side_by_side(event, packet, shown, wrong)
            )
        return shown

    def _next_of(self, flow: Flow) -> Seen | None:
        """The oldest packet of the flow that was not looked at; those of others are dropped."""
        sent = self.wire.sent
        while sent and not flow.matches(sent[0]):
            sent.popleft()
        return sent[0] if sent else None

    def _joined(self, flow: Flow, first: Seen, expected: Packet, too_late: bool) -> Seen | None:
        """The packet, or several taken together, when the script has them as one (and segments are not strict).

        They follow each other, are of one length but for the last, and differ in nothing else. None: the rest of them
        has not been sent.
        """
        sent = self.wire.sent
        want = expected.body
        whole = first
        count = 1
        parts = [seen for seen in sent if flow.matches(seen)]
        while isinstance(want, Tcp) and not self.configuration.strict_segments:
            have = whole.packet.body
            if not isinstance(have, Tcp) or have.length == 0 or have.length >= want.length:
                break
            if count == len(parts):
                if too_late:
                    break
                return None
            joined = _join(whole, parts[count - 1], parts[count], want.length)
            if joined is None:
                break
            whole = joined
            count += 1
        for seen in parts[:count]:
            sent.remove(seen)
        return whole


def _join(whole: Seen, last: Seen, following: Seen, length: int) -> Seen | None:
    """Two segments as one, or None when they are not parts of one."""
    before, after = whole.packet.body, following.packet.body
    previous = last.packet.body
    if not (isinstance(before, Tcp) and isinstance(after, Tcp) and isinstance(previous, Tcp)):
        return None
    if after.sequence != (before.sequence + before.length) & 0xFFFFFFFF or before.length + after.length > length:
        return None
    if before.length + after.length < length and after.length != previous.length:
        return None
    if _without(before.flags) != _without(after.flags) or before.acknowledgment != after.acknowledgment:
        return None
    flags = before.flags + "".join(letter for letter in after.flags if letter not in before.flags)
    body = replace(before, flags=flags, length=before.length + after.length)
    packet = replace(whole.packet, body=body)
    return replace(whole, packet=packet, payload=whole.payload + following.payload, is_last=following.is_last)


def _without(flags: str) -> set[str]:
    return set(flags) - set(LAST_FLAGS)
