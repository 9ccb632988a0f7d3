"""What both ends of a transfer say: a request, the bytes it asks for, and a digest of them.

A client opens a connection and sends requests, one after the other::

    request:  "XFER" operation:1 checked:1 reserved:2 length:8 seed:8      numbers big-endian

For GET the server sends ``length`` bytes of the stream that the seed stands for, and then their SHA-256 as it sent
them. For PUT the client sends both, and the server answers with the SHA-256 of what it received. The client holds the
two digests side by side; they may be left out for the sake of speed (``checked`` 0): then they are zeros.

The stream is a block of a MiB, drawn from the seed, again and again; the first 8 bytes of each are its number, so that
no block can stand for another. A server can send it from one prepared buffer.
"""

import hashlib
import random
import struct
from typing import NamedTuple

PORT = 5001
BLOCK = 1 << 20  # bytes of the stream between two numbers
NUMBER_LENGTH = 8
DIGEST_LENGTH = 32
NO_DIGEST = bytes(DIGEST_LENGTH)
LONGEST = 1 << 50  # bytes of one transfer: any measurement, and block numbers of 8 bytes hold
GET = 1
PUT = 2
OPERATIONS = {"get": GET, "put": PUT}
_MAGIC = b"XFER"
_REQUEST = struct.Struct(">4sBBxxQQ")
REQUEST_LENGTH = _REQUEST.size


class ProtocolError(ValueError):
    """Bytes that are no request."""


class Request(NamedTuple):
    """What a client asks for: GET or PUT of ``length`` bytes of the stream of ``seed``; with digests, or without."""

    operation: int
    length: int
    seed: int = 0
    checked: bool = True

    def pack(self) -> bytes:
        """As it travels. Raises ProtocolError for a length or seed that has no place in it."""
        if not 0 <= self.length <= LONGEST or not 0 <= self.seed < 1 << 64:
            raise ProtocolError(f"a transfer has 0 to {LONGEST} bytes and a seed of 64 bits, not {self}")
        return _REQUEST.pack(_MAGIC, self.operation, self.checked, self.length, self.seed)

    @classmethod
    def unpack(cls, data: bytes) -> "Request":
        """The request in these ``REQUEST_LENGTH`` bytes. Raises ProtocolError."""
        magic, operation, checked, length, seed = _REQUEST.unpack(data)
        if magic != _MAGIC or operation not in (GET, PUT) or checked > 1 or length > LONGEST:
            raise ProtocolError(f"not a request: {data.hex()}")
        return cls(operation, length, seed, bool(checked))


def block_of(seed: int) -> bytes:
    """The block of a seed, of which ``number_bytes`` replaces the beginning."""
    return random.Random(seed).randbytes(BLOCK)


def number_bytes(number: int) -> bytes:
    """How block ``number`` of a stream begins."""
    return number.to_bytes(NUMBER_LENGTH, "big")


class Digest:
    """SHA-256 of what passes by; of nothing when it is not ``checked``."""

    def __init__(self, checked: bool) -> None:
        self.checked = checked
        self._hash = hashlib.sha256() if checked else None

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        if self._hash is not None:
            self._hash.update(data)

    def value(self) -> bytes:
        """``DIGEST_LENGTH`` bytes."""
        return NO_DIGEST if self._hash is None else self._hash.digest()
