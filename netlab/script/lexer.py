"""The words of the packetdrill language: a script's text as tokens, each with its place.

As in packetdrill's own scanner the longest match wins, and of two as long the one that stands first in ``RULES``. So
``0...0.2`` is a number, an ellipsis and a number, and ``1:1001(1000)`` is never taken for an IPv6 address. Comments
are those of C and C++; line ends are spaces. Words of the language are not told from others here: the parser knows
where it wants which.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address

from netlab.script.errors import Position, ScriptError

SPACE = "space"
COMMENT = "comment"
CODE = "code"
ELLIPSIS = "..."
OPTION = "option"
FLOAT = "number with a fraction"
INTEGER = "number"
HEX = "hexadecimal number"
WORD = "word"
STRING = "string"
BACKQUOTED = "command"
IPV4 = "IPv4 address"
IPV6 = "IPv6 address"
CHARACTER = "character"
END = "end of file"

RULES = tuple(
    (kind, re.compile(pattern, re.DOTALL))
    for kind, pattern in (
        (ELLIPSIS, r"\.\.\."),
        (OPTION, r"--[a-zA-Z0-9_]+"),
        (FLOAT, r"-?[0-9]*\.[0-9]+"),
        (INTEGER, r"-?[0-9]+"),
        (HEX, r"0x[0-9a-fA-F]+"),
        (WORD, r"[a-zA-Z0-9_]+#?"),  # '#' ends one word only, "sequence#" of GRE
        (STRING, r'"(?:\\.|[^"\\])*"'),
        (BACKQUOTED, r"`(?:\\.|[^`\\])*`"),
        (SPACE, r"[ \t\n]+"),
        (COMMENT, r"//[^\n]*|/\*.*?\*/"),
        (CODE, r"%\{.*?\}%"),
        (IPV4, r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+"),
        (IPV6, r"(?=[0-9a-fA-F:]*:)[0-9a-fA-F:]*:[0-9a-fA-F:]+(?:\.[0-9]+){3}|[0-9a-fA-F]*:[0-9a-fA-F:]+"),
        (CHARACTER, r"[^ \t\n]"),
    )
)
MAX_DIGITS = 40
UNCLOSED = {'"': "a string", "`": "a command", "/*": "a comment", "%{": "a code snippet"}


@dataclass(frozen=True, slots=True)
class Token:
    """``text`` is as in the script, but for quotes and brackets around a string, a command or a snippet."""

    kind: str
    text: str
    position: Position

    def describe(self) -> str:
        """How an error names it."""
        if self.kind == END:
            return "the end of the file"
        text = self.text.split("\n", 1)[0]
        return repr(text if len(text) <= 40 else text[:37] + "...")


def tokens(path: str, text: str) -> list[Token]:
    """All tokens of a script, the last of them END.

    Raises ScriptError for a string, command, comment or snippet that does not end.
    """
    found = []
    at = 0
    line = 1
    line_start = 0
    while at < len(text):
        kind, length = _longest(text, at)
        position = Position(line, at - line_start + 1)
        piece = text[at : at + length]
        if kind == CHARACTER:
            _check_closed(path, text, at, position)
        if kind in (INTEGER, FLOAT, HEX) and length > MAX_DIGITS:
            raise ScriptError(path, position, f"a number of {length} digits; no field takes more than {MAX_DIGITS}")
        if kind not in (SPACE, COMMENT):
            found.append(_token(kind, piece, position))
        newlines = piece.count("\n")
        if newlines:
            line += newlines
            line_start = at + piece.rindex("\n") + 1
        at += length
    found.append(Token(END, "", Position(line, at - line_start + 1)))
    return found


def _longest(text: str, at: int) -> tuple[str, int]:
    """Kind and length of the token that begins at ``at``."""
    best, length = CHARACTER, 0
    for kind, pattern in RULES:
        match = pattern.match(text, at)
        if match is not None and match.end() - at > length:
            if kind != IPV6 or _is_ipv6(match.group()):
                best, length = kind, match.end() - at
    return best, length


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _check_closed(path: str, text: str, at: int, position: Position) -> None:
    """A quote that stands alone opened something that has no end."""
    for opening, what in UNCLOSED.items():
        if text.startswith(opening, at):
            raise ScriptError(path, position, f"{what} begins here and does not end")


def _token(kind: str, piece: str, position: Position) -> Token:
    if kind in (STRING, BACKQUOTED):
        return Token(kind, piece[1:-1], position)
    if kind == CODE:
        return Token(kind, piece[2:-2].strip(" \t"), position)
    return Token(kind, piece, position)


def defined(token: Token, defines: Mapping[str, str]) -> Token:
    """The token, or what ``--define`` says that it stands for; strings and commands keep their quotes there."""
    value = defines.get(token.text) if token.kind == WORD else None
    if value is None:
        return token
    if value[0] == '"':
        return Token(STRING, value[1:-1], token.position)
    if value[0] == "`":
        return Token(BACKQUOTED, value[1:-1], token.position)
    return Token(WORD, value, token.position)
