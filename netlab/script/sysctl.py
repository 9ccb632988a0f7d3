"""Sysctls, as the lines for the shell in scripts and a file of defaults set them: in the stack; no shell is ever run.

Each either does what it says, or is taken where its value is what the stack does anyway, or can be of no consequence
here, or is refused by name. Most published scripts begin with ``defaults.sh`` and end with a command that restores
what they have set: a run starts with a stack of its own, so there is nothing to restore, and what such a file of
defaults sets is had with ``--defaults``.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from netlab.errors import NetlabError
from netlab.script.shell_lines import NotASettingError, commands, settings
from stack.stack import Stack
from stack.tcp.constants import DEFAULT_MSS, ECN_ACCEPT, ECN_OFF, ECN_REQUEST, MILLISECOND, SECOND
from stack.tcp.controllers import congestion_controller
from stack.tcp.ports import EphemeralPorts

NO_LIMIT = 0xFFFFFFFF
MOST_BYTES = 1 << 30
DEFAULTS = re.compile(r"(?:\S*/)?defaults\.sh")
RESTORE = re.compile(r"/tmp/sysctl_restore_\S+\.sh")
# Commands of such files that have nothing to do here, where a run begins with a fresh stack on a wire of its own.
NOTHING_TO_DO = re.compile(r"ip tcp_metrics flush( all)?|tc qdisc .*|set [-+]\w+( \w+)?|exit 0|true")
KEY = re.compile(r"[0-9a-f]{1,8}(-[0-9a-f]{1,8}){3}(,.*)?", re.IGNORECASE)


class UnsupportedCommandError(Exception):
    """A line that asks for more than setting sysctls that are modelled."""


@dataclass(frozen=True, slots=True)
class Default:
    """A setting of a file of defaults: the line it stands in, from 1, name without ``net.ipv4.``, and value."""

    line: int
    name: str
    value: str


def read_defaults(path: Path) -> tuple[Default, ...]:
    """What a file of defaults sets: lines of sysctl.conf, or a script for the shell that sets sysctls.

    Raises NetlabError, which names each line that is something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise NetlabError(f"cannot read {path}: {reason}", "Name a file of sysctls after --defaults.") from error
    found: list[Default] = []
    wrong: list[str] = []
    for at, command in commands(text.replace("\r\n", "\n")):
        if NOTHING_TO_DO.fullmatch(command):
            continue
        try:
            found += [Default(at + 1, name, value) for name, value in settings(command, in_file=True)]
        except NotASettingError as error:
            wrong.append(f"{path}:{at + 1}: {error}")
    if wrong:
        raise NetlabError("\n".join(wrong), HINT)
    return tuple(found)


HINT = "Take out, or comment out with #, the lines that are named; scripts that need them cannot be run here."


def check_defaults(path: Path, defaults: Sequence[Default], stack: Stack) -> None:
    """Apply them to ``stack``, which is not used further. Raises NetlabError, which names each that it cannot have."""
    wrong = []
    for default in defaults:
        try:
            apply(stack, default.name, default.value)
        except UnsupportedCommandError as error:
            wrong.append(f"{path}:{default.line}: {error}")
    if wrong:
        raise NetlabError("\n".join(wrong), HINT)


class Sysctls:
    """The sysctls of one run, which begin with ``defaults``."""

    def __init__(self, stack: Stack, defaults: Sequence[Default] = ()) -> None:
        self._stack = stack
        self._has_defaults = bool(defaults)
        for default in defaults:
            apply(stack, default.name, default.value)

    def run(self, text: str) -> list[str]:
        """Apply a command's settings; what is to be noted of it. Raises UnsupportedCommandError."""
        notes = []
        for _, command in commands(text):
            if RESTORE.fullmatch(command):
                continue
            if DEFAULTS.fullmatch(command):
                instead = "--defaults says them" if self._has_defaults else "what it sets is had with --defaults"
                notes.append(f"{command}: not run; {instead}")
                continue
            try:
                named = settings(command, in_file=False)
            except NotASettingError as error:
                raise UnsupportedCommandError(str(error)) from None
            notes += [apply(self._stack, name, value) for name, value in named]
        return notes


