"""How a connection behaves under time, loss and small windows: retransmission, persist, Nagle, delayed ACK, bounds."""

import gc
import random
import weakref
from itertools import pairwise

import pytest

from ebbrt.network import AddressInUseError
from ebbrt.tcp_settings import TcpSettings
from stack.address import mapped
from tests.tcplink import SECOND, Recorder, Wire, open_pair
from tests.tcppeer import PORT, Peer

MS = 0.001


def times_of(peer: Peer, seconds: float) -> list[float]:
    """When the node sends something, in seconds from now, to the millisecond, over that time."""
    start = peer.clock.now()
    end = start + int(seconds * SECOND)
    times = []
    while peer.node.tcp.next_deadline() <= end:
        peer.clock.time = max(peer.clock.time, peer.node.tcp.next_deadline())
        peer.node.tcp.poll(peer.clock.now())
        times += [round((peer.clock.now() - start) / SECOND, 3)] * len(peer.take())
    peer.clock.time = end
    return times


def test_retransmission_backs_off_and_gives_up():
    peer = Peer()
    handler = peer.established()
    handler.connection.send(peer.node.buffer(b"lost"))
    first = peer.take()[0]
    times = times_of(peer, 1000)
    assert times == [0.2, 0.6, 1.4, 3.0, 6.2, 12.6, 25.4, 51.0, 102.2, 162.2, 222.2, 282.2]
    assert handler.reason == "timeout"
    assert bytes(first.payload) == b"lost"
    assert peer.node.tcp.statistics()["segments"]["retransmission_timeouts"] == 13
    assert peer.node.allocator.statistics()["allocated_bytes"] == 0


def test_handshake_of_an_abandoned_connection_times_out():
    peer = Peer()
    peer.listen()
    peer.send("S", options=peer.syn_options())
    assert times_of(peer, 200) == [1, 3, 7, 15, 31]
    assert peer.state() == "closed"
    assert peer.node.tcp.statistics()["connections"]["handshakes"] == 0


def test_connect_times_out():
    peer = Peer()
    handler = peer.connecting()
    assert times_of(peer, 200) == [1, 3, 7, 15, 31, 63, 123]
    assert handler.reason == "timeout"
    assert handler.events == ["closed"]


def test_backlog_bounds_handshakes():
    peer = Peer()
    peer.listen(backlog=2)
    for port in (1, 2, 3):
        peer.port = port
        assert len(peer.send("S", seq=1, options=peer.syn_options())) == 1
    assert peer.node.tcp.statistics()["connections"]["handshakes"] == 2
    assert peer.node.tcp.statistics()["syn_cookies"]["sent"] == 1
    peer.port = 2
    peer.send("R", seq=2)
    peer.port = 4
    assert len(peer.send("S", seq=1, options=peer.syn_options())) == 1
    assert peer.node.tcp.statistics()["connections"]["handshakes"] == 2


def test_repeated_syn_is_answered_again():
    peer = Peer()
    peer.listen()
    first = peer.send("S", options=peer.syn_options(), advance=False)[0]
    again = peer.send("S", options=peer.syn_options())[0]
    assert (first.flags, first.seq, first.ack) == (again.flags, again.seq, again.ack)


def test_fast_retransmit_after_three_duplicates_and_partial_acknowledgment():
    peer = Peer()
    handler = peer.established()
    handler.connection.send(peer.node.buffer(bytes(1460 * 8)))
    sent = peer.take()
    assert [len(segment.payload) for segment in sent] == [1460] * 8
    first = sent[0].seq
    assert peer.send("A", ack=first) == []
    assert peer.send("A", ack=first) == []
    again = peer.send("A", ack=first)
    assert [segment.seq for segment in again] == [first]
    partial = peer.send("A", ack=first + 3 * 1460)  # the second hole
    assert partial[0].seq == first + 3 * 1460
    assert len(partial[0].payload) == 1460
    assert peer.send("A", ack=first + 8 * 1460) == []
    statistics = peer.node.tcp.statistics()["segments"]
    assert statistics["fast_retransmits"] == 1
    assert statistics["retransmission_timeouts"] == 0


