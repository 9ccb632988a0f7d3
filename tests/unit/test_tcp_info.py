"""``info`` says what is so, under Linux's names, in Linux's units (``stack.tcp.info``)."""

import pytest

from ebbrt.sockets.options import INFO_NAMES
from ebbrt.tcp_settings import TcpSettings
from tests.tcplink import MILLISECOND, Recorder, Wire, open_pair
from tests.tcppeer import Peer
from tests.unit.test_tcp_states import OPEN_STATES, peer_in

LINUX_STATES = {
    "established": 1, "syn_sent": 2, "syn_received": 3, "fin_wait_1": 4, "fin_wait_2": 5, "time_wait": 6,
    "close_wait": 8, "last_ack": 9, "closing": 11,
}  # fmt: skip


def established(**options):
    peer = Peer(**options)
    return peer, peer.established().connection


@pytest.mark.parametrize("state", OPEN_STATES)
def test_states_have_linuxs_numbers(state):
    peer = peer_in(state)
    (connection,) = peer.node.tcp.engine.connections
    assert connection.info()["tcpi_state"] == LINUX_STATES[state]


def test_all_names_are_those_of_the_kernel():
    _, connection = established()
    beyond = {"tcpi_snd_wscale", "tcpi_rcv_wscale", "tcpi_snd_wnd"}  # two share a byte; the third came with Linux 5.4
    assert set(connection.info()) <= set(INFO_NAMES) | beyond


def test_a_new_connection():
    _, connection = established(timestamps=True)
    info = connection.info()
    assert info["tcpi_snd_mss"] == info["tcpi_advmss"] == 1448
    assert info["tcpi_pmtu"] == 1500
    assert info["tcpi_snd_cwnd"] == 10
    assert info["tcpi_snd_ssthresh"] == 0x7FFFFFFF
    assert info["tcpi_rto"] >= 200_000
    assert info["tcpi_ato"] == 0  # no data has come
    assert info["tcpi_options"] == 1 | 4
    assert (info["tcpi_snd_wscale"], info["tcpi_rcv_wscale"]) == (0, 7)
    assert info["tcpi_ca_state"] == 0


def test_what_is_in_flight_and_what_waits():
    peer, connection = established()
    connection.send(peer.node.buffer(bytes(20_000)))
    sent = peer.take()
    info = connection.info()
    assert info["tcpi_unacked"] == len(sent) == 10
    assert info["tcpi_notsent_bytes"] == 20_000 - 14_600
    assert info["tcpi_data_segs_out"] == 10
    peer.send("A", ack=(sent[0].seq + 2920) & 0xFFFFFFFF)
    info = connection.info()
    assert info["tcpi_bytes_acked"] == 2920
    assert info["tcpi_snd_wnd"] == 65535


def test_retransmissions_under_way_and_in_all():
    peer, connection = established()
    connection.send(peer.node.buffer(b"lost"))
    before = connection.info()
    peer.wait(0.7)  # after 0.2 and 0.6 s
    info = connection.info()
    assert (info["tcpi_retransmits"], info["tcpi_backoff"], info["tcpi_total_retrans"]) == (2, 2, 2)
    assert info["tcpi_rto"] == 4 * before["tcpi_rto"]
    assert info["tcpi_ca_state"] == 4
    peer.send("A")
    info = connection.info()
    assert (info["tcpi_retransmits"], info["tcpi_total_retrans"]) == (0, 2)


def test_before_any_data_the_times_count_from_the_handshake():
    wire = Wire(delay=25 * MILLISECOND)
    connection, _, receiving, _ = open_pair(wire)
    wire.run(seconds=2)
    for info in (connection.info(), receiving.info()):
        assert info["tcpi_last_data_sent"] == info["tcpi_last_data_recv"] == info["tcpi_last_ack_recv"]
        assert 2000 <= info["tcpi_last_data_recv"] <= 2050
    assert (connection.info()["tcpi_bytes_acked"], receiving.info()["tcpi_bytes_acked"]) == (1, 0)  # the SYN's
    assert (connection.info()["tcpi_segs_in"], receiving.info()["tcpi_segs_in"]) == (1, 2)


def test_what_is_lost_stays_lost_until_it_has_arrived():
    peer, connection = established()
    connection.send(peer.node.buffer(bytes(14_600)))
    peer.wait(0.3)
    info = connection.info()  # a timeout: the first is sent again, the rest has to wait
    assert (info["tcpi_unacked"], info["tcpi_lost"], info["tcpi_retrans"]) == (10, 10, 1)
    assert info["tcpi_ca_state"] == 4


def test_a_fin_is_no_segment_of_its_own_behind_data():
    peer, connection = established()
    connection.send(peer.node.buffer(bytes(11 * 1460)))
    connection.close()
    sent = peer.take()
    assert connection.info()["tcpi_unacked"] == 10
    peer.send("A", ack=(sent[0].seq + 14_600) & 0xFFFFFFFF)
    info = connection.info()
    assert (info["tcpi_unacked"], info["tcpi_state"]) == (1, 4)
    peer.send("FA")
    info = connection.info()
    assert (info["tcpi_bytes_acked"], info["tcpi_bytes_received"]) == (11 * 1460 + 1, 1)  # both FINs are counted


def test_probes_of_a_closed_window():
    peer, connection = established()
    peer.send("A", window=0)
    connection.send(peer.node.buffer(b"patience"))
    peer.wait(0.7)
    info = connection.info()
    assert info["tcpi_probes"] == info["tcpi_backoff"] == 2
    assert info["tcpi_retransmits"] == 0


def test_round_trips_are_in_microseconds():
    wire = Wire(delay=25 * MILLISECOND)
    connection, _, receiving, server = open_pair(wire)
    for _ in range(20):
        connection.send(wire.a.buffer(bytes(100)))
        wire.run(seconds=1)
    info = connection.info()
    assert 50_000 <= info["tcpi_rtt"] <= 90_000 + 1
    assert info["tcpi_last_data_sent"] >= 900
    assert info["tcpi_last_data_recv"] >= 20_000  # acknowledgments are no data
    received = receiving.info()
    assert 900 <= received["tcpi_last_data_recv"] <= 1000
    assert received["tcpi_ato"] == 40_000
    assert received["tcpi_bytes_received"] == len(server.data) == 2000
    assert received["tcpi_data_segs_in"] == 20
    assert received["tcpi_segs_in"] >= 21


def test_what_is_set_shows():
    peer = Peer()
    handler = Recorder()
    settings = TcpSettings(receive_buffer=100_000, most_rate=1_000_000, most_segment=1000)
    peer.node.tcp.connect((0, 0xFFFF << 32 | peer.node.address + 1), 9, handler, settings)
    info = handler.connection.info()
    assert info["tcpi_rcv_ssthresh"] == 100_000
    assert info["tcpi_max_pacing_rate"] == 1_000_000
    assert info["tcpi_advmss"] == 1000 - 12


def test_of_an_ended_connection_nothing_is_known():
    _, connection = established()
    connection.abort()
    assert connection.info() == {}
