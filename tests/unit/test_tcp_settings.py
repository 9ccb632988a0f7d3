"""What an application sets for a connection shows on the wire (``ebbrt.tcp_settings``)."""

import pytest

from ebbrt.tcp_settings import SECOND, SettingsError, TcpSettings
from tests.tcplink import Recorder, Wire, open_pair
from tests.tcppeer import PORT, Peer


def serving(settings: TcpSettings, **options: int) -> Peer:
    """A node that listens with those settings, and a peer that is connected."""
    peer = Peer(**options)

    def accept(connection):
        peer.handlers.append(Recorder())
        return peer.handlers[-1]

    peer.node.tcp.listen(PORT, accept, settings=settings)
    peer.send("S", options=peer.syn_options())
    peer.send("A")
    return peer


def payloads(segments) -> list[int]:
    return [len(segment.payload) for segment in segments]


def test_a_listeners_connections_inherit_its_settings():
    settings = TcpSettings(nagle=False, congestion_control="reno", keepalive=True)
    peer = serving(settings)
    connection = peer.handlers[0].connection
    assert connection.settings() is settings
    assert connection.congestion.name() == "reno"


def test_a_cork_holds_short_segments_until_it_is_drawn():
    peer = serving(TcpSettings(cork=True))
    connection = peer.handlers[0].connection
    connection.send(peer.node.buffer(bytes(100)))
    connection.send(peer.node.buffer(bytes(1400)))
    assert payloads(peer.take()) == [1460]
    connection.configure(TcpSettings(nagle=False))
    assert payloads(peer.take()) == [40]


def test_turning_nagle_off_flushes_under_a_cork():
    """As TCP_NODELAY does over kernel sockets (tcp(7)); what comes behind is held."""
    peer = serving(TcpSettings(cork=True))
    connection = peer.handlers[0].connection
    connection.send(peer.node.buffer(bytes(40)))
    assert peer.take() == []
    connection.configure(TcpSettings(cork=True, nagle=False))
    assert payloads(peer.take()) == [40]
    connection.send(peer.node.buffer(bytes(30)))
    assert peer.take() == []
    connection.configure(TcpSettings(cork=True, nagle=False, keepalive=True))
    assert peer.take() == []
    connection.configure(TcpSettings(cork=True))
    connection.disable_nagle()
    assert payloads(peer.take()) == [30]


def test_nagle_is_turned_off_in_an_upcall():
    peer = serving(TcpSettings(cork=True))
    handler = peer.handlers[0]

    def answer(data):
        handler.connection.send(peer.node.buffer(bytes(20)))
        handler.connection.disable_nagle()

    handler.receive = answer
    assert payloads(peer.send("PA", b"question")) == [20]


def test_a_cork_holds_nothing_longer_than_a_timeout():
    peer = serving(TcpSettings(cork=True))
    peer.handlers[0].connection.send(peer.node.buffer(b"late"))
    assert peer.take() == []
    assert payloads(peer.wait(0.3)) == [4]


def test_maximum_segment_asked_for_and_kept():
    peer = Peer()
    peer.node.tcp.listen(PORT, lambda connection: Recorder(), settings=TcpSettings(most_segment=600))
    answer = peer.send("S", options=peer.syn_options())[0]
    assert dict(answer.options)["MSS"] == 600
    handler = serving(TcpSettings(most_segment=600)).handlers[0]
    assert handler.connection.snd_mss == 600


@pytest.mark.parametrize(("most", "scale"), [(50_000, 0), (100_000, 1), (0, 7)])
def test_window_scale_is_chosen_for_the_largest_window(most, scale):
    peer = Peer()
    peer.node.tcp.listen(PORT, lambda connection: Recorder(), settings=TcpSettings(receive_buffer=most))
    answer = peer.send("S", options=peer.syn_options())[0]
    assert dict(answer.options)["WScale"] == scale
    assert answer.window == min(most or 65535, 65535)


