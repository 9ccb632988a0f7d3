"""Both buffers follow what a connection can use, within what the node can spare (``stack.tcp.autotune``)."""

from ebbrt.tcp_settings import TcpSettings
from stack.tcp.constants import MEMORY_PER_WINDOW, MOST_RECEIVE_BUFFER, MOST_SEND_BUFFER, RECEIVE_BUFFER, SEND_BUFFER
from tests.tcplink import MILLISECOND, Wire, open_pair

MEGABYTE = 1 << 20


def transfer(wire, connection, server, length):
    """Send so much, as the send window allows; how long it took."""
    start = wire.clock.now()
    done = len(server.data) + length
    buffer = wire.a.buffer(bytes(32_768))
    while len(server.data) < done:
        while length and connection.send_window() and length:
            connection.send(buffer.slice(0, min(length, buffer.length)))
            length -= min(length, buffer.length)
        before = len(server.data)
        wire.run(lambda before=before: len(server.data) > before, seconds=10)
    return wire.clock.now() - start


def long_wire(memory=256 << 20):
    """A round trip of 100 ms; frames are long, so that there are fewer of them."""
    return Wire(delay=50 * MILLISECOND, memory=memory, mtu=9000, received_buffer=9216)


def test_the_window_grows_on_a_long_path_until_it_is_no_limit():
    wire = long_wire()
    connection, _, receiving, server = open_pair(wire)
    assert receiving.receive_buffer == RECEIVE_BUFFER
    transfer(wire, connection, server, 12 * MEGABYTE)
    assert receiving.receive_buffer > 8 * RECEIVE_BUFFER
    assert receiving.receive_buffer <= MOST_RECEIVE_BUFFER
    assert connection.send_buffer >= min(MOST_SEND_BUFFER, 2 * connection.congestion.cwnd)
    assert abs(receiving.rcv_rtt - 100 * MILLISECOND) < 20 * MILLISECOND


def test_a_fixed_buffer_stays_and_is_slower():
    wire = long_wire()
    fixed = TcpSettings(receive_buffer=RECEIVE_BUFFER, send_buffer=SEND_BUFFER)
    wire.b.tcp.engine.settings = fixed
    connection, _, receiving, server = open_pair(wire)
    slow = transfer(wire, connection, server, 8 * MEGABYTE)
    assert receiving.receive_buffer == RECEIVE_BUFFER
    wire = long_wire()
    connection, _, _, server = open_pair(wire)
    assert 2 * transfer(wire, connection, server, 8 * MEGABYTE) < slow


def test_small_values_grow_nothing():
    wire = long_wire()
    connection, _, receiving, server = open_pair(wire)
    for _ in range(40):  # more than a window in all, but never more than a little in a round trip
        connection.send(wire.a.buffer(bytes(10_000)))
        wire.run(seconds=1)
    assert len(server.data) > RECEIVE_BUFFER
    assert receiving.receive_buffer == RECEIVE_BUFFER
    assert connection.send_buffer == SEND_BUFFER


def test_a_paused_application_gets_no_larger_window():
    wire = long_wire()
    connection, _, receiving, _ = open_pair(wire)
    receiving.pause()
    for _ in range(20):
        connection.send(wire.a.buffer(bytes(60_000)))
    wire.run(seconds=30)
    assert receiving.receive_buffer == RECEIVE_BUFFER


def test_without_timestamps_the_time_of_a_window_is_the_round_trip():
    wire = long_wire()
    connection, _, receiving, server = open_pair(wire)
    connection.timestamps = receiving.timestamps = False
    transfer(wire, connection, server, 8 * MEGABYTE)
    assert receiving.receive_buffer > 4 * RECEIVE_BUFFER
    assert 90 * MILLISECOND < receiving.rcv_rtt < 300 * MILLISECOND


def test_all_connections_together_stay_within_the_nodes_memory():
    wire = long_wire(memory=16 << 20)
    engine = wire.b.tcp.engine
    grown = []
    for port in (80, 81, 82):
        connection, _, receiving, server = open_pair(wire, port)
        transfer(wire, connection, server, 8 * MEGABYTE)
        grown.append(receiving.receive_buffer)
        assert engine.grown <= engine.most_grown == 4 << 20
    assert sum(grown) * MEMORY_PER_WINDOW <= engine.most_grown + 3 * MEMORY_PER_WINDOW * RECEIVE_BUFFER
    assert grown[0] > RECEIVE_BUFFER


def test_an_ended_connection_gives_back_what_it_had_grown_by():
    wire = long_wire()
    connection, _, receiving, server = open_pair(wire)
    transfer(wire, connection, server, 8 * MEGABYTE)
    assert wire.a.tcp.engine.grown == connection.grown > 0
    assert wire.b.tcp.engine.grown == receiving.grown > 0
    connection.abort()
    wire.run(seconds=1)
    assert wire.a.tcp.engine.grown == wire.b.tcp.engine.grown == 0


def test_the_window_offered_never_shrinks_while_it_grows():
    wire = long_wire()
    connection, _, receiving, server = open_pair(wire)
    edges = []
    receive = wire.b.receive

    def watch(frame):
        receive(frame)
        edges.append((receiving.rcv_adv - receiving.irs) & 0xFFFFFFFF)

    wire.b.receive = watch
    transfer(wire, connection, server, 6 * MEGABYTE)
    assert edges == sorted(edges)
