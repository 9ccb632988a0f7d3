"""Standard output and standard error as every command has them: one place for what can go wrong with a terminal.

- What cannot be written (a full disk, a pipe whose reader has gone) is an `OutputError`, whoever was writing.
- Characters that the terminal's encoding lacks become plain ones: a table's lines, dashes, signs.
- NO_COLOR (no-color.org) makes standard output plain text, as a pipe or TERM=dumb does.
"""

import codecs
import errno
import io
import os
import sys
import unicodedata
from typing import Any, TextIO

from netlab.errors import NetlabError

READER_GONE = 141  # what a shell shows for a program that SIGPIPE has ended

_PLAIN = str.maketrans(
    {
        "\u2265": ">=",
        "\u2264": "<=",
        "\u2026": "...",
        "\u2013": "-",
        "\u2014": "-",
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2022": "*",
        "\u2192": "->",
        "\u03bc": "u",
        "\u00b5": "u",
        "\u00d7": "x",
    }
)
_BOX, _BRAILLE = range(0x2500, 0x25A0), range(0x2800, 0x2900)  # lines of tables and bars; spinners


class OutputError(NetlabError):
    """Standard output, or standard error, cannot be written to."""


class ReaderGoneError(OutputError):
    """Whoever read our output does not any more: no fault of anybody's, and the end of the command."""


def plain(text: str, encoding: str) -> str:
    """The text with what `encoding` cannot say written in ASCII."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(character if _fits(character, encoding) else _replaced(character) for character in text)
    return text


def _fits(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _replaced(character: str) -> str:
    if ord(character) in _PLAIN:
        return character.translate(_PLAIN)
    if ord(character) in _BRAILLE:
        return "*"
    if ord(character) in _BOX:
        name = unicodedata.name(character)
        return "+" if " AND " in name or "ARC" in name else "|" if "VERTICAL" in name else "-"
    return character.encode("ascii", "backslashreplace").decode()


class Output(io.TextIOWrapper):
    """A standard stream on the descriptor of another, which it takes over."""

    def __init__(self, stream: io.TextIOWrapper, name: str, *, is_plain: bool) -> None:
        self._says = _encoding(stream)
        self._what = name
        self._is_plain = is_plain
        # What writes to it may take a stream of ASCII for one that was set up wrongly, and go around it.
        shown = "latin-1" if self._says == "ascii" else self._says
        super().__init__(stream.buffer, shown, "backslashreplace", line_buffering=stream.line_buffering)

    def write(self, text: str) -> int:
        """Write the text. Raises OutputError."""
        try:
            super().write(plain(text, self._says))
        except OSError as error:
            raise self._error(error) from error
        return len(text)

    def flush(self) -> None:
        """Write what waits. Raises OutputError."""
        try:
            super().flush()
        except OSError as error:
            raise self._error(error) from error

    def isatty(self) -> bool:
        """Whether a terminal shows it, and it need not be plain."""
        return not self._is_plain and super().isatty()

    def abandon(self) -> None:
        """Let whatever still waits, and what is yet to come, go nowhere."""
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, self.fileno())
        os.close(descriptor)

    def _error(self, error: OSError) -> OutputError:
        if error.errno == errno.EPIPE:
            return ReaderGoneError("the reader of the output has gone")
        return OutputError(f"cannot write to {self._what}: {error.strerror}", _REMEDIES.get(error.errno or 0, ""))


_REMEDIES = {
    errno.ENOSPC: "Free some space there, or send the output elsewhere.",
    errno.EIO: "The terminal is gone.",
    errno.EBADF: "Open it for writing.",
}


def _encoding(stream: TextIO) -> str:
    """What the terminal shows: the stream's own encoding, or ASCII where a locale without UTF-8 was asked for.

    Python takes the locale C, and one that is not installed, for UTF-8 that somebody forgot to name; LC_ALL says it.
    """
    encoding = codecs.lookup(stream.encoding).name
    asked = os.environ.get("LC_ALL", "")
    is_guess = encoding == "utf-8" and not {"PYTHONIOENCODING", "PYTHONUTF8"} & os.environ.keys()
    return "ascii" if is_guess and asked and "utf" not in asked.lower() else encoding


def install() -> None:
    """Put the streams of this process in place of Python's. One that is closed stays so."""
    is_plain = bool(os.environ.get("NO_COLOR"))
    if sys.stdout is not None:
        sys.stdout = _installed(sys.stdout, "the output", is_plain=is_plain)
    if sys.stderr is not None:
        sys.stderr = _installed(sys.stderr, "standard error", is_plain=False)


def _installed(stream: Any, name: str, *, is_plain: bool) -> TextIO:
    stream.flush()
    return Output(stream, name, is_plain=is_plain)


def finish() -> None:
    """Write what waits in both streams. Raises OutputError."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def abandon() -> None:
    """Let Python end without another try at a stream that cannot be written to."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, Output):
            try:
                stream.flush()
            except OutputError:
                stream.abandon()
