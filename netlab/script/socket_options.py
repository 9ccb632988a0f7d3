"""What setsockopt and getsockopt know: each option by level and name, and where the stack has it.

An option that the stack does not have is not quietly taken: the run says that it is unsupported.
"""

import errno
from collections.abc import Callable
from dataclasses import replace

from netlab.script.sockets import CallError, Socket, UnsupportedCallError
from netlab.script.stream_socket import StreamSocket
from netlab.script.symbols import SYMBOLS

SOL_SOCKET, SOL_TCP, SOL_IP = SYMBOLS["SOL_SOCKET"], SYMBOLS["IPPROTO_TCP"], 0
SO_ERROR, SO_TYPE, SO_LINGER = SYMBOLS["SO_ERROR"], SYMBOLS["SO_TYPE"], SYMBOLS["SO_LINGER"]
SO_ACCEPTCONN = SYMBOLS["SO_ACCEPTCONN"]
TCP_NODELAY, TCP_MAXSEG = SYMBOLS["TCP_NODELAY"], SYMBOLS["TCP_MAXSEG"]
# Options that change nothing a script could see of this stack; their values are kept.
KEPT = {
    (SOL_SOCKET, SYMBOLS[name])
    for name in ("SO_REUSEADDR", "SO_REUSEPORT", "SO_PRIORITY", "SO_LINGER", "SO_DEBUG", "SO_BROADCAST")
}


def set_option(socket: Socket, level: int, name: int, value: object) -> None:
    """Set one. Raises CallError, UnsupportedCallError."""
    if (level, name) not in KEPT and (level, name) not in SETTERS:
        raise UnsupportedCallError(f"setsockopt of option {name} at level {level}")
    socket.options[level, name] = value
    apply(socket, level, name, value)


def apply(socket: Socket, level: int, name: int, value: object) -> None:
    """Give an option to the connection, when there is one."""
    setter = SETTERS.get((level, name))
    if setter is not None and isinstance(socket, StreamSocket) and socket.connection is not None:
        setter(socket, value)


def get_option(socket: Socket, level: int, name: int) -> object:
    """The value of one. Raises CallError, UnsupportedCallError."""
    if (level, name) == (SOL_SOCKET, SO_ERROR):
        return socket.take_error()
    if (level, name) == (SOL_SOCKET, SO_TYPE):
        return SYMBOLS["SOCK_STREAM"] if isinstance(socket, StreamSocket) else SYMBOLS["SOCK_DGRAM"]
    if (level, name) == (SOL_SOCKET, SO_ACCEPTCONN):
        return int(isinstance(socket, StreamSocket) and socket.accepted is not None)
    if (level, name) == (SOL_TCP, TCP_MAXSEG) and isinstance(socket, StreamSocket):
        return socket.connection.snd_mss if socket.connection is not None else 536
    if (level, name) in socket.options:
        return socket.options[level, name]
    if (level, name) in KEPT or (level, name) in SETTERS:
        return (0, 0) if name == SO_LINGER else 0
    raise UnsupportedCallError(f"getsockopt of option {name} at level {level}")


def _no_delay(socket: StreamSocket, value: object) -> None:
    assert socket.connection is not None
    if not isinstance(value, int):
        raise CallError(errno.EINVAL)
    socket.connection.configure(replace(socket.connection.settings(), nagle=not value))


SETTERS: dict[tuple[int, int], Callable[[StreamSocket, object], None]] = {(SOL_TCP, TCP_NODELAY): _no_delay}
