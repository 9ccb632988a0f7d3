"""What to send to replay a capture of memcached, and what must come back: the plan that ``replay`` carries out.

The replies of a store depend on the order in which it processed requests of all connections. That order is not the
order of the requests on the wire (a server with many ready sockets takes them as it likes), but a server with one
thread sends each reply while it processes the request, so the order of *replies* in the capture is the order of
processing. The plan therefore takes requests in the order of their replies. Neighbours on one connection that were
pipelined in the capture, each sent before the first of them was answered, stay together as one ``Step``, cut where
the capture's segments cut them. Each step waits for its replies before the next begins.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from operator import attrgetter

from captures import memcached_binary as protocol
from captures.files import CaptureError
from captures.flows import Connection, Direction, Problem, Trace
from captures.memcached_binary import Exchange, Message, ProtocolError

_CHUNK_OFFSET = attrgetter("offset")


@dataclass(slots=True)
class Step:
    """Requests of one connection that are sent together, and what was answered."""

    connection: int  # its place in the plan's list
    exchanges: list[Exchange]
    reply_packet: int  # that brought the first reply; for requests without any, that brought the request


@dataclass(slots=True)
class Plan:
    """A capture made ready for a replay."""

    connections: list[Connection]
    steps: list[Step] = field(default_factory=list)
    unanswered: int = 0  # requests at the streams' ends whose replies the capture does not have: they are not sent
    left_out: list[str] = field(default_factory=list)  # in words, what of the capture is no part of it


def plan_replay(trace: Trace, port: int) -> Plan:
    """The plan for the capture's connections to the server's ``port``; CaptureError when it cannot be replayed."""
    if trace.damage is not None:
        raise trace.damage
    connections = trace.to_port(port)
    if not connections:
        if trace.malformed:
            raise CaptureError(trace.malformed[0].reason, trace.malformed[0].packet)
        raise CaptureError(f"no connection to port {port} in {trace.packets} packets; name the server's with --port")
    problems = [problem for connection in connections if (problem := _problem(connection, trace))]
    if problems:
        first = min(problems)
        raise CaptureError(first.reason, first.packet)
    speaking = [connection for connection in connections if connection.client.stream]
    if not speaking:
        packet = connections[0].first_packet
        raise CaptureError(f"no TCP payload from any client of port {port}: there is nothing to replay", packet)
    plan = Plan(speaking, left_out=trace.left_out(port))
    for index, connection in enumerate(speaking):
        steps, unanswered = connection_steps(index, connection)
        plan.steps += steps
        plan.unanswered += unanswered
    plan.steps.sort(key=attrgetter("reply_packet"))
    plan.steps = _join_pipelined(plan)
    return plan


def _problem(connection: Connection, trace: Trace) -> Problem | None:
    """Why this connection cannot be replayed. One without payload, as at a bounded capture's end, does no harm."""
    client, server = connection.client, connection.server
    if not client.payload_bytes and not server.payload_bytes and not (client.handshake and server.handshake):
        return None
    lost = next((each for each in trace.malformed if each.may_be_of(connection)), None)
    found = (connection.problem(), lost and Problem(lost.packet, lost.reason))
    return min((problem for problem in found if problem), default=None)


def connection_steps(index: int, connection: Connection) -> tuple[list[Step], int]:
    """A connection's steps, one for each answered request and the quiet ones before it; and the requests left out.

    ``index``: what the steps name the connection by. CaptureError where a stream is not memcached's binary protocol.
    """
    client, server = connection.client, connection.server
    requests = _split(client, protocol.REQUEST_MAGIC)
    replies = _split(server, protocol.REPLY_MAGIC)
    try:
        exchanges = protocol.match(requests, replies)
    except ProtocolError as error:
        raise CaptureError(f"{server.name()}: {error}", packet_at(server, error.offset)) from error
    steps: list[Step] = []
    waiting: list[Exchange] = []
    unanswered = at = 0
    for exchange in exchanges:
        waiting.append(exchange)
        if exchange.replies and not protocol.continues(exchange.replies[-1]):
            at = max(at, packet_at(server, exchange.replies[0].offset))
            steps.append(Step(index, waiting, at))
            waiting = []
    # After the last reply: quiet requests are known to have none only when the server was seen to close.
    silent = all(exchange.request.opcode in protocol.QUIET for exchange in waiting)
    if waiting and silent and server.fin_packet is not None:
        at = max(at, packet_at(client, waiting[0].request.offset))
        steps.append(Step(index, waiting, at))
    else:
        unanswered = len(waiting)
    unanswered += (requests[-1].end if requests else 0) < len(client.stream)
    return steps, unanswered


def _split(side: Direction, magic: int) -> list[Message]:
    try:
        return protocol.split(side.stream, magic)
    except ProtocolError as error:
        raise CaptureError(f"{side.name()} is not memcached's: {error}", packet_at(side, error.offset)) from error


def packet_at(side: Direction, offset: int) -> int:
    """The number of the packet that brought the stream's byte at ``offset``."""
    return side.chunks[bisect_right(side.chunks, offset, key=_CHUNK_OFFSET) - 1].packet


def packet_of(connection: Connection, exchange: Exchange) -> int:
    """The number of the packet that brought the first reply; without one, of that which brought the request."""
    if exchange.replies:
        return packet_at(connection.server, exchange.replies[0].offset)
    return packet_at(connection.client, exchange.request.offset)


def _join_pipelined(plan: Plan) -> list[Step]:
    """Join neighbouring steps of one connection whose requests were all sent before the first was answered."""
    joined: list[Step] = []
    for step in plan.steps:
        previous = joined[-1] if joined else None
        if previous is not None and previous.connection == step.connection:
            client = plan.connections[step.connection].client
            if packet_at(client, step.exchanges[-1].request.end - 1) < previous.reply_packet:
                previous.exchanges += step.exchanges
                continue
        joined.append(step)
    return joined


def pieces(side: Direction, start: int, end: int) -> list[tuple[int, int]]:
    """The client's stream from ``start`` to ``end``, cut where the capture's segments cut it."""
    first = bisect_right(side.chunks, start, key=_CHUNK_OFFSET) - 1
    last = bisect_left(side.chunks, end, key=_CHUNK_OFFSET)
    return [(max(start, chunk.offset), min(end, chunk.end)) for chunk in side.chunks[first:last]]
