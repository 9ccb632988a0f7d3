"""Expressions of the packetdrill language: the arguments and results of system calls.

``{`` opens one of several structures; the word behind it says which. ``|`` joins flags. Strings that follow each
other are one.
"""

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from netlab.script.lexer import ELLIPSIS, HEX, INTEGER, STRING, WORD
from netlab.script.token_stream import TokenStream
from netlab.script.tree import (
    Array,
    Assignment,
    Ellipsis,
    Expression,
    Iovec,
    Number,
    SocketAddress,
    Structure,
    Text,
    Union,
    Word,
)

WHAT = "an expression: '...', a number, a symbol, a string, a list or a structure"
MOST_INTEGER = (1 << 63) - 1
MAX_DEPTH = 50
ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})|\\(.)", re.DOTALL)
ESCAPES = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"0": b"\0"}

# Structures that are their fields in order: C name, then the names.
PLAIN_STRUCTURES = {
    "onoff": ("linger", ("onoff", "linger")),
    "cmsg_level": ("cmsghdr", ("cmsg_level", "cmsg_type", "cmsg_data")),
    "scm_sec": ("scm_timestamping", ("scm_sec", "scm_nsec")),
    "ee_errno": ("sock_extended_err", ("ee_errno", "ee_origin", "ee_type", "ee_code", "ee_info", "ee_data")),
}
EVENT_DATA = ("fd", "ptr", "u32", "u64")


def parse_expression(stream: TokenStream) -> Expression:
    """The expression that comes next. Raises ScriptError, also when it is nested too deeply."""
    stream.depth += 1
    if stream.depth > MAX_DEPTH:
        stream.fail(stream.peek().position, f"expressions are nested {MAX_DEPTH} deep at most")
    try:
        return _expression(stream)
    finally:
        stream.depth -= 1


def _expression(stream: TokenStream) -> Expression:
    if stream.next_is(WORD) and stream.next_is_character("=", 1):
        name = stream.take().text
        stream.take()
        return Assignment(name, parse_expression(stream))
    parts = [_primary(stream)]
    while stream.accept_character("|"):
        parts.append(_primary(stream))
    return parts[0] if len(parts) == 1 else Union(tuple(parts))


def parse_expressions(stream: TokenStream, closing: str) -> tuple[Expression, ...]:
    """Expressions by comma up to ``closing``, which is taken as well."""
    items: list[Expression] = []
    if stream.accept_character(closing):
        return ()
    while True:
        items.append(parse_expression(stream))
        if stream.accept_character(closing):
            return tuple(items)
        stream.expect_character(",", f"',' or '{closing}'")


def _primary(stream: TokenStream) -> Expression:
    token = stream.peek()
    if token.kind == ELLIPSIS:
        stream.take()
        return Ellipsis()
    if token.kind == INTEGER:
        stream.take()
        return Number(int(token.text))
    if token.kind == HEX:
        stream.take()
        return Number(int(token.text, 16))
    if token.kind == STRING:
        return _strings(stream)
    if token.kind == WORD:
        if token.text in ("inet_addr", "inet6_addr"):
            return _address(stream)
        stream.take()
        return Word(token.text, token.position)
    if stream.accept_character("["):
        return Array(parse_expressions(stream, "]"))
    if stream.next_is_character("{"):
        return _structure(stream)
    stream.wrong(WHAT)


def _strings(stream: TokenStream) -> Text:
    data = bytearray()
    while stream.next_is(STRING):
        data += _unescape(stream.take().text)
    if stream.next_is(ELLIPSIS):
        stream.take()
        return Text(bytes(data), True)
    return Text(bytes(data))


def _unescape(text: str) -> bytes:
    """The bytes of a string with C's escapes; a backslash before any other letter goes away, as in C."""

    def plain(match: re.Match[bytes]) -> bytes:
        digits, letter = match.groups()
        return bytes.fromhex(digits.decode()) if digits else ESCAPES.get(letter, letter)

    return ESCAPE.sub(plain, text.encode())


def _address(stream: TokenStream) -> Number:
    """``inet_addr("...")``: a number, the address as it lies in memory on a little-endian machine."""
    function = stream.take().text
    stream.expect_character("(")
    token = stream.expect(STRING, "an address in quotes")
    stream.expect_character(")")
    try:
        if function == "inet_addr":
            return Number(int.from_bytes(IPv4Address(token.text).packed, "little"))
        return Number(int.from_bytes(IPv6Address(token.text).packed, "big"))
    except AddressValueError:
        stream.fail(token.position, f"{token.text!r} is not an address that {function} takes")


