"""TCP and UDP over IPv6 between two stacks that find each other by Neighbor Discovery."""

import random

import pytest

from ebbrt.iobuf import IOBuf
from ebbrt.network import UdpHandler
from stack.address import parse_address
from tests.fakes import read_chain
from tests.tcplink import SECOND, Recorder, Wire, open_pair

A = "fd00::1"
B = "fd00::2"


@pytest.mark.parametrize(("loss", "offload"), [(0.0, False), (0.0, True), (0.02, False)])
def test_a_stream_arrives_whole(loss: float, offload: bool) -> None:
    data = random.Random(1).randbytes(200_000)
    wire = Wire(seed=1, loss=loss, ipv6=True, checksum_offload=offload)
    connection, client, server_connection, server = open_pair(wire, address=B)
    connection.send(wire.a.buffer(data))
    wire.run(lambda: len(server.data) == len(data))
    assert bytes(server.data) == data
    assert server_connection.remote()[0] == A
    connection.close()
    server_connection.close()
    wire.run(lambda: server.reason == "closed")
    assert client.events[0] == "connected"


class Receiver(UdpHandler):
    def __init__(self) -> None:
        self.received: list[tuple[bytes, str, int]] = []
        self.lost: list[tuple[str, str, int]] = []

    def receive(self, data: IOBuf, address: str, port: int) -> None:
        self.received.append((read_chain(data), address, port))

    def undelivered(self, reason: str, address: str, port: int) -> None:
        self.lost.append((reason, address, port))


def test_datagrams_arrive() -> None:
    wire = Wire(ipv6=True)
    receiver = Receiver()
    wire.b.stack.udp.bind(7, receiver)
    wire.a.stack.udp.bind(8, Receiver()).send(wire.a.buffer(b"hello"), B, 7)
    wire.run(seconds=1)
    assert receiver.received == [(b"hello", A, 8)]


def test_a_closed_udp_port_is_reported() -> None:
    wire = Wire(ipv6=True)
    sender = Receiver()
    wire.a.stack.udp.bind(8, sender).send(wire.a.buffer(b"hello"), B, 7)
    wire.run(seconds=1)
    assert sender.lost == [("refused", B, 7)]


def test_a_host_that_is_not_there_is_unreachable() -> None:
    wire = Wire(ipv6=True)
    sender = Receiver()
    wire.a.stack.udp.bind(8, sender).send(wire.a.buffer(b"hello"), "fd00::99", 7)
    wire.run(seconds=4)
    assert sender.lost == [("unreachable", "fd00::99", 7)]


def test_a_connection_without_a_way_ends_at_once() -> None:
    wire = Wire(ipv6=True)
    client = Recorder()
    wire.a.tcp.connect(parse_address("2001:db8::1"), 80, client)
    assert client.reason == "unreachable"
    assert wire.clock.now() == SECOND
