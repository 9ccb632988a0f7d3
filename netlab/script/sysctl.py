"""Lines for the shell. None is run: those that only set sysctls which the stack has are done here, others refused.

Understood are ``sysctl [-q] [-w] name=value ...`` and ``echo value > /proc/sys/...``, by ``;``, ``&&`` or line; the
names with or without ``net.ipv4.``.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace

from stack.stack import Stack

ECHO = re.compile(r"echo\s+(?P<value>.+?)\s*>\s*/proc/sys/(?P<name>[\w/.-]+)")


class UnsupportedCommandError(Exception):
    """A line that asks for more than setting sysctls that are modelled."""


class Sysctls:
    """The sysctls of one run."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def run(self, text: str) -> list[str]:
        """Apply a command's settings; what is to be noted of it. Raises UnsupportedCommandError."""
        notes = []
        for line in re.split(r"[;\n]|&&", text):
            line = line.strip()
            if not line or line.startswith("#"):
                continue
            for name, value in _settings(line):
                notes.append(self._set(name, value))
        return notes

    def _set(self, name: str, value: str) -> str:
        setting = SETTINGS.get(name)
        if setting is None:
            raise UnsupportedCommandError(f"the sysctl {name} is not supported")
        try:
            setting(self._stack, value)
        except ValueError as error:
            raise UnsupportedCommandError(f"{name}={value} is not supported: {error}") from error
        return f"sysctl {name}={value}: set in the stack, no command was run"


def _settings(line: str) -> Iterator[tuple[str, str]]:
    """Names and values that a line sets. Raises UnsupportedCommandError when it does something else."""
    echo = ECHO.fullmatch(line)
    if echo is not None:
        yield _short(echo["name"].replace("/", ".")), echo["value"].strip("'\"")
        return
    try:
        words = shlex.split(line)
    except ValueError:
        words = []
    if len(words) < 2 or words[0].rsplit("/", 1)[-1] != "sysctl":
        raise UnsupportedCommandError(f"the command {line!r} is not supported: only sysctls can be set")
    for word in words[1:]:
        if word in ("-q", "-w", "-qw", "-wq"):
            continue
        name, equals, value = word.partition("=")
        if not equals:
            raise UnsupportedCommandError(f"{word!r} of a sysctl command is not supported: it sets nothing")
        yield _short(name), value


def _short(name: str) -> str:
    return name.replace("/", ".").removeprefix("net.ipv4.").removeprefix("net.core.")


def _congestion_control(stack: Stack, value: str) -> None:
    from stack.tcp.controllers import congestion_controller

    congestion_controller(value, 536)
    engine = stack.tcp.engine
    engine.settings = replace(engine.settings, congestion_control=value)


def _as_it_is(*values: str) -> Callable[[Stack, str], None]:
    """A sysctl that can only be what the stack does anyway."""

    def check(stack: Stack, value: str) -> None:
        if value not in values:
            raise ValueError(f"the stack does as {' or '.join(values)} says")

    return check


SETTINGS: dict[str, Callable[[Stack, str], None]] = {
    "tcp_congestion_control": _congestion_control,
    "tcp_slow_start_after_idle": _as_it_is("1"),
    "tcp_timestamps": _as_it_is("1"),
    "tcp_window_scaling": _as_it_is("1"),
}