def test_zero_window_is_probed_and_reopens():
    peer = Peer()
    handler = peer.established()
    peer.send("A", window=0)
    handler.connection.send(peer.node.buffer(b"patience"))
    assert peer.take() == []
    start = peer.ack
    times = []
    probes = 0
    for _ in range(30):  # far more than the retransmissions that would end an unanswered connection
        while not peer.out:
            peer.clock.time = peer.node.tcp.next_deadline()
            peer.node.tcp.poll(peer.clock.now())
        times.append(peer.clock.now())
        peer.take()
        peer.ack = start
        peer.send("A", window=0)
        probes += 1
    intervals = [round((after - before) / SECOND, 1) for before, after in pairwise(times)]
    assert intervals[:4] == [0.4, 0.8, 1.6, 3.2]
    assert max(intervals) == 60
    answer = peer.send("A", ack=start, window=100)
    assert bytes(answer[0].payload) == b"patience"
    assert peer.node.tcp.statistics()["segments"]["zero_window_probes"] == probes


def test_unanswered_probes_end_the_connection():
    peer = Peer()
    handler = peer.established()
    peer.send("A", window=0)
    handler.connection.send(peer.node.buffer(b"patience"))
    peer.wait(1000)
    assert handler.reason == "timeout"


def test_probe_byte_that_is_taken():
    peer = Peer()
    handler = peer.established()
    peer.send("A", window=0)
    handler.connection.send(peer.node.buffer(b"patience"))
    probe = peer.wait(0.3)
    assert bytes(probe[0].payload) == b"p"
    answer = peer.send("A", window=1000)
    assert bytes(answer[0].payload) == b"atience"
    assert peer.send("A") == []
    assert peer.wait(500) == []


def test_a_paused_receiver_closes_its_window_and_reopens_it():
    wire = Wire()
    connection, _, server_connection, server = open_pair(wire)
    server_connection.pause()
    data = random.Random(5).randbytes(700_000)
    connection.send(wire.a.buffer(data))
    wire.run(seconds=120)
    assert server.data == b""
    assert wire.b.allocator.statistics()["allocated_bytes"] <= 2 * 256 * 1024 + 70_000
    assert wire.a.tcp.statistics()["segments"]["zero_window_probes"] > 0
    server_connection.resume()
    wire.run(lambda: len(server.data) == len(data), seconds=120)
    assert server.data == data
    assert server.events == ["connected"]


def test_held_data_comes_before_the_end():
    wire = Wire()
    connection, _, server_connection, server = open_pair(wire)
    server_connection.pause()
    connection.send(wire.a.buffer(b"data"))
    connection.close()
    wire.run(seconds=5)
    assert server.events == ["connected"]
    server_connection.close()
    wire.run(seconds=5)
    assert server.events == ["connected"]
    server_connection.resume()
    assert server.data == b"data"
    assert server.events == ["connected", "peer_closed", "closed"]
    assert server.reason == "closed"


@pytest.mark.parametrize("in_order", [True, False])
def test_one_byte_segments_cannot_pin_much_memory(in_order):
    peer = Peer()
    handler = peer.established()
    handler.connection.pause()
    start = peer.seq
    for number in range(2000):
        sequence = start + number if in_order else start + 10_000 - 2 * number
        peer.send("A", b"x", seq=sequence & 0xFFFFFFFF, advance=False)
    assert peer.node.allocator.statistics()["allocated_bytes"] <= 2 * 256 * 1024
    assert sum(peer.drops().values()) >= 2000 - 256 - 1
    if in_order:
        assert peer.send("A", b"x", seq=start, advance=False)[-1].window == 0
    handler.connection.abort()
    assert peer.node.allocator.statistics()["allocated_bytes"] == 0


def test_nagle_holds_a_small_segment_until_the_acknowledgment():
    for nagle, expected in ((True, [b"one"]), (False, [b"one", b"two"])):
        peer = Peer()
        handler = peer.established()
        handler.connection.configure(TcpSettings(nagle=nagle))
        handler.connection.send(peer.node.buffer(b"one"))
        handler.connection.send(peer.node.buffer(b"two"))
        assert [bytes(segment.payload) for segment in peer.take()] == expected
        if nagle:
            assert [bytes(segment.payload) for segment in peer.send("A")] == [b"two"]


def test_nagle_does_not_hold_what_the_fin_follows():
    peer = Peer()
    handler = peer.established()
    handler.connection.send(peer.node.buffer(b"one"))
    handler.connection.send(peer.node.buffer(b"two"))
    handler.connection.close()
    sent = peer.take()
    assert [(bytes(segment.payload), str(segment.flags)) for segment in sent] == [(b"one", "PA"), (b"two", "FPA")]


def test_delayed_acknowledgment():
    peer = Peer()
    handler = peer.established()
    peer.ask()
    assert peer.send("PA", b"x" * 100) == []
    assert peer.wait(39 * MS) == []
    assert [segment.ack for segment in peer.wait(2 * MS)] == [peer.seq]
    peer.ask()
    assert peer.send("A", b"x" * 1460) == []
    assert len(peer.send("A", b"x" * 1460)) == 1  # every second full segment at once
    handler.connection.configure(TcpSettings(delayed_ack=False))
    assert len(peer.send("PA", b"x")) == 1


