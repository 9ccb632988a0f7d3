"""A small memcached client whose requests a seed fixes: it makes recordings, for ``reference/`` and for live tests.

Every connection has one request outstanding. Nine of ten requests are GETs of the binary protocol, the tenth a SET;
keys come from one small pool shared by all connections. ``python -P -m captures.record --help`` runs it.
"""

import argparse
import json
import random
import selectors
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from captures import memcached_binary as protocol
from captures.reach import OutsideLabError, require_lab

GET, SET = 0x00, 0x01
SET_EVERY = 10
KEYS = 20


@dataclass(slots=True)
class Recorded:
    """What the client saw."""

    connections: int
    requests: int
    gets: int = 0
    hits: int = 0
    sets: int = 0
    errors: int = 0


def requests_of(connection: int, count: int, seed: int, payload: int) -> Iterator[bytes]:
    """The requests of one connection: ``seed`` and ``connection`` fix every byte."""
    chance = random.Random(f"{seed}/{connection}")
    for index in range(count):
        key = b"key-%02d" % chance.randrange(KEYS)
        opaque = connection << 20 | index
        if (index + connection) % SET_EVERY:
            yield protocol.HEADER.pack(protocol.REQUEST_MAGIC, GET, len(key), 0, 0, 0, len(key), opaque, 0) + key
        else:
            body = chance.randbytes(4) + bytes(4) + key + chance.randbytes(payload)  # flags, no expiry, key, value
            yield protocol.HEADER.pack(protocol.REQUEST_MAGIC, SET, len(key), 8, 0, 0, len(body), opaque, 0) + body


def record(
    address: str, port: int, *, connections: int, requests: int, seed: int, payload: int = 32, timeout: float = 10.0
) -> Recorded:
    """Make ``requests`` requests over ``connections`` connections, close them all, and count what came back."""
    result = Recorded(connections, requests)
    selector = selectors.DefaultSelector()
    opened: list[socket.socket] = []
    try:
        for number in range(connections):
            opened.append(socket.create_connection((address, port), timeout))
            share = requests // connections + (number < requests % connections)
            waiting = requests_of(number, share, seed, payload)
            selector.register(opened[-1], selectors.EVENT_READ, (waiting, bytearray()))
            _send_next(opened[-1], waiting, selector, result)
        while selector.get_map():
            ready = selector.select(timeout)
            if not ready:
                raise TimeoutError(f"no reply from {address} port {port} for {timeout} s")
            for key, _ in ready:
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                _take_reply(connection, key.data[0], key.data[1], selector, result)
    finally:
        selector.close()
        for each in opened:
            each.close()
    return result


def _send_next(
    connection: socket.socket, waiting: Iterator[bytes], selector: selectors.BaseSelector, result: Recorded
) -> None:
    """Send the connection's next request; after the last one, stop waiting for replies on it."""
    request = next(waiting, None)
    if request is None:
        selector.unregister(connection)
        return
    if request[1] == GET:
        result.gets += 1
    else:
        result.sets += 1
    connection.sendall(request)


def _take_reply(
    connection: socket.socket,
    waiting: Iterator[bytes],
    received: bytearray,
    selector: selectors.BaseSelector,
    result: Recorded,
) -> None:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionError("the server closed a connection")
    received += data
    replies = protocol.split(received, protocol.REPLY_MAGIC)
    for reply in replies:
        if reply.opcode == GET and reply.status == 0:
            result.hits += 1
        elif not (reply.opcode == GET and reply.status == 1) and reply.status:
            result.errors += 1
    if replies:
        received.clear()  # one request is outstanding, so nothing can follow its reply
        _send_next(connection, waiting, selector, result)


def main() -> int:
    """Run the client from the command line; prints what it saw as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--port", type=int, default=11211)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--payload", type=int, default=32, help="bytes of a value")
    given = parser.parse_args()
    try:
        require_lab(given.address)
    except OutsideLabError as error:
        parser.error(f"{error}; run this inside one: netlab exec HOST -- COMMAND")
    result = record(
        given.address,
        given.port,
        connections=given.connections,
        requests=given.requests,
        seed=given.seed,
        payload=given.payload,
    )
    print(json.dumps(asdict(result)))
    return 1 if result.errors else 0


if __name__ == "__main__":
    sys.exit(main())
