"""Both ends open, or close, at the same moment (RFC 9293 sections 3.5 and 3.6), whichever segment is lost."""

import random

import pytest

from stack.address import mapped
from stack.tcp.ports import EphemeralPorts
from tests.tcplink import MILLISECOND, Recorder, Wire, open_pair

EVERY_LOSS = [None, *range(8)]


def lossy(lost: int | None, delay_back: int = 0) -> Wire:
    """A wire that loses the frame with that number."""
    wire = Wire()
    numbers = iter(range(1_000_000))
    wire.drop = lambda frame, sender: next(numbers) == lost
    return wire


@pytest.mark.parametrize("later", [0, MILLISECOND // 2, MILLISECOND, 3 * MILLISECOND // 2])
@pytest.mark.parametrize("lost", EVERY_LOSS)
def test_both_open(lost, later):
    """``later``: when the second end opens; the first SYN is underway for a millisecond."""
    wire = lossy(lost)
    for host, port in ((wire.a, 5000), (wire.b, 6000)):
        host.tcp.ports = EphemeralPorts(port, port, bytes(16), random.Random(0))
    handlers = Recorder(), Recorder()
    wire.a.tcp.connect(mapped(wire.b.address), 6000, handlers[0])
    if later < MILLISECOND:
        wire.run(seconds=later / 1e9)
        wire.b.tcp.connect(mapped(wire.a.address), 5000, handlers[1])
        wire.run(lambda: all(handler.events for handler in handlers), seconds=60)
        assert [handler.events for handler in handlers] == [["connected"], ["connected"]]
        for handler, host in zip(handlers, (wire.a, wire.b), strict=True):
            handler.connection.send(host.buffer(b"hello"))
        wire.run(lambda: all(handler.data == b"hello" for handler in handlers), seconds=60)
        assert [bytes(handler.data) for handler in handlers] == [b"hello", b"hello"]
        assert [host.tcp.statistics()["segments"]["resets_sent"] for host in (wire.a, wire.b)] == [0, 0]
    else:  # the first SYN has found nobody, and is refused, unless it was lost
        wire.run(seconds=later / 1e9)
        wire.b.tcp.connect(mapped(wire.a.address), 5000, handlers[1])
        wire.run(lambda: all(handler.events for handler in handlers), seconds=300)
        outcomes = {(handler.events[0], handler.reason) for handler in handlers}
        assert outcomes <= {("connected", ""), ("closed", "refused")}
        assert len(outcomes) == 1


@pytest.mark.parametrize("data", [b"", b"last words"])
@pytest.mark.parametrize("lost", EVERY_LOSS)
def test_both_close(lost, data):
    wire = Wire()
    client, client_handler, server, server_handler = open_pair(wire)
    wire.run(seconds=1)
    numbers = iter(range(1_000_000))
    wire.drop = lambda frame, sender: next(numbers) == lost
    for connection, host in ((client, wire.a), (server, wire.b)):
        if data:
            connection.send(host.buffer(data))
        connection.close()
    wire.run(seconds=200)
    for handler in (client_handler, server_handler):
        assert handler.events == ["connected", "peer_closed", "closed"]
        assert handler.reason == "closed"
        assert handler.data == data
    for host in (wire.a, wire.b):
        assert host.tcp.statistics()["connections"]["now"] == 0
        assert host.tcp.statistics()["segments"]["resets_sent"] == 0
