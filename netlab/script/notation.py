"""Packets, times and values in the script's own notation, for reports."""

from netlab.script.tree import (
    ABSOLUTE,
    ANY,
    Array,
    Assignment,
    Call,
    Ellipsis,
    Event,
    Expression,
    Icmp,
    Iovec,
    IpInfo,
    Number,
    Option,
    Packet,
    SocketAddress,
    Structure,
    Tcp,
    Text,
    Time,
    Udp,
    Union,
    Word,
)

ECN = ("noecn", "ect1", "ect0", "ce")
MICROSECONDS = 1_000_000


def seconds(microseconds: int) -> str:
    """As ``0.200000``."""
    return f"{microseconds / MICROSECONDS:.6f}"


def time(when: Time) -> str:
    """As ``+0.100000~+0.200000``."""
    if when.kind == ANY:
        return "*"
    sign = "" if when.kind == ABSOLUTE else "+"
    end = "" if when.end is None else f"~{sign}{seconds(when.end)}"
    return f"{sign}{seconds(when.start)}{end}"


def packet(shown: Packet, like: Packet | None = None) -> str:
    """The packet as a script has it. like: a packet of a script; what that does not speak of is left out."""
    words = ["<" if shown.inbound else ">"]
    info = _ip_info(shown.ip, like.ip if like is not None else None)
    if info:
        words.append(f"[{info}]")
    body = shown.body
    if isinstance(body, Udp):
        words.append(f"udp{_ports(shown)} ({body.length})")
    elif isinstance(body, Icmp):
        words.append(_icmp(body))
    else:
        other = like.body if like is not None and isinstance(like.body, Tcp) else None
        words.append(_ports(shown).strip() + (" " if any(shown.ports) else "") + _tcp(body, other))
    return " ".join(words)


def _ports(shown: Packet) -> str:
    return f" {shown.ports[0]} > {shown.ports[1]}" if any(shown.ports) else ""


def _ip_info(info: IpInfo, like: IpInfo | None) -> str:
    words = []
    wanted = like if like is not None else info
    if wanted.ecn is not None:
        words.append(info.ecn if isinstance(info.ecn, str) else ECN[info.ecn or 0])
    elif wanted.tos is not None:
        words.append(f"tos {info.tos or 0:#x}")
    if wanted.ttl is not None:
        words.append(f"ttl {info.ttl}")
    if wanted.flow_label is not None:
        words.append(f"flowlabel {info.flow_label or 0:#x}")
    return ", ".join(words)


def _icmp(body: Icmp) -> str:
    words = ["icmp", body.type, body.code or "", f"mtu {body.mtu}" if body.mtu is not None else ""]
    quoted = body.quoted
    if quoted is not None and quoted.protocol == "tcp":
        words.append(f"[{quoted.sequence}:{quoted.sequence + quoted.length}({quoted.length})]")
    elif quoted is not None:
        words.append(f"[{quoted.protocol} ({quoted.length})]")
    return " ".join(word for word in words if word)


def _tcp(body: Tcp, like: Tcp | None) -> str:
    flags = body.flags
    if like is not None and like.ace is not None:
        flags = "".join(letter for letter in flags if letter not in "EWA.") + f".{body.ace}"
    elif like is None and body.ace is not None:
        flags += str(body.ace)
    words = [flags or "-", f"{body.sequence}:{body.sequence + body.length}({body.length})"]
    if "." in body.flags or body.acknowledgment:
        words.append(f"ack {body.acknowledgment}")
    if body.window is not None and (like is None or like.window is not None):
        words.append(f"win {body.window}")
    if body.urgent or (like is not None and like.urgent):
        words.append(f"urg {body.urgent}")
    if body.options is None:
        words.append("<...>")
    elif body.options:
        words.append(f"<{options(body.options)}>")
    return " ".join(words)


def options(shown: tuple[Option, ...]) -> str:
    """As ``mss 1460,nop,wscale 7``."""
    return ",".join(map(_option, shown))


def _option(option: Option) -> str:
    values = option.values
    if option.name == "TS" and len(values) == 2:
        return f"TS val {values[0]} ecr {values[1]}"
    if option.name == "sack":
        return "sack " + " ".join(f"{left}:{right}" for left, right in zip(values[::2], values[1::2], strict=False))
    return " ".join([option.name, *map(str, values), *([option.data.hex()] if option.data else [])])


def expression(shown: Expression) -> str:
    """An expression as a script has it."""
    match shown:
        case Ellipsis():
            return "..."
        case Number(value):
            return str(value)
        case Word(name):
            return name
        case Text(data, open_ended):
            return '"' + data.decode("latin-1") + '"' + ("..." if open_ended else "")
        case Union(parts):
            return "|".join(map(expression, parts))
        case Assignment(name, value):
            return f"{name}={expression(value)}"
        case Array(items):
            return "[" + ", ".join(map(expression, items)) + "]"
        case SocketAddress(family, port, address):
            return f'{{sa_family={family}, sin_port=htons({port}), sin_addr=inet_addr("{address}")}}'
        case Iovec(length):
            return f"{{..., {length}}}"
        case Structure(_, fields):
            return "{" + ", ".join(f"{name}={expression(value)}" for name, value in fields.items()) + "}"


def call(shown: Call) -> str:
    """A system call with its arguments, without its result."""
    return f"{shown.name}({', '.join(map(expression, shown.arguments))})"


def event(shown: Event) -> str:
    """What an event does, in a few words: the first line of what its script says."""
    action = shown.action
    if isinstance(action, Packet):
        return packet(action)
    if isinstance(action, Call):
        return call(action)
    return action.text.split("\n", 1)[0]
