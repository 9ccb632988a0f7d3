"""memcached's binary protocol, as far as a capture's reader needs it: cut streams into messages, match replies.

The protocol is described in memcached's ``doc/protocol-binary.txt``. A message is a 24-byte header and a body whose
length the header gives. Replies come in the order of the requests; quiet requests may have none.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HEADER = struct.Struct(">BBHBBHIIQ")
HEADER_LENGTH = 24
OPAQUE_START = 12  # where the header holds it
CAS_START, CAS_END = 16, 24
REQUEST_MAGIC = 0x80
REPLY_MAGIC = 0x81

STAT = 0x10
OPCODES = {
    0x00: "GET", 0x01: "SET", 0x02: "ADD", 0x03: "REPLACE", 0x04: "DELETE", 0x05: "INCREMENT", 0x06: "DECREMENT",
    0x07: "QUIT", 0x08: "FLUSH", 0x09: "GETQ", 0x0A: "NOOP", 0x0B: "VERSION", 0x0C: "GETK", 0x0D: "GETKQ",
    0x0E: "APPEND", 0x0F: "PREPEND", 0x10: "STAT", 0x11: "SETQ", 0x12: "ADDQ", 0x13: "REPLACEQ", 0x14: "DELETEQ",
    0x15: "INCREMENTQ", 0x16: "DECREMENTQ", 0x17: "QUITQ", 0x18: "FLUSHQ", 0x19: "APPENDQ", 0x1A: "PREPENDQ",
    0x1B: "VERBOSITY", 0x1C: "TOUCH", 0x1D: "GAT", 0x1E: "GATQ", 0x23: "GATK", 0x24: "GATKQ",
}  # fmt: skip
QUIET = frozenset(code for code, name in OPCODES.items() if name.endswith("Q"))
STATUSES = {
    0x00: "ok", 0x01: "not found", 0x02: "exists", 0x03: "too large", 0x04: "invalid arguments", 0x05: "not stored",
    0x06: "not a number", 0x20: "authentication error", 0x81: "unknown command", 0x82: "out of memory",
}  # fmt: skip


class ProtocolError(Exception):
    """Bytes that are not the protocol, or a reply to nothing; ``offset`` counts from the stream's beginning."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at byte {offset} of the stream")
        self.offset = offset


class Message(NamedTuple):
    """One request or reply and where it lies in its stream."""

    offset: int
    length: int  # header and body
    opcode: int
    key_length: int
    status: int  # of a reply; of a request: the virtual bucket
    opaque: int
    cas: int

    @property
    def end(self) -> int:
        """The offset of the byte after it."""
        return self.offset + self.length


@dataclass(slots=True)
class Exchange:
    """A request and the replies it got: one, several for STAT, none when it was quiet or the stream ended."""

    request: Message
    replies: list[Message] = field(default_factory=list)


def opcode_name(opcode: int) -> str:
    """``GET`` or, for a command the protocol does not name, ``0x7f``."""
    return OPCODES.get(opcode, f"0x{opcode:02x}")


def status_name(status: int) -> str:
    """``not found`` or, for a status the protocol does not name, ``0x0055``."""
    return STATUSES.get(status, f"0x{status:04x}")


def message_length(stream: bytes | bytearray, offset: int) -> int | None:
    """Header and body of the message at ``offset``, or None while its header is not complete."""
    if len(stream) - offset < HEADER_LENGTH:
        return None
    body: int = HEADER.unpack_from(stream, offset)[6]
    return HEADER_LENGTH + body


def split(stream: bytes | bytearray, magic: int) -> list[Message]:
    """The complete messages of one direction's stream. An incomplete last one is left out.

    ProtocolError when a message begins with another byte than ``magic`` or its lengths contradict each other.
    """
    messages = []
    at = 0
    while at < len(stream):
        if stream[at] != magic:
            raise ProtocolError(f"0x{stream[at]:02x} where memcached's binary magic 0x{magic:02x} should be", at)
        length = message_length(stream, at)
        if length is None:
            break
        _, opcode, key_length, extras_length, _, status, body, opaque, cas = HEADER.unpack_from(stream, at)
        if key_length + extras_length > body:
            raise ProtocolError(f"a body of {body} bytes with {key_length + extras_length} of key and extras", at)
        if length > len(stream) - at:
            break
        messages.append(Message(at, length, opcode, key_length, status, opaque, cas))
        at += length
    return messages


def match(requests: Sequence[Message], replies: Sequence[Message]) -> list[Exchange]:
    """Pair replies with requests by order, opcode and opaque; ProtocolError for a reply that fits no request.

    Only quiet requests may be passed over. What follows the last answered request stays without replies.
    """
    exchanges = [Exchange(request) for request in requests]
    at = 0
    for reply in replies:
        while at < len(exchanges) and not _answers(reply, exchanges[at].request):
            exchange = exchanges[at]
            if exchange.request.opcode not in QUIET and not exchange.replies:
                break
            at += 1
        if at == len(exchanges) or not _answers(reply, exchanges[at].request):
            raise ProtocolError(f"a reply ({opcode_name(reply.opcode)}) that answers no request", reply.offset)
        exchanges[at].replies.append(reply)
        if not continues(reply):
            at += 1
    return exchanges


def first_difference(a: bytes, b: bytes) -> tuple[str, str, str]:
    """What two unequal messages differ in first, and what each has there: ``("status:", "ok", "not found")``."""
    one, other = HEADER.unpack_from(a), HEADER.unpack_from(b)
    if one[5] != other[5]:
        return "status:", status_name(one[5]), status_name(other[5])
    names = ("magic", "opcode", "key length", "extras length", "data type", "status", "body length", "opaque")
    for name, mine, theirs in zip(names, one, other, strict=False):
        if mine != theirs:
            return f"{name}:", str(mine), str(theirs)
    at = next(at for at in range(HEADER_LENGTH, len(a)) if a[at] != b[at])
    return f"body: byte {at - HEADER_LENGTH} is", f"0x{a[at]:02x}", f"0x{b[at]:02x}"


def continues(reply: Message) -> bool:
    """Whether more replies to the same request follow: STAT sends one per figure and ends with one without key."""
    return reply.opcode == STAT and reply.key_length > 0 and reply.status == 0


def _answers(reply: Message, request: Message) -> bool:
    return reply.opcode == request.opcode and reply.opaque == request.opaque
