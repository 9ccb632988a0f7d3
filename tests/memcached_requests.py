"""Requests and replies of memcached's binary protocol as bytes, for tests; written from the protocol's text."""

import struct
from typing import NamedTuple

from apps.memcached.server import Memcached
from ebbrt.clock import ManualClock
from ebbrt.memory import MemoryAllocator, NodeMemory
from tests.fake_network import FakeNetwork

OPAQUE = 0xDEADBEEF
SECOND = 1_000_000_000
EPOCH = 1_700_000_000  # seconds since 1970 at the clock's zero


class Reply(NamedTuple):
    opcode: int
    status: int
    extras: bytes
    key: bytes
    value: bytes
    opaque: int
    cas: int


def request(opcode: int, key: bytes = b"", extras: bytes = b"", value: bytes = b"", cas: int = 0) -> bytes:
    length = len(extras) + len(key) + len(value)
    return (
        struct.pack(">BBHBBHIIQ", 0x80, opcode, len(key), len(extras), 0, 0, length, OPAQUE, cas)
        + extras
        + key
        + value
    )


def store(opcode: int, key: bytes, value: bytes, flags: int = 0, expiry: int = 0, cas: int = 0) -> bytes:
    return request(opcode, key, struct.pack(">II", flags, expiry), value, cas)


def count(opcode: int, key: bytes, delta: int, initial: int, expiry: int = 0, cas: int = 0) -> bytes:
    return request(opcode, key, struct.pack(">QQI", delta, initial, expiry), cas=cas)


def replies(data: bytes) -> list[Reply]:
    result = []
    while data:
        magic, opcode, keys, extras, kind, status, body, opaque, cas = struct.unpack_from(">BBHBBHIIQ", data)
        assert (magic, kind) == (0x81, 0)
        assert len(data) >= 24 + body
        rest = data[24 : 24 + body]
        result.append(
            Reply(opcode, status, rest[:extras], rest[extras : extras + keys], rest[extras + keys :], opaque, cas)
        )
        data = data[24 + body :]
    return result


class Bench:
    """A server on a network that is not there."""

    def __init__(self, memory: int = 32 << 20, limit: int | None = None) -> None:
        self.memory = NodeMemory(memory)
        self.allocator = MemoryAllocator(self.memory)
        self.network = FakeNetwork(self.allocator)
        self.clock = ManualClock(5 * SECOND)
        self.server = Memcached(self.network, self.allocator, self.clock, limit or memory, EPOCH * SECOND)
        self.server.start()
        self.connection = self.network.open()

    def ask(self, *requests: bytes, piece: int = 400) -> list[Reply]:
        self.connection.deliver(b"".join(requests), piece)
        return replies(self.connection.take())
