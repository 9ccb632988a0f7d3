"""The application transfer on a node's stack: its server against bytes that are made here, and its client."""

import hashlib
import random
import struct
from collections.abc import Iterator

import pytest

from apps.transfer.client import Outcome, TransferClient
from apps.transfer.protocol import GET, PORT, PUT, Request
from apps.transfer.server import TransferServer
from tests.node_pair import VirtualNetwork
from tests.tcplink import Recorder

BLOCK = 1 << 20
SEED = (1 << 64) - 1
NO_DIGEST = bytes(32)


@pytest.fixture
def network() -> Iterator[VirtualNetwork]:
    made = VirtualNetwork()
    yield made
    made.close()


@pytest.fixture
def server(network: VirtualNetwork) -> TransferServer:
    made = TransferServer(network.nodes[0].network, network.nodes[0].allocator)
    made.start()
    return made


@pytest.fixture
def client(network: VirtualNetwork, server: TransferServer) -> Recorder:
    made = Recorder()
    network.nodes[1].network.connect(network.nodes[0].address, PORT, made)
    network.run(lambda: "connected" in made.events)
    return made


def stream(length: int, seed: int) -> bytes:
    block = random.Random(seed).randbytes(BLOCK)
    blocks = range(-(-length // BLOCK))
    return b"".join(number.to_bytes(8, "big") + block[8:] for number in blocks)[:length]


def request(operation: int, length: int, seed: int = SEED, checked: int = 1) -> bytes:
    return struct.pack(">4sBBHQQ", b"XFER", operation, checked, 0, length, seed)


def say(network: VirtualNetwork, client: Recorder, data: bytes) -> None:
    for at in range(0, len(data), 4096):
        network.run(lambda: client.connection.send_window() >= 4096)
        assert client.connection.send(network.nodes[1].buffer(data[at : at + 4096]))


def hear(network: VirtualNetwork, client: Recorder, length: int) -> bytes:
    network.run(lambda: len(client.data) >= length)
    heard = bytes(client.data)
    client.data.clear()
    return heard


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 70_000, BLOCK, BLOCK + 3])
@pytest.mark.parametrize("checked", [0, 1])
def test_what_is_got_is_the_stream_of_the_seed(network, client, length, checked):
    for seed in (SEED, SEED, 0):
        say(network, client, request(GET, length, seed, checked))
        data = stream(length, seed)
        digest = hashlib.sha256(data).digest() if checked else NO_DIGEST
        assert hear(network, client, length + 32) == data + digest


@pytest.mark.parametrize("length", [0, 1, 70_000])
@pytest.mark.parametrize("checked", [0, 1])
def test_what_is_put_is_counted_and_its_digest_told(network, server, client, length, checked):
    data = random.Random(length).randbytes(length)
    for _ in range(2):
        say(network, client, request(PUT, length, checked=checked) + data + NO_DIGEST)
        assert hear(network, client, 32) == (hashlib.sha256(data).digest() if checked else NO_DIGEST)
    statistics = server.statistics()
    assert (statistics["puts"], statistics["bytes_received"]) == (2, 2 * length)


@pytest.mark.parametrize(
    "wrong",
    [bytes(24), request(3, 1), request(GET, (1 << 50) + 1), request(GET, (1 << 64) - 1), request(GET, 1, 1, 2)],
)
@pytest.mark.parametrize("more", [b"", bytes(100)])  # which comes with it, for a session that has ended by then
def test_what_is_no_request_ends_the_connection(network, server, client, wrong, more):
    say(network, client, wrong + more)
    network.run(lambda: client.reason != "")
    assert server.statistics()["problems"] == {"not a request": 1}
    assert server.statistics()["connections"] == 0


def test_a_block_that_node_memory_has_no_room_for_ends_the_connection(network, server, client):
    held = []
    while (buffer := network.nodes[0].allocator.allocate(BLOCK)) is not None:
        held.append(buffer)
    say(network, client, request(GET, 1))
    network.run(lambda: client.reason != "")
    assert server.statistics()["problems"] == {"no memory": 1}


@pytest.mark.parametrize("operation", [GET, PUT])
@pytest.mark.parametrize("checked", [False, True])
def test_both_ends_agree(network, server, operation, checked):
    outcomes: list[Outcome] = []
    node = network.nodes[1]
    made = Request(operation, BLOCK + 3, SEED, checked)
    TransferClient(node.network, node.allocator, node.clock, made, outcomes.append).start(network.nodes[0].address)
    network.run(lambda: outcomes != [])
    digest = hashlib.sha256(stream(BLOCK + 3, SEED)).hexdigest() if checked else NO_DIGEST.hex()
    assert (outcomes[0].digest, outcomes[0].peer_digest, outcomes[0].failure) == (digest, digest, "")
    assert (outcomes[0].operation, outcomes[0].bytes) == ("get" if operation == GET else "put", BLOCK + 3)