def apply(stack: Stack, name: str, value: str) -> str:
    """Set one; what is to be noted. Raises UnsupportedCommandError."""
    if name in OF_NO_CONSEQUENCE:
        return f"sysctl {name}={value}: of no consequence here, {OF_NO_CONSEQUENCE[name]}"
    setting = SETTINGS.get(name)
    if setting is None:
        raise UnsupportedCommandError(f"the sysctl {name} is not supported: the stack has nothing like it")
    try:
        setting(stack, " ".join(value.split()))
    except (ValueError, OverflowError) as error:
        raise UnsupportedCommandError(f"{name}={value} is not supported: {error}") from error
    return f"sysctl {name}={value}: set in the stack, no command was run"


def _engine(field: str, unit: int = 1) -> Callable[[Stack, str], None]:
    """A sysctl that is a number, or a switch, of the engine."""

    def change(stack: Stack, value: str) -> None:
        setattr(stack.tcp.engine, field, type(getattr(stack.tcp.engine, field))(_number(value) * unit))

    return change


def _number(value: str) -> int:
    """A number in any of C's notations. Raises ValueError."""
    try:
        number = int(value, 0)
    except ValueError:
        raise ValueError("it is a number") from None
    if not 0 <= number <= NO_LIMIT:
        raise ValueError(f"it is 0 to {NO_LIMIT}")
    return number


def _setting(field: str, unit: int = 1) -> Callable[[Stack, str], None]:
    """A sysctl that is what connections begin with."""

    def change(stack: Stack, value: str) -> None:
        engine = stack.tcp.engine
        engine.settings = replace(engine.settings, **{field: _number(value) * unit})  # type: ignore[arg-type]

    return change


def _sizes(value: str) -> tuple[int, int]:
    """The second and the third of three sizes: where a buffer begins, and what it may grow to."""
    words = value.split()
    if len(words) != 3:
        raise ValueError("it is three sizes in bytes: the smallest, the default, and the largest")
    smallest, default, largest = map(_number, words)
    if not 0 < smallest <= default <= largest <= MOST_BYTES:
        raise ValueError(f"the sizes are in ascending order, and at most {MOST_BYTES}")
    return default, largest


