"""What lines for the shell set, without a shell: their comments, continuations and sums, and the sysctls they name.

Understood are ``sysctl [-q] [-w] name=value ...``, ``echo value > /proc/sys/...``, ``set_sysctls.py`` of the published
scripts, which takes ``/proc/sys/...=value``, and in a file of defaults ``name = value`` as in sysctl.conf; by ``;``,
``&&`` or line. A value may have sums, as ``$((4 * 1024))``. Output to /dev/null is none.
"""

import ast
import operator
import re
import shlex
from collections.abc import Iterator

COMMENT = re.compile(r"^\s*;.*$|(?:^|(?<=\s))#.*$", re.MULTILINE)  # sysctl.conf has those with ; as well
TO_NULL = re.compile(r"\s*(?:[12&]?>\s*/dev/null|2>&1)")
SUM = re.compile(r"\$\(\(([^()]*(?:\([^()]*\)[^()]*)*)\)\)")
ECHO = re.compile(r"echo\s+(?P<value>.+?)\s*>\s*/proc/sys/(?P<name>[\w/.-]+)")
ASSIGNMENT = re.compile(r"(?P<name>[\w./-]+)\s*=\s*(?P<value>.*)")
SEPARATOR = re.compile(r"[;\n]|&&")
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.FloorDiv: operator.floordiv}
LONGEST_SUM = 100  # characters


class NotASettingError(Exception):
    """A line that does something else than setting sysctls."""


def commands(text: str) -> Iterator[tuple[int, str]]:
    """Each command and the number of the line it begins in, from 0; without comments, on one line each."""
    joined = re.sub(r"\\\r?\n", lambda match: "\0" * match.group().count("\n"), text)
    at = 0
    for line in joined.split("\n"):
        for command in SEPARATOR.split(COMMENT.sub("", line)):
            plain = TO_NULL.sub("", command.replace("\0", " ")).strip()
            if plain:
                yield at, plain
        at += 1 + line.count("\0")


def settings(command: str, in_file: bool) -> list[tuple[str, str]]:
    """Names and values that a command sets; in_file: ``name = value`` as well. Raises NotASettingError.

    A name is without ``net.ipv4.``.
    """
    command = SUM.sub(_value_of_sum, command)
    echo = ECHO.fullmatch(command)
    if echo is not None:
        return [(_short(echo["name"]), echo["value"].strip("'\""))]
    assignment = ASSIGNMENT.fullmatch(command.removeprefix("-")) if in_file else None
    if assignment is not None:
        return [(_short(assignment["name"]), assignment["value"].strip("'\""))]
    refused = NotASettingError(f"the command {command!r} is not supported: only sysctls can be set")
    try:
        program, *words = shlex.split(command)
    except ValueError:
        raise refused from None
    if not words or program.rsplit("/", 1)[-1] not in ("sysctl", "set_sysctls.py"):
        raise refused
    return [_setting(word) for word in words if word not in ("-q", "-w", "-qw", "-wq", "-e", "-qe", "-eq")]


def _setting(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise NotASettingError(f"{word!r} of a sysctl command is not supported: it sets nothing")
    return _short(name), value


def _short(name: str) -> str:
    return name.removeprefix("/proc/sys/").replace("/", ".").removeprefix("net.ipv4.")


def _value_of_sum(match: re.Match[str]) -> str:
    """Of numbers and ``+ - * /``. Raises NotASettingError for what is more than that."""
    text = match[1].strip()
    try:
        if len(text) > LONGEST_SUM:
            raise ValueError
        return str(_value(ast.parse(text.replace("/", "//"), mode="eval").body))
    except (SyntaxError, ValueError, ArithmeticError):
        raise NotASettingError(f"the sum {match[0]} is not supported: it may have numbers and + - * / only") from None


def _value(node: ast.expr) -> int:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return int(OPERATORS[type(node.op)](_value(node.left), _value(node.right)))
    raise ValueError
