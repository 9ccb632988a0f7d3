"""The same random requests to the real memcached over loopback and to ours: replies equal byte for byte."""

import random
import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.memcached_requests import Bench, count, request, store

pytestmark = pytest.mark.skipif(shutil.which("memcached") is None, reason="memcached is not installed")

NOOP = request(0x0A)
KEYS = [b"k%d" % number for number in range(12)]
# Not among them: nothing but white space, and 2^63 and above. There memcached 1.6.18 reads on behind the value.
NUMBERS = [b"5", b"99", b" 5", b"5 ", b"+5", b"-1", b"-0", b"00", b"5\r\n", b"0x5", b"1" * 21, b"5 x", b"", b"5\0x"]
NUMBERS += [b"18446744073709551616", b"9" * 20, b"0" * 30 + b"7", b"9223372036854775806"]
MALFORMED = [
    request(0x00), request(0x00, b"a", b"eeee"), request(0x00, b"a", value=b"v"), request(0x01, b"a", value=b"v"),
    store(0x01, b"", b"v"), request(0x0A, b"k"), request(0x0B, value=b"v"), request(0x04, b"a", b"eeee"),
    request(0x05, b"a"), request(0x0E, b"a", b"eeee", b"v"), request(0x0E, value=b"v"), request(0x07, value=b"x"),
    request(0x08, extras=b"aa"), request(0x1C, b"a"), request(0x09, b"k" * 251), store(0x01, b"k" * 251, b"v"),
    b"\x81" + request(0x00, b"a")[1:], b"get a\r\nget a\r\nget a\r\nget a\r\n", request(0x07), request(0x17),
    struct.pack(">BBHBBHIIQ", 0x80, 0x00, 3, 0, 0, 0, 1, 7, 0) + b"abc",
    struct.pack(">BBHBBHIIQ", 0x80, 0x01, 3, 8, 0, 0, 4, 7, 0) + b"abc" * 4,
]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def linux() -> Iterator[socket.socket]:
    """A connection to a fresh memcached: CAS numbers count from its start."""
    port = free_port()
    server = subprocess.Popen(["memcached", "-l", "127.0.0.1", "-p", str(port), "-t", "1", "-u", "nobody", "-U", "0"])
    try:
        for _ in range(200):
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=5)
                break
            except ConnectionRefusedError:
                time.sleep(0.02)  # another process starts
        else:
            raise RuntimeError("memcached did not start")
        with connection:
            yield connection
    finally:
        server.terminate()
        server.wait(5)


def random_request(rng: random.Random) -> bytes:
    key = rng.choice(KEYS)
    cas = rng.choice([0, 0, 0, 0, rng.randrange(1, 40)])
    value = rng.choice(
        [rng.choice([b"", b"5000", b"123456", b"-1"]), b"x" + rng.randbytes(rng.choice([1, 32, 500, 5000]))]
    )
    opcode = rng.choice([0, 9, 0xC, 0xD, 1, 0x11, 2, 0x12, 3, 0x13, 4, 0x14, 5, 0x15, 6, 0x16, 8, 0x18, 0xE, 0x19, 0xF,
                         0x1A, 0x0A, 0x0B, 0x1C, 0x1D, 0x1E, 0x23, 0x24, 0x77])  # fmt: skip
    if opcode in (8, 0x18):
        return request(opcode, extras=rng.choice([b"", bytes(4)])) if rng.random() < 0.2 else NOOP
    if opcode in (0x0A, 0x0B):
        return request(opcode)
    if opcode == 0x77:  # with a key, memcached 1.6.18 loses its place in the stream
        return request(opcode, value=value)
    if opcode in (1, 2, 3, 0x11, 0x12, 0x13):
        expiry = rng.choice([0, 0, 1000, 60 * 60 * 24 * 30, 60 * 60 * 24 * 30 + 1, 0x7FFFFFFF, 0xFFFFFFFF])
        return store(opcode, key, value, rng.randrange(1 << 32), expiry, cas)
    if opcode in (5, 6, 0x15, 0x16):
        # A number that gets shorter is filled with spaces, or not if a reply still holds the old one: kept out here.
        delta = rng.choice([0, 1, 3])
        return count(opcode, key, delta, rng.choice([5000, 123456]), rng.choice([0, 100, 0xFFFFFFFF]), cas)
    if opcode in (0x0E, 0x0F, 0x19, 0x1A):
        return request(opcode, key, value=value, cas=cas)
    if opcode in (0x1C, 0x1D, 0x1E, 0x23, 0x24):
        return request(opcode, key, struct.pack(">I", rng.choice([0, 500, 60 * 60 * 24 * 30 + 1])))
    return request(opcode, key, cas=cas if opcode in (4, 0x14) else 0)


def read_until_noop(connection: socket.socket) -> bytes:
    """Replies up to that of the last request, or until the connection ends."""
    data = b""
    end = b"\x81\x0a" + bytes(10) + struct.pack(">I", 0x0BADCAFE) + bytes(8)
    while not data.endswith(end):
        part = connection.recv(1 << 16)
        if not part:
            break
        data += part
    return data


LAST = struct.pack(">BBHBBHIIQ", 0x80, 0x0A, 0, 0, 0, 0, 0, 0x0BADCAFE, 0)


@pytest.mark.parametrize("seed", range(6))
def test_random_requests(linux: socket.socket, seed: int) -> None:
    rng = random.Random(seed)
    ours = Bench()
    for _ in range(40):
        requests = [random_request(rng) for _ in range(25)]
        stream = b"".join(requests) + LAST
        linux.sendall(stream)
        expected = read_until_noop(linux)
        ours.connection.deliver(stream, rng.choice([1, 7, 100, 400]))
        assert ours.connection.take() == expected, requests


def test_counters(linux: socket.socket) -> None:
    ours = Bench()
    for index, number in enumerate(NUMBERS):
        key = b"n%d" % index
        for opcode, delta in ((5, 1), (6, 1), (6, 90)):
            stream = store(1, key, number) + LAST
            linux.sendall(stream)
            ours.connection.deliver(stream)
            assert ours.connection.take() == read_until_noop(linux)
            stream = count(opcode, key, delta, 0) + request(0, key) + LAST
            linux.sendall(stream)
            ours.connection.deliver(stream)
            assert ours.connection.take() == read_until_noop(linux), number


@pytest.mark.parametrize("malformed", MALFORMED)
def test_malformed_requests_are_answered_alike_and_end_the_connection(linux: socket.socket, malformed: bytes) -> None:
    ours = Bench()
    linux.sendall(NOOP + malformed)
    linux.shutdown(socket.SHUT_WR)
    expected = b""
    try:
        while part := linux.recv(1 << 16):
            expected += part
    except ConnectionResetError:
        pass  # closed with input unread: what was answered came before
    ours.connection.deliver(NOOP + malformed)
    assert ours.connection.take() == expected
    assert ours.connection.is_closing


def test_too_large_values(linux: socket.socket) -> None:
    ours = Bench()
    large = bytes((1 << 20) + 1)
    stream = store(1, b"a", b"old") + store(1, b"a", large) + request(0, b"a") + store(2, b"b", large) + NOOP
    stream += store(0x11, b"a", large) + store(1, b"c", bytes(1_000_000)) + request(0x0E, b"c", value=bytes(100_000))
    stream += LAST
    linux.sendall(stream)
    expected = read_until_noop(linux)
    ours.connection.deliver(stream)
    assert ours.connection.take() == expected