def test_out_of_order_data_is_acknowledged_at_once_and_kept():
    peer = Peer()
    handler = peer.established()
    peer.ask()
    handler.data.clear()
    handler.chains = 0
    start = peer.seq
    for offset in (4, 8, 2, 6):
        answer = peer.send("A", f"{offset}{offset}".encode(), seq=start + offset, advance=False)
        assert [segment.ack for segment in answer] == [start]
    answer = peer.send("A", b"00", seq=start)
    assert [segment.ack for segment in answer] == [start + 10]
    assert handler.data == b"0022446688"
    assert handler.chains == 1


def test_overlapping_data_is_delivered_once_and_first_copy_wins():
    peer = Peer()
    handler = peer.established()
    start = peer.seq
    peer.send("A", b"CD", seq=start + 2, advance=False)
    peer.send("A", b"ABXXEF", seq=start, advance=False)
    assert handler.data[:2] == b"AB"
    peer.send("A", b"zzzzEF", seq=start, advance=False)
    assert bytes(handler.data) in (b"ABXXEF", b"ABCDEF")


def test_timestamps_measure_and_reject_the_old():
    peer = Peer(timestamps=True)
    handler = peer.established()
    peer.tsval = 5000
    answer = peer.send("PA", b"new")
    assert dict(answer[0].options)["Timestamp"][1] == 5000
    peer.tsval = 4000
    peer.send("PA", b"old", advance=False)
    assert peer.drops() == {"old_timestamp": 1}
    peer.send("PA", b"none", advance=False, options=[])
    assert peer.drops() == {"old_timestamp": 1, "no_timestamp": 1}
    peer.tsval = 6000
    peer.send("PA", b"!")
    assert handler.data == b"new!"


def test_acknowledgment_of_the_unsent_is_refused():
    peer = Peer()
    handler = peer.established()
    answer = peer.send("A", ack=peer.ack + 1, advance=False)
    assert len(answer) == 1
    assert peer.send("PA", b"x", ack=(peer.ack - 100_000) & 0xFFFFFFFF, advance=False) == []  # too soon for another
    assert handler.data == b""
    assert peer.drops() == {"ack_out_of_range": 2}


def test_large_segments_are_cut_by_the_device_within_the_window():
    wire = Wire(largest_segment=65000, checksum_offload=True)
    connection, _, _, server = open_pair(wire)
    connection.send(wire.a.buffer(bytes(200_000)))
    given = wire.a.device.frames_given
    wire.run(lambda: len(server.data) == 200_000)
    carried = sum(len(frame) > 200 for frame in wire.a.frames)
    assert carried > 100
    assert wire.a.device.frames_given - given < carried / 3


def test_send_window_and_its_upcall():
    wire = Wire()
    connection, client, _, server = open_pair(wire)
    full = connection.send_window()
    assert full == 256 * 1024
    connection.send(wire.a.buffer(bytes(full)))
    assert connection.send_window() == 0
    wire.run(lambda: "window" in client.events)
    assert connection.send_window() >= full // 2
    wire.run(lambda: len(server.data) == full)


def test_headers_go_into_the_headroom_once():
    peer = Peer()
    handler = peer.established()
    iobuf = peer.node.buffer(b"abc")
    handler.connection.send(iobuf)
    assert iobuf.owns_headroom is False
    allocations = peer.node.allocator.statistics()["allocations"]
    again = peer.wait(0.3)  # retransmission: headers of its own, since the device may still read the first
    assert bytes(again[0].payload) == b"abc"
    assert peer.node.allocator.statistics()["allocations"] == allocations + 1


