"""Which TCP connections a network namespace has open, as the kernel's table of them says: ``/proc/PID/net/tcp``."""

import socket
import struct

_ESTABLISHED = "01"


def text_of(address: str, port: int) -> str:
    """An IPv4 address and a port as the table writes them: the address as a number of this machine's byte order."""
    (number,) = struct.unpack("=I", socket.inet_aton(address))
    return f"{number:08X}:{port:04X}"


def established_to(table: str, remote: str) -> int:
    """How many connections of the table's text are established with `remote`, which is as `text_of` gives it."""
    rows = (line.split() for line in table.splitlines()[1:])
    return sum(row[2] == remote and row[3] == _ESTABLISHED for row in rows)
