"""Is a memcached there, and is it one? A few requests of the binary protocol, over a socket given.

This is the smallest client that can check a server before it is measured, and empty it between two measurements.
Source: memcached's protocol_binary, "Memcache Binary Protocol".
"""

import socket
import struct
import time
from collections.abc import Callable

from netlab.errors import NetlabError

MEMCACHED_PORT = 11211
_HEADER = struct.Struct("!BBHBBHIIQ")
_REQUEST = 0x80
_RESPONSE = 0x81
_FLUSH = 0x08
_NOOP = 0x0A
_VERSION = 0x0B
_OPAQUE = 0x6E65746C
_MAX_BODY = 4096
REPLY_TIMEOUT = 5.0
_RETRY_SECONDS = 0.05


class HealthError(NetlabError):
    """A server that does not answer, or answers wrongly."""


def wait_until_healthy(connect: Callable[[], socket.socket], name: str, timeout: float) -> str:
    """Try until the server answers NOOP and VERSION; its version.

    `connect` opens a connection to it, from where its clients are. Raises HealthError after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            with connect() as connection:
                return check(connection)
        except (OSError, HealthError) as error:
            if time.monotonic() >= deadline:
                raise HealthError(f"{name} does not answer after {timeout:.0f} s: {error}") from error
        time.sleep(_RETRY_SECONDS)


def check(connection: socket.socket) -> str:
    """NOOP, then VERSION: the version the server gives. Raises HealthError when a reply is wrong."""
    _ask(connection, _NOOP)
    return _ask(connection, _VERSION).decode("ascii", "replace")


def flush(connection: socket.socket) -> None:
    """Empty the store."""
    _ask(connection, _FLUSH)


def _ask(connection: socket.socket, opcode: int) -> bytes:
    """Send a request without a body; the body of the reply, checked to be the reply to it and a success."""
    connection.settimeout(REPLY_TIMEOUT)
    connection.sendall(_HEADER.pack(_REQUEST, opcode, 0, 0, 0, 0, 0, _OPAQUE, 0))
    reply = _HEADER.unpack(_receive(connection, _HEADER.size))
    magic, answered, _key, _extras, _type, status, length, opaque, _cas = reply
    if magic != _RESPONSE or answered != opcode or opaque != _OPAQUE or length > _MAX_BODY:
        raise HealthError(f"not a reply of the binary protocol to request 0x{opcode:02x}: {reply}")
    if status != 0:
        raise HealthError(f"request 0x{opcode:02x} was refused with status 0x{status:04x}")
    return _receive(connection, length)


def _receive(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        piece = connection.recv(length - len(received))
        if not piece:
            raise HealthError(f"the server closed the connection after {len(received)} of {length} bytes of a reply")
        received += piece
    return received
