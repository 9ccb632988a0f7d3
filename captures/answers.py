"""What a memcached server answered to what: the application's bytes of a capture, made so that two can be compared.

A *question* is a request's bytes, but for opaque and CAS, together with what the capture says of its key before: the
value last stored, that it was deleted, or nothing. A single store must answer equal questions alike, whoever asked and
on whichever connection, so runs of another length, order or interleaving can be compared too. Questions are taken in
the order of their replies, which is the order in which a server of one thread processes them (``replay_plan``).

STAT's figures are the server's own; they are left out, and counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from operator import attrgetter
from typing import NamedTuple

from captures import memcached_binary as protocol
from captures.flows import Connection
from captures.memcached_binary import Exchange, Message
from captures.replay_plan import Step, packet_of

STORING = frozenset((0x01, 0x02, 0x03, 0x11, 0x12, 0x13))  # SET, ADD, REPLACE, and quiet
CHANGING = frozenset((0x05, 0x06, 0x0E, 0x0F, 0x15, 0x16, 0x19, 0x1A))  # INCREMENT, DECREMENT, APPEND, PREPEND
DELETING = frozenset((0x04, 0x14))
FLUSHING = frozenset((0x08, 0x18))
FLAGS_LENGTH = 4  # at the beginning of what SET and its like send: the expiry behind them is nothing a GET tells

Digest = bytes
DIGEST_LENGTH = 16
UNKNOWN = b"unknown"
DELETED = b"deleted"


class Answer(NamedTuple):
    """All replies to one question, and where they are."""

    digest: Digest
    packet: int  # that holds the first reply, or, where there is none, the request
    opcode: int
    replies: tuple[bytes, ...]


@dataclass(slots=True)
class Answers:
    """What one capture's questions were answered, each answer once."""

    by_question: dict[Digest, dict[Digest, Answer]] = field(default_factory=dict)
    requests: set[Digest] = field(default_factory=set)  # distinct ones, whatever was known of their keys
    statistics: int = 0  # STAT requests, left out

    def add(self, connections: list[Connection], steps: list[Step]) -> None:
        """Take the exchanges of ``steps``, whose connections are places in ``connections``."""
        store = _Store()
        for step in sorted(steps, key=attrgetter("reply_packet")):
            connection = connections[step.connection]
            for exchange in step.exchanges:
                if exchange.request.opcode == protocol.STAT:
                    self.statistics += 1
                    continue
                data = _masked(connection.client.stream, exchange.request)
                self.requests.add(_digest(data))
                question = store.question(data, exchange)
                answer = _answer(connection, exchange)
                self.by_question.setdefault(question, {}).setdefault(answer.digest, answer)


class Apart(NamedTuple):
    """One question that two captures answer differently."""

    packets: tuple[int, int]
    opcode: int
    what: str  # "status: ok and not found"


def answered_apart(one: Answers, other: Answers) -> Iterator[Apart]:
    """The questions of both that one answered in a way that the other did not; the earliest of ``one`` first."""
    for question, answers in one.by_question.items():
        others = other.by_question.get(question)
        if others is not None and answers.keys() != others.keys():
            a = next((answer for digest, answer in answers.items() if digest not in others), None)
            b = next((answer for digest, answer in others.items() if digest not in answers), None)
            a = a or next(iter(answers.values()))
            b = b or next(iter(others.values()))
            yield Apart((a.packet, b.packet), a.opcode, _difference(a.replies, b.replies))


class _Store:
    """What a capture's traffic says of each key."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.otherwise = UNKNOWN

    def question(self, data: bytes, exchange: Exchange) -> Digest:
        """The exchange's question, ``data`` being its masked request; its effect on the store is taken, too."""
        request = exchange.request
        key = _key(data, request)
        before = self.values.get(key, self.otherwise)
        question = _digest(data, before)
        if all(reply.status == 0 for reply in exchange.replies):  # none: it was quiet, and successful
            self._change(request, key, data, before)
        return question

    def _change(self, request: Message, key: bytes, data: bytes, before: bytes) -> None:
        opcode = request.opcode
        if opcode in STORING:
            value = protocol.HEADER_LENGTH + data[4] + request.key_length
            extras = data[protocol.HEADER_LENGTH : protocol.HEADER_LENGTH + FLAGS_LENGTH]
            self.values[key] = _digest(extras, data[value:])
        elif opcode in CHANGING:
            self.values[key] = _digest(data, before)
        elif opcode in DELETING:
            self.values[key] = DELETED
        elif opcode in FLUSHING:
            self.values.clear()
            at_once = data[4] == 0  # extras name a later time
            self.otherwise = DELETED if at_once else _digest(data, self.otherwise)


def _answer(connection: Connection, exchange: Exchange) -> Answer:
    replies = tuple(_masked(connection.server.stream, reply) for reply in exchange.replies)
    return Answer(_digest(*replies), packet_of(connection, exchange), exchange.request.opcode, replies)


def _masked(stream: bytearray, message: Message) -> bytes:
    """The message's bytes with opaque and CAS zero: the one is the client's to choose, the other the server's."""
    data = stream[message.offset : message.end]
    data[protocol.OPAQUE_START : protocol.CAS_END] = bytes(protocol.CAS_END - protocol.OPAQUE_START)
    return bytes(data)


def _key(data: bytes, request: Message) -> bytes:
    start = protocol.HEADER_LENGTH + data[4]
    return data[start : start + request.key_length]


def _digest(*parts: bytes) -> Digest:
    """A digest of the parts and of where each ends."""
    made = blake2b(digest_size=DIGEST_LENGTH)
    for part in parts:
        made.update(len(part).to_bytes(8, "big") + part)
    return made.digest()


def _difference(a: tuple[bytes, ...], b: tuple[bytes, ...]) -> str:
    """In words, how two answers differ first."""
    for old, new in zip(a, b, strict=False):
        if old != new:
            what, one, other = protocol.first_difference(old, new)
            return f"{what} {one} and {other}"
    return f"replies: {len(a)} and {len(b)}"
