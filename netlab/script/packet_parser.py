"""Packets of the packetdrill language: ``< S 0:0(0) win 1000 <mss 1460>`` and what else may be injected or expected.

Numbers are checked against the width of their field here, and lengths against each other, so that a script that
parses can be built. Tunnels (GRE, MPLS, IP in IP) are in the language, and not supported.
"""

from netlab.script.icmp_names import check_icmp
from netlab.script.lexer import ELLIPSIS, FLOAT, HEX, INTEGER, WORD, Token
from netlab.script.tcp_options import OPTION_LENGTHS, options_length
from netlab.script.token_stream import TokenStream
from netlab.script.tree import Icmp, IpInfo, Option, Packet, Quoted, Tcp, Udp

MASK32 = 0xFFFFFFFF
ECN_NAMES = {"noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}
FLAG_LETTERS = "FSRPUEWA"
MOST_OPTION_BYTES = 40
MOST_COOKIE = {"FO": 38, "FOEXP": 36, "md5": 16}
TUNNELS = ("ipv4", "ipv6", "gre", "GREv0", "mpls")


def parse_packet(stream: TokenStream, ipv6: bool) -> Packet:
    """The packet that comes next, from its direction on; ``ipv6``: which ICMP it may speak. Raises ScriptError."""
    direction = stream.take()
    inbound = direction.text == "<"
    if stream.peek().text in TUNNELS and stream.peek().kind == WORD:
        stream.unsupported(stream.peek().position, f"a tunnel ({stream.peek().text})")
    ip = _ip_info(stream, inbound)
    if stream.accept_word("udp"):
        return _udp(stream, inbound, ip)
    if stream.next_is_word("icmp"):
        return Packet(inbound, ip, (0, 0), _icmp(stream, ipv6))
    ports = _ports(stream)
    return Packet(inbound, ip, ports, _tcp(stream, inbound))


def _ip_info(stream: TokenStream, inbound: bool) -> IpInfo:
    """``[ect0]``, ``(tos 0x10, flowlabel 0x2)``, ``[ttl 64]`` or nothing."""
    closing = {"[": "]", "(": ")"}.get(stream.peek().text)
    if closing is None:
        return IpInfo()
    stream.take()
    token = stream.peek()
    if token.text in ECN_NAMES or token.text == "ect01" or token.text == "tos":
        info = _tos(stream, inbound)
        if stream.accept_character(","):
            info = IpInfo(info.ecn, info.tos, None, _flow_label(stream))
    elif token.text == "flowlabel":
        info = IpInfo(flow_label=_flow_label(stream))
    elif stream.accept_word("ttl"):
        info = IpInfo(ttl=stream.integer("a time to live", 255))
    else:
        stream.wrong("noecn, ect0, ect1, ect01, ce, tos, flowlabel or ttl")
    stream.expect_character(closing)
    return info


def _tos(stream: TokenStream, inbound: bool) -> IpInfo:
    token = stream.take()
    if token.text in ECN_NAMES:
        return IpInfo(ecn=ECN_NAMES[token.text])
    if token.text == "ect01":
        if inbound:
            stream.fail(token.position, "[ect01] can only be expected, of an outbound packet")
        return IpInfo(ecn="ect01")
    return IpInfo(tos=_hex(stream, "a type of service", 0xFF))


def _flow_label(stream: TokenStream) -> int:
    stream.expect_word("flowlabel")
    return _hex(stream, "a flow label", 0xFFFFF)


def _hex(stream: TokenStream, what: str, most: int) -> int:
    token = stream.expect(HEX, f"{what}, as 0x1f")
    value = int(token.text, 16)
    if value > most:
        stream.fail(token.position, f"{what} is at most {most:#x}, not {token.text}")
    return value


def _ports(stream: TokenStream) -> tuple[int, int]:
    """``8080 > 40000``, or nothing."""
    if not (stream.next_is(INTEGER) and stream.next_is_character(">", 1)):
        return 0, 0
    source = stream.integer("a source port", 0xFFFF)
    stream.take()
    return source, stream.integer("a destination port", 0xFFFF)


def _udp(stream: TokenStream, inbound: bool, ip: IpInfo) -> Packet:
    token = stream.peek()
    ports = _ports(stream)
    if isinstance(ip.ecn, int):
        stream.fail(token.position, "ECN can only be given for a TCP packet")
    stream.expect_character("(", "'(' and the size of the payload")
    length = stream.integer("the payload of a datagram", 0xFFFF)
    stream.expect_character(")")
    return Packet(inbound, ip, ports, Udp(length))


def _icmp(stream: TokenStream, ipv6: bool) -> Icmp:
    position = stream.take().position
    kind = stream.expect(WORD, "the type of an ICMP message").text
    code = None
    if stream.next_is(WORD) and stream.peek().text not in ("mtu", "id"):
        code = stream.take().text
    mtu = stream.integer("an MTU", MASK32) if stream.accept_word("mtu") else None
    echo_id = stream.integer("the identifier of an echo", 0xFFFF) if stream.accept_word("id") else 0
    message = Icmp(kind, code, mtu, echo_id, _quoted(stream))
    wrong = check_icmp(message, ipv6)
    if wrong:
        stream.fail(position, wrong)
    return message


def _quoted(stream: TokenStream) -> Quoted | None:
    """``[1:1001(1000)]``, ``[udp (8)]``, ``[raw (8)]`` or nothing."""
    if not stream.accept_character("["):
        return None
    if stream.next_is_word("udp") or stream.next_is_word("raw"):
        protocol = stream.take().text
        stream.expect_character("(")
        quoted = Quoted(protocol, 0, stream.integer("a payload", 0xFFFF))
        stream.expect_character(")")
    else:
        sequence, length = _sequence(stream)
        quoted = Quoted("tcp", sequence, length)
    stream.expect_character("]")
    return quoted


def _tcp(stream: TokenStream, inbound: bool) -> Tcp:
    flags, ace = _flags(stream)
    sequence, length = _sequence(stream)
    acknowledgment = stream.integer("an acknowledgment number", MASK32) if stream.accept_word("ack") else 0
    window = stream.integer("a window", 0xFFFF) if stream.accept_word("win") else None
    urgent = stream.integer("an urgent pointer", 0xFFFF) if stream.accept_word("urg") else 0
    options = _options(stream, inbound)
    if stream.next_is_character("{"):
        stream.unsupported(stream.peek().position, "mutating a packet")
    return Tcp(flags, ace, sequence, length, acknowledgment, window, urgent, options)


def _flags(stream: TokenStream) -> tuple[str, int | None]:
    """``S``, ``P.``, ``.``, ``-`` for none, or ``P.5`` with the count of accurate ECN."""
    token = stream.peek()
    if stream.accept_character("-"):
        return "", None
    letters = ""
    if token.kind == WORD:
        letters = stream.take().text
        for letter in letters:
            if letter not in FLAG_LETTERS:
                stream.fail(token.position, f"found {token.describe()}, expected flags of {FLAG_LETTERS} and '.'")
    if stream.next_is(FLOAT):
        count = stream.take()
        if not count.text.startswith(".") or len(count.text) != 2 or count.text[1] > "7":
            stream.fail(count.position, f"found {count.describe()}, expected '.' and an ECN count of 0 to 7")
        if set(letters) & set("EWA"):
            stream.fail(token.position, "an ECN count takes the place of the flags E, W and A")
        return letters + ".", int(count.text[1])
    if stream.accept_character("."):
        return letters + ".", None
    if not letters:
        stream.wrong("TCP flags, udp or icmp")
    return letters, None


def _sequence(stream: TokenStream) -> tuple[int, int]:
    """``1:1001(1000)``."""
    token = stream.peek()
    start = stream.integer("a sequence number", MASK32)
    stream.expect_character(":")
    end = stream.integer("a sequence number", MASK32)
    stream.expect_character("(")
    length = stream.integer("the payload of a segment", 0xFFFF)
    stream.expect_character(")")
    if end != start + length:
        stream.fail(token.position, f"{start}:{end} are not {length} bytes")
    return start, length


def _options(stream: TokenStream, inbound: bool) -> tuple[Option, ...] | None:
    """``<mss 1460,nop,wscale 7>``, ``<...>``, or nothing, which is no options."""
    opening = stream.peek()
    if not stream.next_is_character("<"):
        return ()
    stream.take()
    if stream.next_is(ELLIPSIS):
        if inbound:
            stream.fail(opening.position, "<...> can only be expected, of an outbound packet")
        stream.take()
        stream.expect_character(">")
        return None
    options = [_option(stream)]
    while stream.accept_character(","):
        options.append(_option(stream))
    stream.expect_character(">", "',' or '>'")
    length = options_length(tuple(options))
    if length > MOST_OPTION_BYTES:
        stream.fail(opening.position, f"the options take {length} bytes, and there is room for {MOST_OPTION_BYTES}")
    if length % 4:
        stream.fail(opening.position, f"the options take {length} bytes: pad them with nop to a multiple of 4")
    return tuple(options)


def _option(stream: TokenStream) -> Option:
    token = stream.expect(WORD, "the name of a TCP option")
    name = token.text
    if name == "mss":
        return Option(name, (stream.integer("a maximum segment size", 0xFFFF),))
    if name == "wscale":
        return Option(name, (stream.integer("a window scale", 0xFF),))
    if name == "TS":
        stream.expect_word("val")
        value = stream.integer("a timestamp", MASK32)
        stream.expect_word("ecr")
        return Option(name, (value, stream.integer("an echoed timestamp", MASK32)))
    if name == "sack":
        return Option(name, _sack(stream))
    if name in MOST_COOKIE:
        return Option(name, (), _cookie(stream, token))
    if name not in OPTION_LENGTHS:
        stream.fail(token.position, f"found {token.describe()}, expected one of {', '.join(OPTION_LENGTHS)}")
    return Option(name)


def _sack(stream: TokenStream) -> tuple[int, ...]:
    edges: list[int] = []
    while not edges or stream.next_is(INTEGER):
        edges.append(stream.integer("the left edge of a SACK block", MASK32))
        stream.expect_character(":")
        edges.append(stream.integer("the right edge of a SACK block", MASK32))
    return tuple(edges)


def _cookie(stream: TokenStream, name: Token) -> bytes:
    """The hexadecimal digits behind FO, FOEXP and md5."""
    if not (stream.next_is(WORD) or stream.next_is(INTEGER)):
        if name.text == "md5":
            stream.wrong("a digest in hexadecimal digits")
        return b""
    token = stream.take()
    try:
        data = bytes.fromhex(token.text)
    except ValueError:
        stream.fail(token.position, f"{token.text!r} is not an even number of hexadecimal digits")
    if len(data) > MOST_COOKIE[name.text]:
        stream.fail(token.position, f"{name.text} takes at most {MOST_COOKIE[name.text]} bytes, not {len(data)}")
    return data