def _structure(stream: TokenStream) -> Expression:
    opening = stream.take()
    first = stream.peek()
    if first.kind == ELLIPSIS and stream.next_is_character(",", 1):
        return _iovec(stream)
    name = first.text if first.kind == WORD and not stream.next_is_character(",", 1) else ""
    special: dict[str, Callable[[TokenStream], Expression]] = {
        "sa_family": _socket_address,
        "msg_name": _message,
        "fd": _poll,
        "events": _epoll_event,
    }
    if name in special:
        return special[name](stream)
    if name in PLAIN_STRUCTURES:
        kind, names = PLAIN_STRUCTURES[name]
        return _fields(stream, kind, names)
    if name == "flags":
        stream.unsupported(opening.position, "the header of a GRE tunnel")
    if stream.next_is_character("(") and stream.next_is_word("label", 1):
        stream.unsupported(opening.position, "a stack of MPLS labels")
    return Array(parse_expressions(stream, "}"))


def _fields(stream: TokenStream, kind: str, names: tuple[str, ...]) -> Structure:
    """``name=value`` for each of the names, by comma, and the brace behind them."""
    fields = {}
    for index, name in enumerate(names):
        if index:
            stream.expect_character(",")
        fields[name] = _field(stream, name)
    stream.expect_character("}")
    return Structure(kind, fields)


def _field(stream: TokenStream, name: str) -> Expression:
    stream.expect_word(name)
    stream.expect_character("=")
    return parse_expression(stream)


def _iovec(stream: TokenStream) -> Iovec:
    stream.take()
    stream.expect_character(",")
    length = stream.integer("the length of a buffer", MOST_INTEGER)
    stream.expect_character("}")
    return Iovec(length)


def _socket_address(stream: TokenStream) -> SocketAddress:
    stream.expect_word("sa_family")
    stream.expect_character("=")
    family = stream.expect(WORD, "AF_INET or AF_INET6")
    if family.text not in ("AF_INET", "AF_INET6"):
        stream.fail(family.position, f"found {family.describe()}, expected AF_INET or AF_INET6")
    stream.expect_character(",")
    stream.expect_word("sin_port")
    stream.expect_character("=")
    stream.expect_word("htons")
    stream.expect_character("(")
    port = stream.integer("a port", 0xFFFF)
    stream.expect_character(")")
    stream.expect_character(",")
    stream.expect_word("sin_addr")
    stream.expect_character("=")
    stream.expect_word("inet_addr")
    stream.expect_character("(")
    address = stream.expect(STRING, "an address in quotes")
    stream.expect_character(")")
    stream.expect_character("}")
    try:
        if "%" in address.text:
            raise AddressValueError
        IPv4Address(address.text) if family.text == "AF_INET" else IPv6Address(address.text)
    except AddressValueError:
        stream.fail(address.position, f"{address.text!r} is not an address of {family.text}")
    return SocketAddress(family.text, port, address.text)


def _message(stream: TokenStream) -> Structure:
    """``{msg_name(...)=..., msg_iov(N)=[...], msg_flags=...}``, perhaps with msg_control."""
    stream.expect_word("msg_name")
    stream.expect_character("(")
    stream.expect(ELLIPSIS, "'...'")
    stream.expect_character(")")
    stream.expect_character("=")
    stream.expect(ELLIPSIS, "'...'")
    stream.expect_character(",")
    stream.expect_word("msg_iov")
    stream.expect_character("(")
    count = stream.integer("the number of buffers", 1024)
    stream.expect_character(")")
    stream.expect_character("=")
    buffers = stream.peek()
    iov = parse_expression(stream)
    if not isinstance(iov, Array) or len(iov.items) != count:
        stream.fail(buffers.position, f"msg_iov({count}) is not a list of {count} buffers")
    stream.expect_character(",")
    fields: dict[str, Expression] = {"msg_iov": iov, "msg_flags": _field(stream, "msg_flags")}
    if stream.accept_character(","):
        fields["msg_control"] = _field(stream, "msg_control")
    stream.expect_character("}")
    return Structure("msghdr", fields)


def _poll(stream: TokenStream) -> Structure:
    fields = {"fd": _field(stream, "fd")}
    stream.expect_character(",")
    fields["events"] = _field(stream, "events")
    fields["revents"] = Number(0)
    if stream.accept_character(","):
        fields["revents"] = _field(stream, "revents")
    stream.expect_character("}")
    return Structure("pollfd", fields)


def _epoll_event(stream: TokenStream) -> Structure:
    fields = {"events": _field(stream, "events")}
    stream.expect_character(",")
    name = stream.peek().text
    if name not in EVENT_DATA:
        stream.wrong("fd, ptr, u32 or u64")
    fields[name] = _field(stream, name)
    stream.expect_character("}")
    return Structure("epoll_event", fields)
