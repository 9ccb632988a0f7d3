"""A row of tokens that a parser takes from the front, and the errors it raises when it finds the wrong one."""

from collections.abc import Mapping
from typing import NoReturn

from netlab.script.errors import Position, ScriptError, UnsupportedError
from netlab.script.lexer import CHARACTER, END, INTEGER, WORD, Token, defined


class TokenStream:
    """The tokens of the script at ``path``."""

    def __init__(self, path: str, tokens: list[Token]) -> None:
        self.path = path
        self._tokens = tokens
        self._at = 0
        self.depth = 0  # of the expression that is being parsed

    def define(self, defines: Mapping[str, str]) -> None:
        """Let the words ahead that are defined stand for their values."""
        self._tokens[self._at :] = [defined(token, defines) for token in self._tokens[self._at :]]

    def peek(self, ahead: int = 0) -> Token:
        """The next token, or one behind it."""
        return self._tokens[min(self._at + ahead, len(self._tokens) - 1)]

    def take(self) -> Token:
        """The next token, which is then behind us."""
        token = self.peek()
        if token.kind != END:
            self._at += 1
        return token

    def next_is(self, kind: str, text: str | None = None, ahead: int = 0) -> bool:
        """Whether a token is of a kind, and has a text."""
        token = self.peek(ahead)
        return token.kind == kind and (text is None or token.text == text)

    def next_is_word(self, text: str, ahead: int = 0) -> bool:
        """Whether a token is this word."""
        return self.next_is(WORD, text, ahead)

    def next_is_character(self, text: str, ahead: int = 0) -> bool:
        """Whether a token is this character."""
        return self.next_is(CHARACTER, text, ahead)

    def accept_word(self, text: str) -> bool:
        """Take the next token if it is this word."""
        if self.next_is_word(text):
            self.take()
            return True
        return False

    def accept_character(self, text: str) -> bool:
        """Take the next token if it is this character."""
        if self.next_is_character(text):
            self.take()
            return True
        return False

    def expect(self, kind: str, what: str) -> Token:
        """Take a token of a kind; ``what`` says in an error what was expected."""
        if self.peek().kind != kind:
            self.wrong(what)
        return self.take()

    def expect_character(self, text: str, what: str = "") -> None:
        """Take this character."""
        if not self.accept_character(text):
            self.wrong(what or f"'{text}'")

    def expect_word(self, text: str) -> None:
        """Take this word."""
        if not self.accept_word(text):
            self.wrong(f"'{text}'")

    def integer(self, what: str, most: int, least: int = 0) -> int:
        """Take a decimal number from ``least`` to ``most``."""
        token = self.expect(INTEGER, what)
        value = int(token.text)
        if not least <= value <= most:
            self.fail(token.position, f"{what} is {least} to {most}, not {value}")
        return value

    def wrong(self, expected: str) -> NoReturn:
        """The next token cannot stand here."""
        token = self.peek()
        self.fail(token.position, f"found {token.describe()}, expected {expected}")

    def fail(self, position: Position, message: str) -> NoReturn:
        """Raise an error that names the place."""
        raise ScriptError(self.path, position, message)

    def unsupported(self, position: Position, what: str) -> NoReturn:
        """Raise the error for what is in the language, but not in this runner."""
        raise UnsupportedError(self.path, position, f"{what} is not supported")
