"""A transfer's end as an ordinary Linux program: blocking sockets, and nothing of ours but the protocol.

    python -P -m apps.transfer.linux serve
    python -P -m apps.transfer.linux get 198.18.0.3 100000000 --seed 7
    python -P -m apps.transfer.linux put 198.18.0.3 100000000

The server takes one connection after the other, and prints a line, beginning with ``ready``, once it listens. A client
prints its outcome as JSON, and has exit status 1 when the digests differ or the connection has ended too early.
"""

import argparse
import json
import socket
import sys
import time

from apps.transfer.protocol import (
    BLOCK,
    DIGEST_LENGTH,
    GET,
    NUMBER_LENGTH,
    OPERATIONS,
    PORT,
    REQUEST_LENGTH,
    Digest,
    Request,
    block_of,
    number_bytes,
)

CONNECT_TIMEOUT = 10.0  # seconds


class Sender:
    """Sends the stream of a seed."""

    def __init__(self, seed: int) -> None:
        self._block = bytearray(block_of(seed))

    def send(self, connection: socket.socket, length: int, digest: Digest) -> None:
        """Send the first ``length`` bytes."""
        block = memoryview(self._block)
        for number in range((length + BLOCK - 1) // BLOCK):
            block[:NUMBER_LENGTH] = number_bytes(number)
            part = block[: length - number * BLOCK]
            digest.update(part)
            connection.sendall(part)


def receive(connection: socket.socket, length: int, digest: Digest, into: memoryview) -> None:
    """Take ``length`` bytes, through ``into``. Raises ConnectionError when fewer come."""
    while length:
        count = connection.recv_into(into[:length])
        if not count:
            raise ConnectionError(f"the connection ended {length} bytes too early")
        digest.update(into[:count])
        length -= count


def receive_message(connection: socket.socket, length: int) -> bytes:
    """Take a message; nothing when the connection has ended before it."""
    message = b""
    while len(message) < length:
        part = connection.recv(length - len(message))
        if not part:
            if message:
                raise ConnectionError("the connection ended within a message")
            break
        message += part
    return message


def serve(address: str, port: int) -> None:
    """Answer requests for ever."""
    into = memoryview(bytearray(BLOCK))
    senders: dict[int, Sender] = {}
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as listener:
        print(f"ready: transfer on {address}:{port}, Linux", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    while message := receive_message(connection, REQUEST_LENGTH):
                        _answer(connection, Request.unpack(message), senders, into)
                except (OSError, ValueError) as error:
                    print(error, file=sys.stderr, flush=True)


def _answer(connection: socket.socket, request: Request, senders: dict[int, Sender], into: memoryview) -> None:
    digest = Digest(request.checked)
    if request.operation == GET:
        if request.seed not in senders:
            senders.clear()
            senders[request.seed] = Sender(request.seed)
        senders[request.seed].send(connection, request.length, digest)
    else:
        receive(connection, request.length, digest, into)
        receive_message(connection, DIGEST_LENGTH)
    connection.sendall(digest.value())


def transfer(connection: socket.socket, request: Request, sender: Sender | None = None) -> tuple[bytes, bytes]:
    """Carry one request out; the digests of this end and of the other. Raises ConnectionError."""
    digest = Digest(request.checked)
    connection.sendall(request.pack())
    if request.operation == GET:
        receive(connection, request.length, digest, memoryview(bytearray(BLOCK)))
    else:
        (sender or Sender(request.seed)).send(connection, request.length, digest)
        connection.sendall(digest.value())
    peer = receive_message(connection, DIGEST_LENGTH)
    if not peer:
        raise ConnectionError("the connection ended before the digest")
    return digest.value(), peer


def _client(operation: str, arguments: argparse.Namespace) -> int:
    request = Request(OPERATIONS[operation], arguments.length, arguments.seed, not arguments.unchecked)
    sender = Sender(request.seed) if request.operation != GET else None
    outcome: dict[str, object] = {"operation": operation, "bytes": request.length}
    began = time.monotonic()
    try:
        with socket.create_connection((arguments.address, arguments.port), CONNECT_TIMEOUT) as connection:
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ours, peers = transfer(connection, request, sender)
        outcome |= {"digest": ours.hex(), "peer_digest": peers.hex(), "failure": "", "equal": ours == peers}
    except OSError as error:
        outcome |= {"digest": "", "peer_digest": "", "failure": str(error), "equal": False}
    outcome["seconds"] = time.monotonic() - began
    print(json.dumps(outcome), flush=True)
    return 0 if outcome["equal"] else 1


def main() -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m apps.transfer.linux", description="One end of a transfer.")
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve")
    server.add_argument("--address", default="0.0.0.0")
    server.add_argument("--port", type=int, default=PORT)
    for operation in OPERATIONS:
        client = commands.add_parser(operation)
        client.add_argument("address")
        client.add_argument("length", type=int)
        client.add_argument("--port", type=int, default=PORT)
        client.add_argument("--seed", type=int, default=0)
        client.add_argument("--unchecked", action="store_true", help="no digests: as fast as it goes")
    arguments = parser.parse_args()
    if arguments.command == "serve":
        serve(arguments.address, arguments.port)
    return _client(arguments.command, arguments)


if __name__ == "__main__":
    sys.exit(main())
