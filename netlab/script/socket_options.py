"""What setsockopt and getsockopt know: each option by level and name, and where the stack has it.

Most are fields of ``TcpSettings``: a table has the field, and how Linux's value becomes the field's and back. An
option that the stack does not have is not quietly taken: the run says that it is unsupported.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace

from ebbrt.tcp_settings import MOST_BUFFER, SettingsError
from netlab.script.sockets import CallError, Socket, UnsupportedCallError
from netlab.script.stream_socket import StreamSocket
from netlab.script.symbols import SYMBOLS
from stack.tcp.constants import DEFAULT_MSS, FAST_OPEN_CLIENT, MOST_SYN_RETRANSMISSIONS
from stack.tcp.controllers import DEFAULT_CONTROLLER, congestion_controller

SOL_SOCKET, SOL_TCP = SYMBOLS["SOL_SOCKET"], SYMBOLS["IPPROTO_TCP"]
SECOND = 1_000_000_000
MILLISECOND = 1_000_000
NO_RATE = 0xFFFFFFFF
LINGER_NEVER, LINGER_RESET = (0, 0), (1, 0)


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of TcpSettings; ``into`` makes its value of Linux's, ``out`` the other way."""

    field: str
    into: Callable[[int], object] = int
    out: Callable[[int], int] = int


def _not(value: int) -> bool:
    return not value


def _at_least(smallest: int) -> Callable[[int], int]:
    """What Linux makes of a size that is too small to work with, or larger than a buffer can be."""
    return lambda value: min(max(value, smallest), MOST_BUFFER)


def _fin_wait(seconds: int) -> int:
    """0 is the default, and two minutes the longest, as in Linux."""
    return min(seconds or 60, 120) * SECOND


