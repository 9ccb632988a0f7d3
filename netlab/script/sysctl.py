"""Lines for the shell. None is run: those that only set sysctls which the stack has are done here, others refused.

Understood are ``sysctl [-q] [-w] name=value ...``, ``echo value > /proc/sys/...``, and ``set_sysctls.py`` of the
published scripts, which takes ``/proc/sys/...=value``; by ``;``, ``&&`` or line. Most published scripts begin with
``defaults.sh`` and end with a command that restores what they have set: a run starts with a stack of its own, which
has its defaults, so there is nothing to do for either.
"""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace

from stack.stack import Stack
from stack.tcp.constants import DEFAULT_MSS
from stack.tcp.controllers import congestion_controller

NO_LIMIT = 0xFFFFFFFF
SECOND = 1_000_000_000
DEFAULTS = re.compile(r"(?:\S*/)?defaults\.sh")
RESTORE = re.compile(r"/tmp/sysctl_restore_\S+\.sh")
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
            if not line or line.startswith("#") or RESTORE.fullmatch(line):
                continue
            if DEFAULTS.fullmatch(line):
                notes.append(f"{line}: not run; the stack has defaults of its own")
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
        yield _short(echo["name"]), echo["value"].strip("'\"")
        return
    try:
        program, *words = shlex.split(line)
    except ValueError:
        raise UnsupportedCommandError(f"the command {line!r} is not supported: only sysctls can be set") from None
    if not words or program.rsplit("/", 1)[-1] not in ("sysctl", "set_sysctls.py"):
        raise UnsupportedCommandError(f"the command {line!r} is not supported: only sysctls can be set")
    for word in words:
        if word in ("-q", "-w", "-qw", "-wq"):
            continue
        name, equals, value = word.partition("=")
        if not equals:
            raise UnsupportedCommandError(f"{word!r} of a sysctl command is not supported: it sets nothing")
        yield _short(name), value


def _short(name: str) -> str:
    return name.removeprefix("/proc/sys/").replace("/", ".").removeprefix("net.ipv4.")


def _flag(name: str) -> Callable[[Stack, str], None]:
    """A sysctl that is a switch of the engine."""

    def switch(stack: Stack, value: str) -> None:
        setattr(stack.tcp.engine, name, int(value) != 0)

    return switch


def _setting(field: str, unit: int = 1) -> Callable[[Stack, str], None]:
    """A sysctl that is what connections begin with."""

    def change(stack: Stack, value: str) -> None:
        engine = stack.tcp.engine
        engine.settings = replace(engine.settings, **{field: int(value) * unit})  # type: ignore[arg-type]

    return change


def _buffer(field: str) -> Callable[[Stack, str], None]:
    """``least default most`` of a buffer: when all are one size, it is that; else it follows the connection anyway."""

    def change(stack: Stack, value: str) -> None:
        sizes = [int(word) for word in value.split()]
        if len(sizes) != 3 or sizes[1] != sizes[2]:
            raise ValueError("only a default that is the most as well can be set; other buffers follow the connection")
        _setting(field)(stack, str(sizes[1]))

    return change


def _congestion_control(stack: Stack, value: str) -> None:
    congestion_controller(value, DEFAULT_MSS)
    stack.tcp.engine.settings = replace(stack.tcp.engine.settings, congestion_control=value)


def _unsent(stack: Stack, value: str) -> None:
    _setting("most_unsent")(stack, "0" if int(value) >= NO_LIMIT else value)


def _as_it_is(*values: str) -> Callable[[Stack, str], None]:
    """A sysctl that can only be what the stack does anyway."""

    def check(stack: Stack, value: str) -> None:
        if value not in values:
            raise ValueError(f"the stack does as {' or '.join(values)} says")

    return check


SETTINGS: dict[str, Callable[[Stack, str], None]] = {
    "tcp_congestion_control": _congestion_control,
    "tcp_timestamps": _flag("timestamps"),
    "tcp_window_scaling": _flag("window_scaling"),
    "tcp_sack": _flag("sack"),
    "tcp_rmem": _buffer("receive_buffer"),
    "tcp_wmem": _buffer("send_buffer"),
    "tcp_syn_retries": _setting("syn_retransmissions"),
    "tcp_keepalive_time": _setting("keepalive_idle", SECOND),
    "tcp_keepalive_intvl": _setting("keepalive_interval", SECOND),
    "tcp_keepalive_probes": _setting("keepalive_probes"),
    "tcp_fin_timeout": _setting("fin_wait_2_time", SECOND),
    "tcp_notsent_lowat": _unsent,
    "tcp_slow_start_after_idle": _as_it_is("1"),
    "tcp_fastopen": _as_it_is("1", "3"),
    "tcp_frto": _as_it_is("1", "2"),
    "tcp_recovery": _as_it_is("1"),
    "tcp_early_retrans": _as_it_is("3", "4"),
    "tcp_ecn": _as_it_is("2"),
    "tcp_dsack": _as_it_is("1"),
    "tcp_no_metrics_save": _as_it_is("1"),
    "tcp_synack_retries": _as_it_is("5"),
    "tcp_syncookies": _as_it_is("1"),
    "tcp_reordering": _as_it_is("3"),
    "tcp_rfc1337": _as_it_is("1"),
    "tcp_mtu_probing": _as_it_is("1"),
    "tcp_invalid_ratelimit": _as_it_is("500"),
    "ip_no_pmtu_disc": _as_it_is("0"),
}