def test_a_thousand_connections_leave_nothing():
    def echo(handler, data):
        handler.connection.send(wire.b.buffer(data))

    wire = Wire(delay=1000)
    handlers = []
    served = []

    def accept(connection):
        served.append(Recorder(echo))
        return served[-1]

    wire.b.tcp.listen(PORT, accept, 1024)
    for _ in range(1000):
        handler = Recorder()
        handlers.append(handler)
        wire.a.tcp.connect(mapped(wire.b.address), PORT, handler).send(wire.a.buffer(b"ping"))
    wire.run(lambda: all(handler.data == b"ping" for handler in handlers))
    assert wire.b.tcp.statistics()["states"]["established"] == 1000
    for handler in handlers:
        handler.connection.close()
    wire.run(lambda: all("peer_closed" in handler.events for handler in served), seconds=10)
    for handler in served:
        handler.connection.close()
    wire.run()
    assert {handler.reason for handler in handlers + served} == {"closed"}
    # A node runs without garbage collection: reference counts alone must free connections and handlers.
    references = [weakref.ref(handler) for handler in handlers + served]
    gc.disable()
    del handler
    handlers.clear()
    served.clear()
    assert all(reference() is None for reference in references)
    gc.enable()
    for host in (wire.a, wire.b):
        statistics = host.tcp.statistics()
        assert statistics["connections"]["now"] == 0
        assert statistics["connections"]["timers"] == 0
        assert statistics["connections"]["handshakes"] == 0
        assert sum(statistics["states"].values()) == 0
        assert host.allocator.statistics()["allocated_bytes"] == 0


def test_ports():
    wire = Wire()
    wire.a.tcp.listen(80, lambda connection: Recorder())
    with pytest.raises(AddressInUseError, match="port 80"):
        wire.a.tcp.listen(80, lambda connection: Recorder())
    with pytest.raises(ValueError, match="not a TCP port"):
        wire.a.tcp.listen(0, lambda connection: Recorder())


def test_unreachable_ends_only_a_connection_that_is_not_open():
    peer = Peer()
    handler = peer.connecting()
    peer.unreachable(peer.node_port, peer.ack + 5)
    assert peer.state() == "syn_sent"
    peer.unreachable(peer.node_port, peer.ack - 1)
    assert handler.reason == "unreachable"
    peer = Peer()
    handler = peer.established()
    handler.connection.send(peer.node.buffer(b"x"))
    sequence = peer.take()[0].seq
    peer.unreachable(PORT, sequence)
    assert peer.state() == "established"


def test_exhausted_node_memory_is_survived():
    peer = Peer(memory=1 << 16)
    handler = peer.established()
    hoard = []
    while (buffer := peer.node.allocator.allocate(128)) is not None:
        hoard.append(buffer)
    kept = hoard.pop()  # one, for the received segment
    size = len(hoard)
    del kept
    handler.connection.close()
    handler.connection.abort()
    assert len(hoard) == size
    assert peer.state() == "closed"


@pytest.mark.parametrize("timestamps", [False, True])
def test_a_tiny_mss_is_raised_to_the_least_we_humour(timestamps):
    peer = Peer(timestamps=timestamps)
    peer.listen()
    options = [("MSS", 1), *peer.syn_options()[1:]]
    peer.send("S", options=options)
    peer.send("A")
    peer.handlers[0].connection.send(peer.node.buffer(bytes(200)))
    assert len(peer.take()[0].payload) == (76 if timestamps else 88)


def test_data_behind_a_hole_never_closes_the_window_for_the_hole():
    peer = Peer(received_buffer=512)
    handler = peer.established()
    start = peer.seq
    for number in range(1, 1200):  # small segments, each of which pins a whole receive buffer
        peer.send("A", bytes(100), seq=(start + 100 * number) & 0xFFFFFFFF, advance=False)
    assert peer.drops()["reassembly_full"] > 0
    answer = peer.send("A", bytes(100), seq=start, advance=False)[-1]
    assert answer.window > 0
    kept = 1199 - peer.drops()["reassembly_full"]
    assert answer.ack == (start + 100 * (kept + 1)) & 0xFFFFFFFF
    assert len(handler.data) == 100 * (kept + 1)


def test_ended_connections_do_not_wait_in_the_heap_of_timers():
    peer = Peer()
    peer.listen()
    for port in range(1, 201):
        peer.port = port
        peer.send("S", seq=0, options=peer.syn_options())
        peer.send("R", seq=1)
    assert peer.node.tcp.statistics()["connections"]["now"] == 0
    peer.node.tcp.poll(peer.clock.now())
    assert peer.node.tcp.statistics()["connections"]["timers"] <= 64


def test_timestamps_of_a_connection_idle_for_weeks_begin_anew():
    peer = Peer(timestamps=True)
    handler = peer.established()
    peer.wait(25 * 24 * 3600)
    peer.tsval = (peer.tsval - 5000) & 0xFFFFFFFF  # seems old, because the clock has gone half way round
    answer = peer.send("A", b"hello")
    assert handler.data == b"hello"
    assert dict(answer[-1].options)["Timestamp"][1] == peer.tsval
    peer.tsval -= 1
    peer.send("A", b"x")
    assert peer.drops() == {"old_timestamp": 1}
