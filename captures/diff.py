"""Compare two captures by meaning: what was asked and answered, then how each stack shakes hands, what it sends for a
request, and what went wrong.

The application's bytes come first: two captures are not equal if a request of one is missing in the other, or the same
question (``answers``) got other bytes in reply. CAS and opaque never count, nor do initial sequence numbers, ports,
addresses, times and identification fields. The captures need not be of the same length: traffic is set in relation to
memcached requests, trouble to segments. A figure *differs* when it is more than ``tolerance`` (a share of the larger
one) apart, a word when it is another word, and trouble (a retransmission, a reset, a zero window) also when only one
capture has some.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from captures import memcached_binary as protocol
from captures.answers import Answers, Apart, answered_apart
from captures.files import CaptureError
from captures.flows import Connection, Direction, Trace, read_trace
from captures.replay_plan import Step, connection_steps

TOLERANCE = 0.05
MAX_TOLD = 3  # problems, or answers apart, that are told one by one
NEGLIGIBLE = 0.01  # of an event per request: below it two figures are the same

Value = int | float | str


@dataclass(frozen=True, slots=True)
class Row:
    """One thing compared."""

    section: str
    name: str
    a: Value
    b: Value
    differs: bool


@dataclass(slots=True)
class Comparison:
    """Two captures side by side. ``notes`` says what the rows do not cover, with the packet's number."""

    a: str
    b: str
    tolerance: float
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def differing(self) -> list[Row]:
        """The rows that differ."""
        return [row for row in self.rows if row.differs]


@dataclass(slots=True)
class Summary:
    """One capture, added up over its connections."""

    connections: list[Connection]
    seconds: float
    requests: int = 0
    commands: Counter[str] = field(default_factory=Counter)  # "GET not found" -> replies
    answers: Answers = field(default_factory=Answers)
    notes: list[str] = field(default_factory=list)

    def clients(self) -> list[Direction]:
        """The clients' sides."""
        return [connection.client for connection in self.connections]

    def servers(self) -> list[Direction]:
        """The servers' sides."""
        return [connection.server for connection in self.connections]


def compare(a: Path, b: Path, *, port: int = 11211, tolerance: float = TOLERANCE) -> Comparison:
    """Compare the connections to ``port`` in two captures.

    CaptureError when one cannot be read, or has no request: then there is nothing that could be equal.
    """
    one, other = _summary_of(a, port), _summary_of(b, port)
    result = Comparison(str(a), str(b), tolerance)
    result.rows += _totals(one, other)
    apart = list(answered_apart(one.answers, other.answers))
    result.rows += _application(one.answers, other.answers, len(apart))
    result.notes = [f"{a.name}: {note}" for note in one.notes] + [f"{b.name}: {note}" for note in other.notes]
    result.notes += _told_apart(apart[:MAX_TOLD], (a.name, b.name))
    for who, side in (("client", Summary.clients), ("server", Summary.servers)):
        result.rows += _handshake(f"{who}'s handshake", side(one), side(other))
    for who, side in (("client sends", Summary.clients), ("server sends", Summary.servers)):
        result.rows += _traffic(who, side(one), side(other), one.requests, other.requests, tolerance)
        result.rows += _trouble(who, side(one), side(other), tolerance)
    result.rows += _commands(one, other, tolerance)
    return result


def _summary_of(path: Path, port: int) -> Summary:
    """The capture's summary; CaptureError when it holds nothing to compare."""
    trace = read_trace(path, port)
    summary = summarise(trace, port)
    if not summary.connections:
        others = sorted({connection.server.source[1] for connection in trace.connections})
        seen = f"those of its {trace.packets} packets go to {_listed(others)}" if others else "there is no TCP in it"
        raise CaptureError(f"{path}: no connection to port {port}, {seen}; name the server's port with --port")
    if not summary.requests:
        reasons = "".join(f"; {note}" for note in summary.notes)
        where = f"{len(summary.connections)} connections to port {port}"
        raise CaptureError(f"{path}: no answered request of memcached's binary protocol in its {where}{reasons}")
    return summary


def _listed(ports: Sequence[int]) -> str:
    """``port 80``, or the first ones of several."""
    shown = ", ".join(map(str, ports[:MAX_TOLD])) + (", ..." if len(ports) > MAX_TOLD else "")
    return f"port {shown}" if len(ports) == 1 else f"ports {shown}"


def summarise(trace: Trace, port: int) -> Summary:
    """Add up the trace's connections to ``port``."""
    summary = Summary(trace.to_port(port), (trace.last_ns - trace.first_ns) / 1e9)
    summary.notes += [f"left out: {what}" for what in trace.left_out(port)]
    problems = []
    steps: list[Step] = []
    unanswered = 0
    for index, connection in enumerate(summary.connections):
        problem = connection.problem()
        if problem is not None:
            problems.append(str(CaptureError(problem.reason, problem.packet)))
        try:
            taken, left = connection_steps(index, connection)
        except CaptureError as error:
            problems.append(f"left out: {connection.name()}, {error}")
            continue
        steps += taken
        unanswered += left
        for exchange in (exchange for step in taken for exchange in step.exchanges):
            summary.requests += 1
            for reply in exchange.replies:
                summary.commands[f"{protocol.opcode_name(reply.opcode)} {protocol.status_name(reply.status)}"] += 1
    summary.answers.add(summary.connections, steps)
    summary.notes += problems[:MAX_TOLD]
    if len(problems) > MAX_TOLD:
        summary.notes.append(f"and {len(problems) - MAX_TOLD} more connections with such a problem")
    if unanswered:
        summary.notes.append(f"left out: {unanswered} requests whose replies the capture does not have")
    if summary.answers.statistics:
        summary.notes.append(f"not compared: the replies to {summary.answers.statistics} STAT requests")
    return summary


