"""A script's text to its tree: options at its head, then events, each a time and an action.

The whole file is parsed, and checked as far as it can be without running, before anything runs. Read ``lexer`` and
``tree`` first; packets and expressions have parsers of their own.
"""

from collections.abc import Sequence
from pathlib import Path

from netlab.script.configuration import Configuration, in_order, ip_version_of, read_defines
from netlab.script.errors import Position, ScriptError
from netlab.script.expression_parser import parse_expression, parse_expressions
from netlab.script.lexer import (
    BACKQUOTED,
    CODE,
    ELLIPSIS,
    END,
    FLOAT,
    INTEGER,
    IPV4,
    IPV6,
    OPTION,
    STRING,
    WORD,
    Token,
    tokens,
)
from netlab.script.packet_parser import parse_packet
from netlab.script.symbols import KNOWN_CALLS, SYMBOLS
from netlab.script.token_stream import TokenStream
from netlab.script.tree import (
    ABSOLUTE,
    ANY,
    RELATIVE,
    Action,
    Array,
    Assignment,
    Call,
    Code,
    Command,
    Event,
    Expression,
    Packet,
    Script,
    ScriptOption,
    Structure,
    Time,
    Union,
    Word,
)

MICROSECONDS = 1_000_000
MAX_SECONDS = 100_000_000  # three years: the clocks of a stack go further, though not for ever
MAX_SHOWN = 200  # characters of a line, in an error
MAX_SCRIPT = 4 << 20  # bytes