# Linux keeps room for its own use beside the data: SO_RCVBUF and SO_SNDBUF read as twice what was set (socket(7)).
INTEGER_SETTINGS = {
    (SOL_TCP, SYMBOLS["TCP_NODELAY"]): Setting("nagle", _not, _not),
    (SOL_TCP, SYMBOLS["TCP_CORK"]): Setting("cork", bool),
    (SOL_SOCKET, SYMBOLS["SO_KEEPALIVE"]): Setting("keepalive", bool),
    (SOL_TCP, SYMBOLS["TCP_KEEPIDLE"]): Setting("keepalive_idle", SECOND.__mul__, lambda value: value // SECOND),
    (SOL_TCP, SYMBOLS["TCP_KEEPINTVL"]): Setting("keepalive_interval", SECOND.__mul__, lambda value: value // SECOND),
    (SOL_TCP, SYMBOLS["TCP_KEEPCNT"]): Setting("keepalive_probes"),
    (SOL_TCP, SYMBOLS["TCP_USER_TIMEOUT"]): Setting(
        "user_timeout", MILLISECOND.__mul__, lambda value: value // MILLISECOND
    ),
    (SOL_TCP, SYMBOLS["TCP_SYNCNT"]): Setting("syn_retransmissions"),
    (SOL_TCP, SYMBOLS["TCP_LINGER2"]): Setting("fin_wait_2_time", _fin_wait, lambda value: value // SECOND),
    (SOL_SOCKET, SYMBOLS["SO_RCVBUF"]): Setting("receive_buffer", _at_least(1152), lambda value: 2 * value),
    (SOL_SOCKET, SYMBOLS["SO_SNDBUF"]): Setting("send_buffer", _at_least(2304), lambda value: 2 * value),
    (SOL_TCP, SYMBOLS["TCP_WINDOW_CLAMP"]): Setting(
        "window_clamp", lambda value: _at_least(1152)(value) if value else 0
    ),
    (SOL_TCP, SYMBOLS["TCP_NOTSENT_LOWAT"]): Setting("most_unsent"),
    (SOL_TCP, SYMBOLS["TCP_MAXSEG"]): Setting("most_segment"),
}
MAXIMUM_SEGMENT = (SOL_TCP, SYMBOLS["TCP_MAXSEG"])
NO_DELAY = (SOL_TCP, SYMBOLS["TCP_NODELAY"])
# What a value reads as that was not set.
DEFAULTS: dict[tuple[int, int], Callable[[StreamSocket], int]] = {
    (SOL_TCP, SYMBOLS["TCP_SYNCNT"]): lambda socket: MOST_SYN_RETRANSMISSIONS,
    (SOL_SOCKET, SYMBOLS["SO_RCVBUF"]): lambda socket: 2 * (socket.connection or socket.engine).receive_buffer,
    (SOL_SOCKET, SYMBOLS["SO_SNDBUF"]): lambda socket: (socket.connection or socket.engine).send_buffer,
}
QUICK_ACK = (SOL_TCP, SYMBOLS["TCP_QUICKACK"])
CONGESTION = (SOL_TCP, SYMBOLS["TCP_CONGESTION"])
FAST_OPEN = (SOL_TCP, SYMBOLS["TCP_FASTOPEN"])
FAST_OPEN_CONNECT = (SOL_TCP, SYMBOLS["TCP_FASTOPEN_CONNECT"])
PACING = (SOL_SOCKET, SYMBOLS["SO_MAX_PACING_RATE"])
LINGER = (SOL_SOCKET, SYMBOLS["SO_LINGER"])
# Options that change nothing a script could see of this stack; their values are kept.
KEPT = {
    (SOL_SOCKET, SYMBOLS[name])
    for name in ("SO_REUSEADDR", "SO_REUSEPORT", "SO_PRIORITY", "SO_LINGER", "SO_DEBUG", "SO_BROADCAST")
}


def set_option(socket: Socket, level: int, name: int, value: object) -> None:
    """Set one. Raises CallError, UnsupportedCallError."""
    key = level, name
    setting = INTEGER_SETTINGS.get(key)
    if key in KEPT:
        socket.options[key] = value
        if key == LINGER and isinstance(socket, StreamSocket):
            _change(socket, {"reset_on_close": value == LINGER_RESET})
    elif setting is not None and isinstance(socket, StreamSocket):
        if not isinstance(value, int):
            raise CallError(errno.EINVAL)
        _change(socket, {setting.field: setting.into(value)})
        if key == NO_DELAY and value:
            socket.push()
    elif key == FAST_OPEN and isinstance(socket, StreamSocket) and isinstance(value, int):
        socket.set_fast_opens(value)
    elif key == FAST_OPEN_CONNECT and isinstance(socket, StreamSocket):
        if not socket.engine.fast_open & FAST_OPEN_CLIENT:
            raise CallError(errno.EOPNOTSUPP)
        socket.defers_connect = bool(value)
    elif key == QUICK_ACK and isinstance(socket, StreamSocket) and isinstance(value, int):
        socket.set_quick_acks(value)
    elif key == CONGESTION and isinstance(socket, StreamSocket) and isinstance(value, bytes):
        name_of_control = value.rstrip(b"\0").decode("latin-1")
        try:
            congestion_controller(name_of_control, DEFAULT_MSS)
        except SettingsError:
            raise CallError(errno.ENOENT) from None
        _change(socket, {"congestion_control": name_of_control})
    elif key == PACING and isinstance(socket, StreamSocket) and isinstance(value, int):
        _change(socket, {"pacing": value != NO_RATE, "most_rate": 0 if value == NO_RATE else value})
    else:
        raise UnsupportedCallError(f"setsockopt of option {name} at level {level}")


def _change(socket: StreamSocket, fields: dict[str, object]) -> None:
    try:
        socket.configure(replace(socket.settings, **fields))  # type: ignore[arg-type]
    except SettingsError:
        raise CallError(errno.EINVAL) from None


def get_option(socket: Socket, level: int, name: int) -> object:
    """The value of one. Raises UnsupportedCallError."""
    key = level, name
    if key == (SOL_SOCKET, SYMBOLS["SO_ERROR"]):
        return socket.take_error()
    if key == (SOL_SOCKET, SYMBOLS["SO_TYPE"]):
        return SYMBOLS["SOCK_STREAM"] if isinstance(socket, StreamSocket) else SYMBOLS["SOCK_DGRAM"]
    if key in KEPT:
        return socket.options.get(key, LINGER_NEVER if key == LINGER else 0)
    if isinstance(socket, StreamSocket):
        return _of_stream(socket, key)
    raise UnsupportedCallError(f"getsockopt of option {name} at level {level}")


def _of_stream(socket: StreamSocket, key: tuple[int, int]) -> object:
    if key == (SOL_SOCKET, SYMBOLS["SO_ACCEPTCONN"]):
        return int(socket.accepted is not None)
    if key == MAXIMUM_SEGMENT:
        asked = socket.settings.most_segment or DEFAULT_MSS
        return socket.connection.snd_mss if socket.connection is not None else asked
    if key == FAST_OPEN:
        return socket.fast_opens
    if key == FAST_OPEN_CONNECT:
        return int(socket.defers_connect)
    if key == QUICK_ACK:
        return int(socket.connection is None or not socket.connection.pingpong)
    if key == CONGESTION:
        return (socket.settings.congestion_control or DEFAULT_CONTROLLER).encode()
    setting = INTEGER_SETTINGS.get(key)
    if setting is None:
        raise UnsupportedCallError(f"getsockopt of option {key[1]} at level {key[0]}")
    value = getattr(socket.settings, setting.field)
    return int(setting.out(value)) if value or key not in DEFAULTS else DEFAULTS[key](socket)
