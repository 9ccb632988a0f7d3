"""Bulk data between two engines over a wire that loses, reorders and duplicates: what arrives is what was sent."""

import hashlib
import random

import pytest

from ebbrt.iobuf import IOBuf
from tests.tcplink import Wire, open_pair


def feed(wire, connection, data: bytes, chunk: int) -> None:
    """Send all of ``data``, never more than the send window takes."""
    sent = 0
    while sent < len(data):
        room = connection.send_window()
        if room == 0:
            wire.run(lambda: connection.send_window() > 0)
            continue
        piece = data[sent : sent + min(chunk, room)]
        assert connection.send(wire.a.buffer(piece))
        sent += len(piece)


@pytest.mark.parametrize(
    ("loss", "reorder", "duplicate", "largest_segment"),
    [(0, 0, 0, 0), (0, 0, 0, 65000), (0.02, 0, 0, 0), (0, 0.1, 0, 0), (0, 0, 0.1, 0), (0.05, 0.1, 0.05, 65000)],
)
def test_bulk_transfer_arrives_whole(loss, reorder, duplicate, largest_segment):
    wire = Wire(
        7,
        loss=loss,
        reorder=reorder,
        duplicate=duplicate,
        largest_segment=largest_segment,
        checksum_offload=bool(largest_segment),
    )
    connection, client, _, server = open_pair(wire)
    data = random.Random(3).randbytes(600_000)
    feed(wire, connection, data, 10_007)
    connection.close()
    wire.run(lambda: "peer_closed" in server.events)
    assert hashlib.sha256(server.data).digest() == hashlib.sha256(data).digest()
    server.connection.close()
    wire.run()
    assert client.reason == server.reason == "closed"
    for host in (wire.a, wire.b):
        statistics = host.tcp.statistics()
        assert statistics["connections"]["now"] == 0
        assert sum(statistics["states"].values()) == 0
        assert host.allocator.statistics()["allocated_bytes"] == 0
        assert host.allocator.statistics()["payload_bytes_copied"] == 0
    assert wire.a.device.most_pieces <= 65


def test_without_faults_nothing_is_sent_twice():
    wire = Wire()
    connection, _, _, server = open_pair(wire)
    data = bytes(400_000)
    feed(wire, connection, data, 50_000)
    wire.run(lambda: len(server.data) == len(data))
    assert wire.a.tcp.statistics()["segments"]["retransmitted"] == 0
    assert sum(wire.b.tcp.statistics()["drops"].values()) == 0


def test_echo_replies_carry_the_acknowledgment():
    def echo(handler, data):
        for byte in (data[:1], data[1:]):
            handler.connection.send(wire.b.buffer(byte))

    wire = Wire()
    connection, client, _, _ = open_pair(wire, on_receive=echo)
    wire.run(seconds=1)
    before = len(wire.b.frames)
    connection.send(wire.a.buffer(b"hello"))
    wire.run(lambda: client.data == b"hello")
    assert len(wire.b.frames) == before + 1  # one frame: both pieces of the reply, and the acknowledgment
    assert isinstance(wire.a.buffer(b"x"), IOBuf)
