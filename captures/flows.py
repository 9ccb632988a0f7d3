"""TCP connections out of a capture: who opened them, what each side said, and how the network treated it.

``read_trace`` walks the packets once. Each connection has two ``Direction``s; each reassembles its byte stream
(sequence numbers unwrapped to 64-bit offsets, the first copy of a byte wins, later pieces wait in a heap). Whether a
segment is a retransmission, out of order, a keep-alive or a duplicate ACK is decided by the rules of Wireshark's TCP
analysis, so that the counts mean what their readers know and tshark can judge them.

What keeps a stream from being complete (a hole, a cut packet, no handshake) is recorded with the packet that shows it,
never raised: statistics of such a capture are still of use, only a replay must refuse it.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from socket import inet_ntoa
from typing import NamedTuple

from captures.files import Packet, read_packets
from captures.segments import ACK, FIN, RST, SYN, Malformed, Options, Segment, flag_names, parse_options, parse_segment

FAST_RETRANSMIT_NS = 20_000_000  # after a duplicate ACK, as Wireshark has it
REORDER_NS = 3_000_000  # how late a segment may be out of order when the round trip is unknown, as Wireshark has it

Endpoint = tuple[bytes, int]


class Problem(NamedTuple):
    """Why something cannot be used, and the packet that shows it."""

    packet: int
    reason: str


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
    finished: bool = False

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
    malformed: list[Problem] = field(default_factory=list)
    first_ns: int = 0
    last_ns: int = 0

    def to_port(self, port: int) -> list[Connection]:
        """The connections whose server's port it is."""
        return [connection for connection in self.connections if connection.server.source[1] == port]


def endpoint_name(endpoint: Endpoint) -> str:
    """``10.0.0.1:11211``."""
    return f"{inet_ntoa(endpoint[0])}:{endpoint[1]}"


def read_trace(path: Path) -> Trace:
    """The connections of a pcap or pcapng file; CaptureError when it cannot be read."""
    return follow(read_packets(path))


def follow(packets: Iterable[Packet]) -> Trace:
    """The connections of ``packets``."""
    trace = Trace()
    live: dict[tuple[Endpoint, Endpoint], Connection] = {}
    for packet in packets:
        if not trace.packets:
            trace.first_ns = packet.time_ns
        trace.packets += 1
        trace.last_ns = packet.time_ns
        try:
            segment = parse_segment(packet)
        except Malformed as verdict:
            trace.malformed.append(Problem(packet.number, str(verdict)))
            continue
        if segment is None:
            continue
        trace.tcp_packets += 1
        connection = live.get((segment.source, segment.destination))
        if connection is None or _opens_anew(connection, segment):
            connection = _open(segment)
            trace.connections.append(connection)
            live[segment.source, segment.destination] = connection
            live[segment.destination, segment.source] = connection
        if segment.source == connection.client.source:
            _take(connection, connection.client, connection.server, segment)
        else:
            _take(connection, connection.server, connection.client, segment)
    return trace


def _opens_anew(connection: Connection, segment: Segment) -> bool:
    """Whether a known pair of endpoints begins another connection: a SYN that is no repetition of its first."""
    if segment.flags & (SYN | ACK) != SYN:
        return False
    side = connection.client if segment.source == connection.client.source else connection.server
    return side.next_seq is not None and (side.handshake is None or _initial(side) != segment.seq)


def _initial(side: Direction) -> int | None:
    """The initial sequence number, while the stream is shorter than the ring."""
    return None if side.next_seq is None else (side.next_seq - len(side.stream) - 1) & 0xFFFF_FFFF


def _open(segment: Segment) -> Connection:
    """A connection from the first segment seen of it: without a SYN, the lower port is taken to be the server."""
    from_server = segment.flags & SYN and segment.flags & ACK
    if not segment.flags & SYN:
        from_server = segment.source[1] < segment.destination[1]
    if from_server:
        return Connection(segment.packet, Direction(segment.destination), Direction(segment.source))
    return Connection(segment.packet, Direction(segment.source), Direction(segment.destination))


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
    if segment.length and not keep_alive:
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
    side.data_segments += segment.length > 0
    side.payload_bytes += segment.length
    side.wire_bytes += segment.wire_bytes
    side.flags[flag_names(segment.flags)] += 1
    if segment.flags & RST:
        side.resets += 1
    if not segment.flags & (SYN | FIN | RST):
        if segment.window == 0:
            side.zero_windows += 1
        if segment.length == 0:
            side.pure_acks += 1


def _analyse(connection: Connection, side: Direction, other: Direction, segment: Segment) -> bool:
    """Classify the segment by Wireshark's rules; returns whether it is a keep-alive."""
    occupies = segment.length + (1 if segment.flags & (SYN | FIN) else 0)
    end = (segment.seq + occupies) & 0xFFFF_FFFF
    highest = side.highest
    keep_alive = False
    if highest is not None and not segment.flags & (SYN | FIN | RST):
        ahead = difference(segment.seq, highest)
        keep_alive = ahead == -1 and segment.length <= 1
        side.keep_alives += keep_alive
        if ahead == 0 and segment.length == 0 and segment.flags & ACK:
            _note_duplicate_ack(side, segment)
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
    return keep_alive


def _note_duplicate_ack(side: Direction, segment: Segment) -> None:
    if segment.window and segment.window == side.last_window and segment.ack == side.last_ack:
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