def test_a_window_clamp_bounds_what_is_offered():
    peer = serving(TcpSettings(window_clamp=5000))
    assert peer.send("A", bytes(1000))[-1].window == 5000


def test_most_unsent_bounds_the_send_window():
    peer = serving(TcpSettings(most_unsent=1000, nagle=False))
    connection = peer.handlers[0].connection
    assert connection.send_window() == 1000
    connection.send(peer.node.buffer(bytes(14600 + 400)))  # 400 more than the initial window takes
    assert connection.send_window() == 600
    connection.send(peer.node.buffer(bytes(2000)))
    assert connection.send_window() == 0
    peer.take()
    peer.send("A")
    assert peer.handlers[0].events == ["connected", "window"]


def test_a_connection_attempt_ends_after_its_retransmissions():
    peer = Peer()
    handler = Recorder()
    peer.node.tcp.connect((0, 0xFFFF << 32 | peer.node.address + 1), 9, handler, TcpSettings(syn_retransmissions=2))
    peer.wait(6.9)
    assert handler.reason == ""
    peer.wait(0.2)
    assert handler.reason == "timeout"


def test_reset_on_close_throws_away_what_is_queued():
    peer = serving(TcpSettings(reset_on_close=True))
    handler = peer.handlers[0]
    peer.send("A", window=0)
    handler.connection.send(peer.node.buffer(b"never"))
    handler.connection.close()
    assert [str(segment.flags) for segment in peer.take()] == ["RA"]
    assert handler.reason == "aborted"


def test_a_peer_that_does_not_close_is_waited_for_as_long_as_was_set():
    peer = serving(TcpSettings(fin_wait_2_time=5 * SECOND))
    peer.handlers[0].connection.close()
    peer.take()
    peer.send("A")
    assert peer.state() == "fin_wait_2"
    peer.wait(4)
    peer.send("A", b"more")
    peer.wait(4)
    assert peer.state() == "fin_wait_2"
    peer.wait(2)
    assert peer.state() == "closed"


def test_what_brings_nothing_new_does_not_prolong_fin_wait_2():
    peer = serving(TcpSettings(fin_wait_2_time=5 * SECOND))
    peer.handlers[0].connection.close()
    peer.take()
    peer.send("A", b"data")
    for _ in range(3):
        peer.wait(1)
        peer.send("A")
        peer.send("A", b"data", seq=(peer.seq - 4) & 0xFFFFFFFF, advance=False)
        peer.send("A", b"far", seq=(peer.seq + 1000) & 0xFFFFFFFF, advance=False)  # behind a hole that nothing fills
    peer.wait(2.1)
    assert peer.state() == "closed"


def test_another_congestion_control_goes_on_from_the_same_window():
    wire = Wire()
    connection, _, _, server = open_pair(wire)
    connection.send(wire.a.buffer(bytes(200_000)))
    wire.run(lambda: len(server.data) > 60_000)
    window = connection.congestion.cwnd
    connection.configure(TcpSettings(congestion_control="reno"))
    assert connection.congestion.name() == "reno"
    assert connection.congestion.cwnd == window
    wire.run(lambda: len(server.data) == 200_000)


def test_the_differentiated_services_field_of_all_that_is_sent():
    wire = Wire()
    wire.a.tcp.engine.settings = TcpSettings(diffserv=46)
    connection, _, _, _ = open_pair(wire)
    connection.send(wire.a.buffer(b"expedited"))
    assert {frame[15] for frame in wire.a.frames} == {46 << 2}
    connection.configure(TcpSettings(diffserv=10))
    connection.send(wire.a.buffer(b"assured"))
    wire.run(seconds=1)
    assert wire.a.frames[-1][15] == 10 << 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("most_segment", 40),
        ("keepalive_idle", 1),
        ("keepalive_probes", 0),
        ("receive_buffer", 1 << 31),
        ("user_timeout", -1),
        ("fin_wait_2_time", 0),
    ],
)
def test_settings_that_no_connection_could_keep_are_refused(name, value):
    with pytest.raises(SettingsError, match=name):
        TcpSettings(**{name: value})