def _application(one: Answers, other: Answers, apart: int) -> Iterator[Row]:
    """What was asked and what was answered, byte for byte; ``apart``: questions that were answered otherwise."""
    section = "application bytes"
    a, b = one.requests, other.requests
    yield Row(section, "distinct requests", len(a), len(b), False)
    yield Row(section, "... that the other lacks", len(a - b), len(b - a), a != b)
    common = len(one.by_question.keys() & other.by_question.keys())
    yield Row(section, "questions in both", common, common, False)
    yield Row(section, "... answered otherwise", apart, apart, apart > 0)


def _told_apart(answers: Sequence[Apart], names: tuple[str, str]) -> Iterator[str]:
    """Answers that differ, in words, each with its packets."""
    for apart in answers:
        opcode = protocol.opcode_name(apart.opcode)
        a, b = (f"packet {packet} of {name}" for packet, name in zip(apart.packets, names, strict=True))
        yield f"{opcode} answered otherwise: {apart.what} ({a}, {b})"


def _totals(one: Summary, other: Summary) -> Iterator[Row]:
    section = "capture"
    for name, a, b in (
        ("connections", len(one.connections), len(other.connections)),
        ("requests", one.requests, other.requests),
        ("seconds", round(one.seconds, 3), round(other.seconds, 3)),
    ):
        yield Row(section, name, a, b, name == "connections" and a != b)


def _handshake(section: str, one: Sequence[Direction], other: Sequence[Direction]) -> Iterator[Row]:
    questions: dict[str, Callable[[Direction], object]] = {
        "MSS": lambda side: side.handshake and side.handshake.options.mss,
        "window scale": lambda side: side.handshake and side.handshake.options.window_scale,
        "SACK permitted": lambda side: side.handshake and side.handshake.options.sack_permitted,
        "timestamps": lambda side: side.handshake and side.handshake.options.timestamps,
        "window": lambda side: side.handshake and side.handshake.window,
    }
    for name, question in questions.items():
        a, b = _answers(one, question), _answers(other, question)
        yield Row(section, name, a, b, a != b)


def _answers(sides: Sequence[Direction], question: Callable[[Direction], object]) -> str:
    """The distinct answers over all connections that had a handshake, the most frequent first."""
    counted = Counter(_word(question(side)) for side in sides if side.handshake is not None)
    return ", ".join(answer for answer, _ in counted.most_common()) or "not seen"


def _word(answer: object) -> str:
    if isinstance(answer, bool):
        return "yes" if answer else "no"
    return "none" if answer is None else str(answer)


def _traffic(
    section: str, one: Sequence[Direction], other: Sequence[Direction], requests: int, others: int, tolerance: float
) -> Iterator[Row]:
    if not requests or not others:
        return
    for name, attribute in (
        ("segments with payload per request", "data_segments"),
        ("pure ACKs per request", "pure_acks"),
        ("payload bytes per request", "payload_bytes"),
        ("bytes on the wire per request", "wire_bytes"),
    ):
        a, b = total(one, attribute) / requests, total(other, attribute) / others
        yield Row(section, name, round(a, 4), round(b, 4), _apart(a, b, tolerance))
    a_flags, b_flags = _flags(one), _flags(other)
    yield Row(section, "flags seen", a_flags, b_flags, a_flags != b_flags)


def _trouble(section: str, one: Sequence[Direction], other: Sequence[Direction], tolerance: float) -> Iterator[Row]:
    segments, others = total(one, "segments") or 1, total(other, "segments") or 1
    for name in ("retransmissions", "out_of_order", "resets", "zero_windows", "duplicate_acks", "keep_alives"):
        a, b = total(one, name), total(other, name)
        differs = _apart(a / segments, b / others, tolerance, negligible=0.0)
        yield Row(section, name.replace("_", " "), a, b, differs)


def _commands(one: Summary, other: Summary, tolerance: float) -> Iterator[Row]:
    replies, others = sum(one.commands.values()) or 1, sum(other.commands.values()) or 1
    for name in sorted(one.commands | other.commands):
        a, b = one.commands[name], other.commands[name]
        yield Row("memcached replies", name, a, b, (a == 0) != (b == 0) or _apart(a / replies, b / others, tolerance))


def total(sides: Sequence[Direction], attribute: str) -> int:
    """The sum of one of the counters of ``sides``."""
    return sum(getattr(side, attribute) for side in sides)


def _flags(sides: Sequence[Direction]) -> str:
    return " ".join(sorted({name for side in sides for name in side.flags}))


def _apart(a: float, b: float, tolerance: float, negligible: float = NEGLIGIBLE) -> bool:
    return abs(a - b) > max(tolerance * max(abs(a), abs(b)), negligible)