def parse_file(path: Path, given: Sequence[ScriptOption] = ()) -> Script:
    """The script in a file. Raises ScriptError, also for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_SCRIPT + 1)
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ScriptError(str(path), Position(1, 1), f"cannot be read: {reason}") from error
    if len(data) > MAX_SCRIPT:
        raise ScriptError(str(path), Position(1, 1), f"cannot be read: a script has at most {MAX_SCRIPT} bytes")
    return parse(str(path), text, given)


def parse(path: str, text: str, given: Sequence[ScriptOption] = ()) -> Script:
    """A script from its text; ``given`` are options of the command line. Raises ScriptError."""
    try:
        return _parse(path, text, given)
    except ScriptError as error:
        error.source = text.split("\n")[error.position.line - 1].strip()[:MAX_SHOWN]
        raise


def _parse(path: str, text: str, given: Sequence[ScriptOption]) -> Script:
    stream = TokenStream(path, tokens(path, text))
    options = _options(stream)
    every = in_order(options, given)
    stream.define(read_defines(path, every))
    Configuration.of(path, every)
    ipv6 = ip_version_of(every) == "ipv6"
    init = _command(stream) if stream.next_is(BACKQUOTED) else None
    events: list[Event] = []
    while not stream.next_is(END) and not stream.next_is(BACKQUOTED):
        events.append(_event(stream, ipv6))
    if not events:
        stream.wrong("an event, which begins with its time")
    cleanup = _command(stream) if stream.next_is(BACKQUOTED) else None
    if not stream.next_is(END):
        stream.wrong("the end of the file behind the last command")
    return Script(path, tuple(text.split("\n")), options, tuple(events), init, cleanup)


def _options(stream: TokenStream) -> tuple[ScriptOption, ...]:
    """``--name=value`` for each, up to the first token that is something else."""
    options = []
    while stream.next_is(OPTION):
        token = stream.take()
        value = _option_value(stream) if stream.accept_character("=") else None
        options.append(ScriptOption(token.text[2:], value, token.position))
    return tuple(options)


def _option_value(stream: TokenStream) -> str:
    token = stream.peek()
    if token.kind not in (INTEGER, FLOAT, WORD, STRING, IPV4, IPV6):
        stream.wrong("the value of an option")
    stream.take()
    value = token.text
    if stream.accept_character("/"):  # a prefix length
        return f"{value}/{stream.integer('a prefix length', 128)}"
    while value.startswith("ipv4") and stream.next_is_character("-"):  # ipv4-mapped-ipv6
        stream.take()
        value += "-" + stream.expect(WORD, "ipv4-mapped-ipv6").text
    if token.kind == WORD and stream.accept_character("="):
        right = stream.peek()
        if right.kind not in (WORD, INTEGER, STRING, BACKQUOTED):
            stream.wrong("a value: a word, a string or a command")
        stream.take()
        quote = {STRING: '"', BACKQUOTED: "`"}.get(right.kind, "")
        return f"{value}={quote}{right.text}{quote}"
    return value


def _event(stream: TokenStream, ipv6: bool) -> Event:
    position = stream.peek().position
    time = _time(stream)
    action = _action(stream, ipv6)
    expected = isinstance(action, Packet) and not action.inbound
    if not expected and time.kind == ANY:
        stream.fail(position, "'*' can only be the time of an outbound packet")
    if not expected and time.end is not None:
        stream.fail(position, "a range can only be the time of an outbound packet")
    return Event(time, action, position)


def _time(stream: TokenStream) -> Time:
    """``0.1``, ``+.1``, ``*``, ``0.1~0.2`` or ``+.1~+.2``."""
    if stream.accept_character("*"):
        return Time(ANY)
    position = stream.peek().position
    relative = stream.accept_character("+")
    start = _seconds(stream, "an event, which begins with its time")
    end = None
    if stream.accept_character("~"):
        if relative:
            stream.expect_character("+", "'+', as both ends of a range are relative or neither")
        end = _seconds(stream, "the end of a range of time")
        if end < start:
            stream.fail(position, "the range of time is backwards")
    return Time(RELATIVE if relative else ABSOLUTE, start, end)


def _seconds(stream: TokenStream, what: str) -> int:
    """A time in seconds, as microseconds."""
    token = stream.peek()
    if token.kind not in (FLOAT, INTEGER):
        stream.wrong(what)
    stream.take()
    if token.text.startswith("-"):
        stream.fail(token.position, f"a time cannot be negative: {token.text}")
    whole, _, fraction = token.text.partition(".")
    if int(whole or 0) > MAX_SECONDS:
        stream.fail(token.position, f"a time is at most {MAX_SECONDS} seconds, not {token.text}")
    return int(whole or 0) * MICROSECONDS + int((fraction + "000000")[:6])


def _action(stream: TokenStream, ipv6: bool) -> Action:
    if stream.next_is_character("<") or stream.next_is_character(">"):
        return parse_packet(stream, ipv6)
    if stream.next_is(BACKQUOTED):
        return _command(stream)
    if stream.next_is(CODE):
        return Code(stream.take().text)
    if stream.next_is(ELLIPSIS) or stream.next_is(WORD):
        return _call(stream)
    stream.wrong("a packet ('<' or '>'), a system call, a `command` or a %{ snippet }%")


def _command(stream: TokenStream) -> Command:
    token = stream.take()
    return Command(token.text, token.position)


def _call(stream: TokenStream) -> Call:
    """``...0.2 read(4, ..., 10) = -1 EAGAIN (Resource temporarily unavailable)``."""
    end = None
    if stream.next_is(ELLIPSIS):
        stream.take()
        end = _seconds(stream, "the time at which the call returns")
    name = stream.expect(WORD, "the name of a system call")
    stream.expect_character("(", "'(' and the arguments of the call")
    arguments = parse_expressions(stream, ")")
    stream.expect_character("=", "'=' and what the call returns")
    result = parse_expression(stream)
    errno = ""
    if stream.next_is(WORD):
        errno = stream.take().text
        note = _note(stream)
        if not note:
            stream.wrong(f"what {errno} means, in parentheses")
    else:
        note = _note(stream)
    call = Call(name.text, arguments, result, errno, note, end)
    _check_call(stream, name, call)
    return call


def _note(stream: TokenStream) -> str:
    """Words in parentheses, which are for people."""
    if not stream.accept_character("("):
        return ""
    words = [stream.expect(WORD, "a word of the note").text]
    while stream.next_is(WORD):
        words.append(stream.take().text)
    stream.expect_character(")")
    return " ".join(words)


def _check_call(stream: TokenStream, name: Token, call: Call) -> None:
    """A call must be one that is known, with as many arguments as it takes."""
    counts = KNOWN_CALLS.get(call.name)
    if counts is None:
        stream.unsupported(name.position, f"the system call {call.name!r}")
    for expression in (*call.arguments, call.result):
        _check_symbols(stream, expression)
    if call.errno and call.errno not in SYMBOLS:
        stream.fail(name.position, f"{call.errno} is no error of Linux")
    if len(call.arguments) not in counts:
        takes = " or ".join(map(str, counts))
        stream.fail(name.position, f"{call.name} takes {takes} arguments, not {len(call.arguments)}")


def _check_symbols(stream: TokenStream, expression: Expression) -> None:
    """Every symbol must be one of Linux that is known here."""
    match expression:
        case Word(name, position):
            if name not in SYMBOLS:
                stream.unsupported(position, f"the symbol {name!r}")
        case Union(parts) | Array(parts):
            for part in parts:
                _check_symbols(stream, part)
        case Structure(_, fields):
            for part in fields.values():
                _check_symbols(stream, part)
        case Assignment(_, value):
            _check_symbols(stream, value)
