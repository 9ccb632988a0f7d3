"""What can be wrong with a script before it runs, and where in its file.

Every message names file, line and column, what was found, and what the language has there. What goes wrong while a
script runs is a `netlab.script.report.Failure`, not an error: it is the outcome of the run.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a script; both count from 1."""

    line: int
    column: int


class ScriptError(Exception):
    """A script that is not one: it cannot be parsed, or says something that makes no sense."""

    def __init__(self, path: str, position: Position, message: str) -> None:
        super().__init__(f"{path}:{position.line}:{position.column}: {message}")
        self.path = path
        self.position = position
        self.message = message
        self.source = ""  # the line, once the parser knows it


class UnsupportedError(ScriptError):
    """A script that is one, but asks for what this runner does not do."""