def _receive_buffer(stack: Stack, value: str) -> None:
    """Linux fills half of a receive buffer with data; the window scale is that of the whole."""
    default, largest = _sizes(value)
    stack.tcp.engine.receive_buffer = max(default // 2, 1)
    stack.tcp.engine.most_receive_buffer = largest


def _send_buffer(stack: Stack, value: str) -> None:
    stack.tcp.engine.send_buffer, stack.tcp.engine.most_send_buffer = _sizes(value)


def _ecn(stack: Stack, value: str) -> None:
    known = {"0": ECN_OFF, "1": ECN_REQUEST, "2": ECN_ACCEPT}
    if value not in known:
        raise ValueError("it is 0 (none), 1 (asked for) or 2 (when the peer asks); accurate ECN is not there")
    stack.tcp.engine.ecn = known[value]


def _fast_open_key(stack: Stack, value: str) -> None:
    """Four hexadecimal words; a second key, which Linux would take besides, there is none."""
    if not KEY.fullmatch(value) or "," in value:
        raise ValueError("it is one key of four hexadecimal numbers by '-'")
    stack.tcp.engine.fast_open_key = b"".join(int(word, 16).to_bytes(4, "little") for word in value.split("-"))


def _local_ports(stack: Stack, value: str) -> None:
    words = value.split()
    if len(words) != 2 or not 0 < _number(words[0]) <= _number(words[1]) <= 0xFFFF:
        raise ValueError("it is the first and the last port")
    engine = stack.tcp.engine
    stack.tcp.ports = EphemeralPorts(int(words[0]), int(words[1]), engine.secret, engine.random)


def _congestion_control(stack: Stack, value: str) -> None:
    congestion_controller(value, DEFAULT_MSS)
    stack.tcp.engine.settings = replace(stack.tcp.engine.settings, congestion_control=value)


def _unsent(stack: Stack, value: str) -> None:
    _setting("most_unsent")(stack, "0" if _number(value) >= NO_LIMIT else value)


def _as_it_is(*values: str) -> Callable[[Stack, str], None]:
    """A sysctl that can only be what the stack does anyway."""

    def check(stack: Stack, value: str) -> None:
        if value not in values:
            raise ValueError(f"the stack does as {' or '.join(values)} says")

    return check


SETTINGS: dict[str, Callable[[Stack, str], None]] = {
    "tcp_congestion_control": _congestion_control,
    "tcp_timestamps": _engine("timestamps"),
    "tcp_window_scaling": _engine("window_scaling"),
    "tcp_sack": _engine("sack"),
    "tcp_ecn": _ecn,
    "tcp_fastopen": _engine("fast_open"),
    "tcp_fastopen_key": _fast_open_key,
    "tcp_slow_start_after_idle": _engine("restart_after_idle"),
    "tcp_invalid_ratelimit": _engine("challenge_interval", MILLISECOND),
    "tcp_rmem": _receive_buffer,
    "tcp_wmem": _send_buffer,
    "ip_local_port_range": _local_ports,
    "tcp_syn_retries": _setting("syn_retransmissions"),
    "tcp_keepalive_time": _setting("keepalive_idle", SECOND),
    "tcp_keepalive_intvl": _setting("keepalive_interval", SECOND),
    "tcp_keepalive_probes": _setting("keepalive_probes"),
    "tcp_fin_timeout": _setting("fin_wait_2_time", SECOND),
    "tcp_notsent_lowat": _unsent,
    "tcp_frto": _as_it_is("1", "2"),
    "tcp_recovery": _as_it_is("1"),
    "tcp_early_retrans": _as_it_is("3", "4"),
    "tcp_dsack": _as_it_is("1"),
    "tcp_no_metrics_save": _as_it_is("1"),
    "tcp_synack_retries": _as_it_is("5"),
    "tcp_syncookies": _as_it_is("1"),
    "tcp_reordering": _as_it_is("3"),
    "tcp_rfc1337": _as_it_is("1"),
    "tcp_mtu_probing": _as_it_is("1"),
    "tcp_autocorking": _as_it_is("0"),
    "tcp_thin_linear_timeouts": _as_it_is("0"),
    "tcp_syn_linear_timeouts": _as_it_is("0"),
    "tcp_comp_sack_nr": _as_it_is("0"),
    "tcp_moderate_rcvbuf": _as_it_is("1"),
    "tcp_ecn_fallback": _as_it_is("1"),
    "tcp_min_rtt_wlen": _as_it_is("300"),
    "tcp_rto_min_us": _as_it_is("200000"),
    "tcp_shrink_window": _as_it_is("0"),
    "tcp_plb_enabled": _as_it_is("0"),
    "tcp_pacing_ss_ratio": _as_it_is("200"),
    "tcp_pacing_ca_ratio": _as_it_is("120"),
    "ip_no_pmtu_disc": _as_it_is("0"),
}
NO_OFFLOAD = "where each segment is a packet of its own"
NO_QUEUE = "where nothing queues below the stack"
OF_NO_CONSEQUENCE = {
    "tcp_fack": "as in Linux since 4.15",
    "tcp_low_latency": "as in Linux since 4.14",
    "tcp_min_tso_segs": NO_OFFLOAD,
    "tcp_tso_win_divisor": NO_OFFLOAD,
    "tcp_tso_rtt_log": NO_OFFLOAD,
    "tcp_limit_output_bytes": NO_QUEUE,
    "net.core.default_qdisc": NO_QUEUE,
    "net.core.rmem_max": "where a buffer is as large as it is asked for",
    "net.core.wmem_max": "where a buffer is as large as it is asked for",
    "tcp_mem": "where the memory of all connections is enough",
}
