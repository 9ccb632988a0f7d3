"""TCP connections out of a capture: who opened them, what each side said, and how the network treated it.

``read_trace`` walks the packets once. Each connection has two ``Direction``s; each reassembles its byte stream
(sequence numbers unwrapped to 64-bit offsets, the first copy of a byte wins, later pieces wait in a heap). Whether a
segment is a retransmission, out of order, a keep-alive or a duplicate ACK is decided by the rules of Wireshark's TCP
analysis, so that the counts mean what their readers know and tshark can judge them.

What keeps a stream from being complete (a hole, a cut packet, no handshake) is recorded with the packet that shows it,
never raised: statistics of such a capture are still of use, only a replay must refuse it. What is no TCP, or cannot be
read, is counted by its reason (``Trace.left_out``), so that whoever judges a capture can say what the verdict covers.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple

from captures.files import CaptureError, Packet, read_packets
from captures.segments import (
    ACK,
    FIN,
    RST,
    SYN,
    Endpoint,
    Ends,
    Malformed,
    NotTcp,
    Options,
    Segment,
    flag_names,
    parse_options,
    parse_segment,
)

FAST_RETRANSMIT_NS = 20_000_000  # after a duplicate ACK, as Wireshark has it
MAX_NAMED = 4  # kinds of packets without TCP that are told by name
REORDER_NS = 3_000_000  # how late a segment may be out of order when the round trip is unknown, as Wireshark has it
Pair = tuple[Endpoint, Endpoint, tuple[int, ...]]  # of one direction; the VLANs belong to it


class Problem(NamedTuple):
    """Why something cannot be used, and the packet that shows it."""

    packet: int
    reason: str


class Lost(NamedTuple):
    """A packet that cannot be read, and whose it may be: its addresses and ports, as far as it tells them."""

    packet: int
    reason: str
    ends: Ends
    ports: frozenset[int]

    def may_be_of(self, connection: "Connection") -> bool:
        """Whether it may have carried a part of this connection."""
        client, server = connection.client.source, connection.server.source
        return self.ends == {client[0], server[0]} and self.ports in (set(), {client[1], server[1]})


class Chunk(NamedTuple):
    """A piece of a stream as one segment brought it."""

    packet: int
    offset: int  # of its first byte in the stream
    end: int


class Handshake(NamedTuple):
    """One side's SYN."""

    packet: int
    window: int
    options: Options


