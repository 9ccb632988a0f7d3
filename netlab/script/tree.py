"""A parsed script: what the parser makes, and what the runner and the reports read. Times are microseconds.

A script is options, then events. An event has a time and one action: a packet to inject or to expect, a system call,
a line for the shell, or a snippet of Python. Sequence numbers are as the script counts them.
"""

from dataclasses import dataclass

from netlab.script.errors import Position

ABSOLUTE = "absolute"
RELATIVE = "relative"
ANY = "any"


@dataclass(frozen=True, slots=True)
class Time:
    """When an event is due. ``end``: the later edge of a range, else None."""

    kind: str
    start: int = 0
    end: int | None = None


# Expressions


@dataclass(frozen=True, slots=True)
class Ellipsis:
    """``...``: whatever it is."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as such."""

    value: int


@dataclass(frozen=True, slots=True)
class Word:
    """A symbol: a constant of Linux, by name."""

    name: str
    position: Position


@dataclass(frozen=True, slots=True)
class Text:
    """A string; ``open_ended``: more may follow it."""

    data: bytes
    open_ended: bool = False


@dataclass(frozen=True, slots=True)
class Union:
    """Flags, joined with ``|``."""

    parts: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    """``symbol = value``."""

    name: str
    value: "Expression"


@dataclass(frozen=True, slots=True)
class Array:
    """``[a, b]``, or ``{a, b}``."""

    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """A ``struct sockaddr``: family by name, address as text."""

    family: str
    port: int
    address: str


@dataclass(frozen=True, slots=True)
class Iovec:
    """``{..., length}``."""

    length: int


@dataclass(frozen=True, slots=True)
class Structure:
    """Any other ``struct``, by the names of its fields; ``kind`` is its C name."""

    kind: str
    fields: dict[str, "Expression"]


Expression = Ellipsis | Number | Word | Text | Union | Assignment | Array | SocketAddress | Iovec | Structure


# Packets


@dataclass(frozen=True, slots=True)
class IpInfo:
    """What a script says of the IP header. ecn: 0 to 3, or "ect01"; None where nothing is said."""

    ecn: int | str | None = None
    tos: int | None = None
    ttl: int | None = None
    flow_label: int | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One TCP option: its name in the language, and its values, as numbers or bytes.

    sack: a flat row of edges. TS: value, echo reply. FO, FOEXP: the cookie. md5: the digest.
    """

    name: str
    values: tuple[int, ...] = ()
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Tcp:
    """A TCP header. flags: letters of F S R P U E W A, and '.' for ACK; ace: the three bits as a number, or None.

    window: None where the script says nothing. options: None for ``<...>``.
    """

    flags: str
    ace: int | None
    sequence: int
    length: int
    acknowledgment: int
    window: int | None
    urgent: int
    options: tuple[Option, ...] | None


@dataclass(frozen=True, slots=True)
class Udp:
    """A datagram of ``length`` payload bytes."""

    length: int


@dataclass(frozen=True, slots=True)
class Quoted:
    """What an ICMP error quotes: "tcp", "udp" or "raw"."""

    protocol: str
    sequence: int
    length: int


@dataclass(frozen=True, slots=True)
class Icmp:
    """An ICMP message, by the names of its type and code."""

    type: str
    code: str | None
    mtu: int | None
    echo_id: int
    quoted: Quoted | None


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet to inject (``inbound``), or to expect. ports: source and destination, 0 where the script is silent."""

    inbound: bool
    ip: IpInfo
    ports: tuple[int, int]
    body: Tcp | Udp | Icmp


# The other actions


@dataclass(frozen=True, slots=True)
class Call:
    """A system call. end: when a blocking one returns, counted as the event's time is; None for one that does not.

    errno: the name of the expected error, "" for none.
    """

    name: str
    arguments: tuple[Expression, ...]
    result: Expression
    errno: str
    note: str
    end: int | None


@dataclass(frozen=True, slots=True)
class Command:
    """A line for the shell."""

    text: str
    position: Position


@dataclass(frozen=True, slots=True)
class Code:
    """A snippet of Python."""

    text: str


Action = Packet | Call | Command | Code


@dataclass(frozen=True, slots=True)
class Event:
    """An action and its time."""

    time: Time
    action: Action
    position: Position


@dataclass(frozen=True, slots=True)
class ScriptOption:
    """``--name=value`` at the head of a script; the value is None when there is none."""

    name: str
    value: str | None
    position: Position


@dataclass(frozen=True, slots=True)
class Script:
    """A whole file. ``init`` and ``cleanup`` are the commands before the first and after the last event."""

    path: str
    lines: tuple[str, ...]
    options: tuple[ScriptOption, ...]
    events: tuple[Event, ...]
    init: Command | None = None
    cleanup: Command | None = None