def difference(a: int, b: int) -> int:
    """How far sequence number ``a`` is ahead of ``b`` on the ring: between -2**31 and 2**31 - 1."""
    return ((a - b + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


@dataclass(slots=True)
class Direction:
    """What one side of a connection sent."""

    source: Endpoint
    handshake: Handshake | None = None
    stream: bytearray = field(default_factory=bytearray)
    chunks: list[Chunk] = field(default_factory=list)
    fin_packet: int | None = None
    cut: Problem | None = None
    conflict: Problem | None = None

    segments: int = 0
    payload_bytes: int = 0  # with those sent again
    wire_bytes: int = 0
    data_segments: int = 0  # with payload
    pure_acks: int = 0
    retransmissions: int = 0
    out_of_order: int = 0
    keep_alives: int = 0
    keep_alive_acks: int = 0
    duplicate_acks: int = 0
    zero_windows: int = 0
    resets: int = 0
    flags: Counter[str] = field(default_factory=Counter)

    # The reassembly: the sequence number and stream offset of the next byte, and pieces that came before their turn.
    next_seq: int | None = None
    pending: list[tuple[int, int, bytes]] = field(default_factory=list)  # heap of (offset, packet, bytes)

    # The analysis: one past the highest sequence number sent, when it was sent, and what was last acknowledged.
    highest: int | None = None
    highest_ns: int = 0
    sent: list[tuple[int, int]] = field(default_factory=list)  # unacknowledged (seq, end), newest last
    last_ack: int | None = None
    last_ack_ns: int = 0
    last_window: int = -1
    duplicates: int = 0  # of last_ack, in a row
    probing: bool = False  # its last segment was a keep-alive
    unseen_ack: tuple[int, int] | None = None  # (acknowledgement, packet): of bytes the capture does not have

    def hole(self) -> Problem | None:
        """The stream's first missing bytes, if there are any."""
        if self.pending:
            offset, packet, _ = self.pending[0]
            return Problem(packet, f"{self.name()} lacks bytes {len(self.stream)} to {offset - 1} before this packet")
        return None

    def lacks(self, ack: int) -> bool:
        """Whether ``ack`` acknowledges bytes that are not in the stream."""
        if self.next_seq is None:
            return False
        return difference(ack, self.next_seq + (self.fin_packet is not None)) > 0

    def name(self) -> str:
        """``10.0.0.1:11211's stream``."""
        return f"{endpoint_name(self.source)}'s stream"


@dataclass(slots=True)
class Connection:
    """One TCP connection; the client is the side that sent the first SYN."""

    first_packet: int
    client: Direction
    server: Direction
    syn_ns: int | None = None
    round_trip_ns: int = 0  # of the handshake as the capture's place saw it; 0: not known
    # Until its SYN is answered, what belongs to the connection that these endpoints had before goes there: a client
    # that lost it and opens anew is told by a challenge ACK, and ends it with a reset (RFC 9293 section 3.5.1).
    answered: bool = True
    previous: "Connection | None" = None

    def problem(self) -> Problem | None:
        """Why the two streams are not known to be complete up to their ends; the earliest reason, or None."""
        found = []
        if self.client.handshake is None or self.server.handshake is None:
            missing = "SYN" if self.client.handshake is None else "SYN-ACK"
            found.append(Problem(self.first_packet, f"{self.name()}: no handshake seen (its {missing} is missing)"))
        for side, other in ((self.client, self.server), (self.server, self.client)):
            found += [problem for problem in (side.cut, side.conflict, side.hole()) if problem]
            if other.unseen_ack is not None and side.lacks(other.unseen_ack[0]):
                what = f"acknowledges bytes of {side.name()} that the capture does not have"
                found.append(Problem(other.unseen_ack[1], what))
        return min(found, default=None)

    def name(self) -> str:
        """``10.0.0.2:40000 -> 10.0.0.1:11211``."""
        return f"{endpoint_name(self.client.source)} -> {endpoint_name(self.server.source)}"


@dataclass(slots=True)
class Trace:
    """A capture as connections, in the order of their first packets."""

    connections: list[Connection] = field(default_factory=list)
    packets: int = 0
    tcp_packets: int = 0
    malformed: list[Lost] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # what was no TCP, by name
    damage: CaptureError | None = None  # where the file could be read no further
    first_ns: int = 0
    last_ns: int = 0

    def to_port(self, port: int) -> list[Connection]:
        """The connections whose server's port it is."""
        return [connection for connection in self.connections if connection.server.source[1] == port]

    def left_out(self, port: int) -> list[str]:
        """In words, what of the capture no verdict on the connections to ``port`` covers; empty: nothing."""
        said = []
        if self.damage is not None:
            said.append(f"what follows packet {self.packets}, where the file is damaged ({self.damage})")
        if self.malformed:
            first = self.malformed[0]
            said.append(
                f"{_counted(len(self.malformed), 'unreadable packet')} (packet {first.packet}: {first.reason})"
            )
        elsewhere = len(self.connections) - len(self.to_port(port))
        if elsewhere:
            said.append(f"{_counted(elsewhere, 'connection')} to other ports")
        if self.others:
            named = ", ".join(f"{count} {name}" for name, count in self.others.most_common(MAX_NAMED))
            more = "" if len(self.others) <= MAX_NAMED else f" and {len(self.others) - MAX_NAMED} other kinds"
            said.append(f"{_counted(self.others.total(), 'packet')} without TCP ({named}{more})")
        return said


def _counted(count: int, thing: str) -> str:
    """``1 packet``, ``2 packets``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def endpoint_name(endpoint: Endpoint) -> str:
    """``10.0.0.1:11211`` or ``[fd00::1]:11211``."""
    address, port = endpoint
    return f"{inet_ntop(AF_INET, address)}:{port}" if len(address) == 4 else f"[{inet_ntop(AF_INET6, address)}]:{port}"


def read_trace(path: Path, port: int | None = None) -> Trace:
    """The connections of a capture file.

    ``port``: of a connection whose beginning was not captured, the side with this port is the server. CaptureError
    when nothing of the file can be read; damage behind the first packet ends the trace there (``Trace.damage``).
    """
    return follow(read_packets(path), port)


def follow(packets: Iterable[Packet], port: int | None = None) -> Trace:
    """The connections of ``packets``; see `read_trace`."""
    trace = Trace()
    live: dict[Pair, Connection] = {}
    try:
        for packet in packets:
            if trace.packets == 0:
                trace.first_ns = packet.time_ns
            trace.packets += 1
            trace.last_ns = packet.time_ns
            _follow_packet(trace, live, packet, port)
    except CaptureError as damage:
        if not trace.packets:
            raise
        trace.damage = damage
    return trace


def _follow_packet(trace: Trace, live: dict[Pair, Connection], packet: Packet, port: int | None) -> None:
    """Give the packet to its connection, or count it among what is left out."""
    try:
        segment = parse_segment(packet)
    except NotTcp as verdict:
        trace.others[str(verdict)] += 1
        return
    except Malformed as verdict:
        trace.malformed.append(Lost(packet.number, str(verdict), verdict.ends, verdict.ports))
        return
    trace.tcp_packets += 1
    pair = (segment.source, segment.destination, segment.vlans)
    connection = live.get(pair)
    if connection is None or _opens_anew(connection, segment):
        opened = _open(segment, port)
        if connection is not None:
            opened.previous = connection if connection.answered else connection.previous or connection
        connection = live[pair] = live[segment.destination, segment.source, segment.vlans] = opened
        trace.connections.append(connection)
    if not connection.answered:
        connection = _whose(trace, connection, segment)
    if segment.source == connection.client.source:
        _take(connection, connection.client, connection.server, segment)
    else:
        _take(connection, connection.server, connection.client, segment)


def _whose(trace: Trace, connection: Connection, segment: Segment) -> Connection:
    """The connection, whose SYN is unanswered, or the one before it, if it is to that one that the segment belongs."""
    if segment.flags & (SYN | ACK) == SYN:
        return connection
    client = connection.client
    assert client.next_seq is not None
    if segment.source == client.source:
        belongs = segment.seq == client.next_seq or connection.previous is None
    else:
        # Text in a SYN may be acknowledged or not (RFC 7413 section 4.2.2).
        belongs = bool(segment.flags & ACK) and 0 <= difference(client.next_seq, segment.ack) <= len(client.stream)
        if not belongs and connection.previous is None:
            if segment.flags != ACK or segment.length:
                belongs = True  # the capture lacks what came before it
            else:
                connection.previous = Connection(segment.packet, Direction(client.source), Direction(segment.source))
                trace.connections.append(connection.previous)
    if belongs:
        connection.answered, connection.previous = True, None
        return connection
    assert connection.previous is not None
    return connection.previous


def _opens_anew(connection: Connection, segment: Segment) -> bool:
    """Whether a known pair of endpoints begins another connection: a SYN that is no repetition of its first."""
    if segment.flags & (SYN | ACK) != SYN:
        return False
    side = connection.client if segment.source == connection.client.source else connection.server
    return side.next_seq is not None and (side.handshake is None or _initial(side) != segment.seq)


def _initial(side: Direction) -> int | None:
    """The initial sequence number, while the stream is shorter than the ring."""
    return None if side.next_seq is None else (side.next_seq - len(side.stream) - 1) & 0xFFFF_FFFF


def _open(segment: Segment, port: int | None) -> Connection:
    """A connection from the first segment seen of it: without a SYN, ``port`` serves, or else the lower port."""
    from_server = segment.flags & SYN and segment.flags & ACK
    if not segment.flags & SYN:
        source, destination = segment.source[1], segment.destination[1]
        from_server = (
            source == port if port in (source, destination) and source != destination else source < destination
        )
    if from_server:
        return Connection(segment.packet, Direction(segment.destination), Direction(segment.source))
    answered = segment.flags & (SYN | ACK) != SYN
    return Connection(segment.packet, Direction(segment.source), Direction(segment.destination), answered=answered)


def _take(connection: Connection, side: Direction, other: Direction, segment: Segment) -> None:
    """Account for one segment that ``side`` sent."""
    if segment.flags & SYN:
        _take_syn(connection, side, segment)
    elif side.next_seq is None:
        side.next_seq = segment.seq
    if segment.flags & ACK and connection.round_trip_ns == 0 and side is connection.client:
        if connection.syn_ns is not None and other.next_seq is not None:
            connection.round_trip_ns = segment.time_ns - connection.syn_ns
    _count(side, segment)
    keep_alive = _analyse(connection, side, other, segment)
    if segment.length and not keep_alive and not segment.flags & RST:  # a reset's text is a reason, not the stream's
        if segment.length > len(segment.payload) and side.cut is None:
            captured = len(segment.payload)
            side.cut = Problem(segment.packet, f"was cut: {captured} of {segment.length} payload bytes captured")
        _reassemble(side, segment)
    if segment.flags & FIN and side.fin_packet is None:
        side.fin_packet = segment.packet
    if segment.flags & ACK:
        _check_acknowledgement(side, other, segment)


def _take_syn(connection: Connection, side: Direction, segment: Segment) -> None:
    if side.handshake is None and side.next_seq is None:
        side.handshake = Handshake(segment.packet, segment.window, parse_options(segment.options))
        side.next_seq = (segment.seq + 1) & 0xFFFF_FFFF
        if side is connection.client:
            connection.syn_ns = segment.time_ns


def _count(side: Direction, segment: Segment) -> None:
    side.segments += 1
    side.wire_bytes += segment.wire_bytes
    side.flags[flag_names(segment.flags)] += 1
    if segment.flags & RST:
        side.resets += 1
    else:
        side.data_segments += segment.length > 0
        side.payload_bytes += segment.length
    if not segment.flags & (SYN | FIN | RST):
        if segment.window == 0:
            side.zero_windows += 1
        if segment.length == 0:
            side.pure_acks += 1


def _analyse(connection: Connection, side: Direction, other: Direction, segment: Segment) -> bool:
    """Classify the segment by Wireshark's rules; returns whether it is a keep-alive."""
    occupies = 0 if segment.flags & RST else segment.length + (1 if segment.flags & (SYN | FIN) else 0)
    end = (segment.seq + occupies) & 0xFFFF_FFFF
    highest = side.highest
    keep_alive = False
    if highest is not None and not segment.flags & (SYN | FIN | RST):
        ahead = difference(segment.seq, highest)
        keep_alive = ahead == -1 and segment.length <= 1
        side.keep_alives += keep_alive
        if ahead == 0 and segment.length == 0 and segment.flags & ACK:
            _note_duplicate_ack(side, other, segment)
    if occupies and highest is not None and not keep_alive:
        # A segment that begins on the last byte sent and is longer continues after a zero-window probe.
        probe = segment.length > 1 and difference(segment.seq, highest) == -1
        if segment.length and other.last_ack is not None and difference(end, other.last_ack) <= 0:
            side.retransmissions += 1  # all of it was acknowledged before
        elif difference(segment.seq, highest) < 0 and not probe:
            if _is_out_of_order(connection, side, other, segment, end):
                side.out_of_order += 1
            else:
                side.retransmissions += 1
    if occupies:
        side.sent.append((segment.seq, end))
    zero_window_probe = segment.length == 1 and segment.seq == highest and other.last_window == 0
    if highest is None or (difference(end, highest) > 0 and not zero_window_probe and not segment.flags & RST):
        side.highest = end
        side.highest_ns = segment.time_ns
    side.last_window = segment.window
    side.probing = keep_alive
    return keep_alive


def _note_duplicate_ack(side: Direction, other: Direction, segment: Segment) -> None:
    """A repeated acknowledgement, unless it answers a keep-alive."""
    if segment.window and segment.window == side.last_window and segment.ack == side.last_ack:
        if other.probing:
            side.keep_alive_acks += 1
        else:
            side.duplicate_acks += 1
            side.duplicates += 1


def _is_out_of_order(connection: Connection, side: Direction, other: Direction, segment: Segment, end: int) -> bool:
    """Whether a segment below the highest sent was overtaken, rather than sent again.

    Bytes that were captured before were sent again, however they are cut now (Wireshark 4.0 calls
    them out of order when they come within a round trip of the newest segment; only the sum agrees with it then).
    """
    if other.duplicates >= 2 and other.last_ack == segment.seq:
        if segment.time_ns - other.last_ack_ns < FAST_RETRANSMIT_NS:
            return False
    if segment.time_ns - side.highest_ns >= (connection.round_trip_ns or REORDER_NS) or end == side.highest:
        return False
    return not any(
        difference(segment.seq, first) >= 0 and difference(end, last) <= 0 for first, last in reversed(side.sent)
    )


def _check_acknowledgement(side: Direction, other: Direction, segment: Segment) -> None:
    """Keep what ``side`` acknowledged last, and note an acknowledgement of bytes that were never captured."""
    if segment.ack != side.last_ack:
        side.last_ack = segment.ack
        side.duplicates = 0
        sent = other.sent
        keep = 0
        while keep < len(sent) and difference(sent[keep][1], segment.ack) <= 0:
            keep += 1
        del sent[:keep]
    side.last_ack_ns = segment.time_ns
    if segment.flags & RST:
        return
    if side.unseen_ack is not None and not other.lacks(side.unseen_ack[0]):
        side.unseen_ack = None
    if other.lacks(segment.ack):
        first = side.unseen_ack[1] if side.unseen_ack else segment.packet
        side.unseen_ack = (segment.ack, first)


def _reassemble(side: Direction, segment: Segment) -> None:
    """Put the payload where it belongs in the stream; the first captured copy of a byte wins."""
    assert side.next_seq is not None
    seq = (segment.seq + 1) & 0xFFFF_FFFF if segment.flags & SYN else segment.seq
    offset = len(side.stream) + difference(seq, side.next_seq)
    if offset > len(side.stream):
        heapq.heappush(side.pending, (offset, segment.packet, segment.payload))
        return
    before = len(side.stream)
    _append(side, offset, segment.packet, segment.payload)
    while side.pending and side.pending[0][0] <= len(side.stream):
        _append(side, *heapq.heappop(side.pending))
    side.next_seq = (side.next_seq + len(side.stream) - before) & 0xFFFF_FFFF


def _append(side: Direction, offset: int, packet: int, payload: bytes) -> None:
    stream = side.stream
    length = len(stream)
    known = length - offset
    if known > 0:  # sent before, all of it or its beginning
        first = max(offset, 0)
        overlap = min(known, len(payload))
        last = max(offset + overlap, first)
        if stream[first:last] != payload[first - offset : last - offset] and side.conflict is None:
            side.conflict = Problem(packet, f"repeats bytes of {side.name()} with other content")
    if known < len(payload):
        stream += payload[known:]
        side.chunks.append(Chunk(packet, length, len(stream)))
