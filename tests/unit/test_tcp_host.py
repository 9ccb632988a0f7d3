"""Clauses of RFC 9293 that hosts must keep and that no other file of tests is about; the row of each is in
docs/rfc/tcp-host.md."""

from itertools import pairwise

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from ebbrt.tcp_settings import TcpSettings
from stack.address import mapped
from tests.tcplink import Recorder, Wire
from tests.tcppeer import PEER_PORT, PORT, Peer
from tests.unit.test_tcp_settings import payloads, serving


def test_urgent_data_is_ordinary_data_wherever_the_pointer_points():
    """MUST-30 in part: the bytes are not lost, and nothing stalls (section 3.8.5)."""
    peer = Peer()
    handler = peer.established()
    for pointer, data in ((1, b"first "), (0, b"second "), (65535, b"third "), (3, b""), (9, b"last")):
        peer.send("UA", data, urgptr=pointer)
    assert handler.data == b"first second third last"
    assert peer.drops() == {}


def test_urgent_data_may_lie_behind_a_hole_and_end_with_a_fin():
    peer = Peer()
    handler = peer.established()
    start = peer.seq
    peer.send("UFA", b"urgent", seq=start + 4, urgptr=6, advance=False)
    peer.send("A", b"then", seq=start, advance=False)
    assert handler.data == b"thenurgent"
    assert handler.events == ["connected", "peer_closed"]


def test_options_are_taken_in_every_segment_at_any_alignment_and_unknown_ones_skipped():
    """MUST-4 to 7, 64, 68."""
    peer = Peer(timestamps=True)
    handler = peer.established()
    odd = [("NOP", None), (253, b"\x01\x02\x03"), ("Timestamp", (peer.tsval, 0)), ("EOL", None)]
    peer.send("A", b"taken", options=odd)
    assert handler.data == b"taken"


@pytest.mark.parametrize("mss", [None, 400, 1000])
def test_segments_are_as_long_as_the_peer_says_and_536_when_it_says_nothing(mss):
    """MUST-14 to 16."""
    peer = Peer()
    peer.listen()
    peer.send("S", options=[] if mss is None else [("MSS", mss)])
    peer.send("A")
    peer.handlers[0].connection.send(peer.node.buffer(bytes(1200)))
    assert payloads(peer.take())[0] == (mss or 536)


def test_every_syn_says_the_mss_and_no_other_segment_does():
    """MUST-65, SHLD-5."""
    peer = Peer()
    handler = peer.established(on_receive=lambda handler, data: handler.connection.send(peer.node.buffer(data)))
    answer = peer.send("A", b"echo")
    assert "MSS" not in dict(answer[0].options)
    assert handler.data == b"echo"
    other = Peer()
    other.connecting()
    again = other.wait(1.5)[0]
    assert dict(again.options)["MSS"] == 1460


def test_the_last_segment_of_what_is_queued_is_pushed():
    """MUST-61, SHLD-28."""
    peer = Peer()
    handler = peer.established()
    handler.connection.send(peer.node.buffer(bytes(3000)))
    sent = peer.take()
    sent += peer.send("A")
    assert payloads(sent) == [1460, 1460, 80]
    assert ["P" in segment.flags for segment in sent] == [False, False, True]


def test_received_data_is_delivered_without_a_push():
    peer = Peer()
    handler = peer.established()
    peer.send("A", b"no push")
    assert handler.data == b"no push"


def test_a_reset_is_taken_with_the_window_closed_and_with_data():
    """MUST-66, SHLD-2."""
    peer = serving(TcpSettings(receive_buffer=20_000))
    handler = peer.handlers[0]
    handler.connection.pause()
    while (answer := (peer.send("A", bytes(1460)) or peer.wait(0.1))[-1]).window:
        pass
    peer.send("RA", b"why", seq=answer.ack)
    assert handler.reason == "reset"


def test_a_window_of_65535_is_not_negative():
    """MUST-1."""
    peer = Peer()
    handler = peer.established()
    peer.send("A", window=65535)
    handler.connection.send(peer.node.buffer(bytes(20_000)))
    assert sum(payloads(peer.take())) >= 14_600


def test_a_window_that_shrinks_is_survived():
    """MUST-34, 35, SHLD-15, 16."""
    peer = Peer()
    handler = peer.established()
    handler.connection.send(peer.node.buffer(bytes(14_600)))
    first = peer.take()[0].seq
    peer.send("A", ack=first + 1460, window=1000)  # it had offered all of it
    handler.connection.send(peer.node.buffer(bytes(5000)))
    assert peer.take() == []  # nothing new goes beyond the shrunken window
    again = peer.wait(0.5)
    assert again[0].seq == first + 1460
    assert all((segment.seq + len(segment.payload) - first) & 0xFFFFFFFF <= 14_600 for segment in again)
    peer.ack = (first + 14_600) & 0xFFFFFFFF
    total = 0
    for _ in range(40):
        total += sum(payloads(peer.send("A", window=65535) + peer.wait(0.3)))
    assert peer.ack == (first + 19_600) & 0xFFFFFFFF


def test_a_sender_waits_for_a_window_that_is_worth_it():
    """MUST-38: less than a segment goes only when it is half of the largest window, all there is, or after a while."""
    peer = serving(TcpSettings(nagle=False))
    peer.send("A", window=100)
    peer.handlers[0].connection.send(peer.node.buffer(bytes(5000)))
    assert peer.take() == []
    assert payloads(peer.wait(0.3)) == [100]  # the override timeout
    assert payloads(peer.send("A", window=1459)) == []
    assert payloads(peer.send("A", window=1460)) == [1460]


def test_half_of_a_small_peers_window_is_worth_it():
    peer = Peer()
    peer.listen()
    peer.send("S", options=[("MSS", 1460)], window=1000)
    peer.send("A", window=1000)
    peer.handlers[0].connection.send(peer.node.buffer(bytes(5000)))
    assert payloads(peer.take()) == [1000]
    assert payloads(peer.send("A", window=499)) == []
    assert payloads(peer.send("A", window=500)) == [500]


def test_a_receiver_moves_its_window_by_a_segment_or_not_at_all():
    """MUST-39, SHLD-14."""
    peer = serving(TcpSettings(receive_buffer=20_000))
    handler = peer.handlers[0]
    handler.connection.pause()
    edges = []
    start = peer.seq
    for number in range(60):
        answers = peer.send("A", bytes(700)) or peer.wait(0.1)
        edges.append((answers[-1].ack + answers[-1].window - start) & 0xFFFFFFFF)
        if number == 40:
            handler.connection.resume()
            edges += [(answer.ack + answer.window - start) & 0xFFFFFFFF for answer in peer.take()]
    assert edges == sorted(edges)
    assert all(after - before == 0 or after - before >= 700 for before, after in pairwise(edges))


def test_queued_segments_wait_for_one_acknowledgment():
    """MUST-58: what fills a hole is acknowledged together with all that it joins up with."""
    peer = Peer()
    peer.established()
    peer.ask()
    start = peer.seq
    for number in (1, 2, 3):
        peer.send("A", bytes(1000), seq=(start + 1000 * number) & 0xFFFFFFFF, advance=False)
    answers = peer.send("A", bytes(1000), seq=start, advance=False)
    assert [answer.ack for answer in answers] == [(start + 4000) & 0xFFFFFFFF]


@pytest.mark.parametrize("destination", ["255.255.255.255", "198.18.0.255", "224.0.0.1"])
def test_a_syn_to_a_group_is_dropped_in_silence(destination):
    """MUST-57."""
    peer = Peer()
    peer.listen()
    packet = IP(src="198.18.0.2", dst=destination) / TCP(sport=PEER_PORT, dport=PORT, flags="S", seq=1)
    peer.node.receive(bytes(Ether(src="02:00:00:00:00:02", dst="ff:ff:ff:ff:ff:ff") / packet))
    assert peer.take() == []
    assert peer.state() == "closed"


@pytest.mark.parametrize("source", ["0.0.0.0", "255.255.255.255", "198.18.0.255", "224.0.0.1", "127.0.0.1"])
def test_a_syn_from_no_host_is_dropped_in_silence(source):
    """MUST-63."""
    peer = Peer()
    peer.listen()
    packet = IP(src=source, dst="198.18.0.1") / TCP(sport=PEER_PORT, dport=PORT, flags="S", seq=1)
    peer.node.receive(bytes(Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / packet))
    assert peer.take() == []
    assert peer.state() == "closed"


def test_data_flows_on_after_our_close_until_the_peers():
    """Half close: section 3.6, case 1."""
    peer = Peer()
    handler = peer.established()
    handler.connection.close()
    peer.take()
    for number in range(5):
        peer.send("A", b"%d" % number)
        peer.wait(40)  # five times, longer in all than FIN-WAIT-2 lasts without any
    assert handler.data == b"01234"
    peer.send("FA")
    assert peer.state() == "time_wait"
    assert handler.reason == "closed"


def test_data_flows_on_after_the_peers_close_until_ours():
    """Half close: section 3.6, case 2."""
    peer = Peer()
    handler = peer.established()
    peer.send("FA")
    assert peer.state() == "close_wait"
    handler.connection.send(peer.node.buffer(b"still here"))
    assert bytes(peer.take()[0].payload) == b"still here"
    peer.wait(0.1)
    handler.connection.close()
    assert "F" in peer.take()[-1].flags or "F" in peer.send("A")[-1].flags
    peer.send("A")
    assert handler.reason == "closed"


def test_listening_is_possible_beside_connections_that_are_being_opened():
    """MUST-41, 42."""
    peer = Peer()
    peer.connecting()
    peer.node.tcp.listen(peer.node_port, lambda connection: None)  # the port that the attempt is made from
    assert peer.state() == "syn_sent"
    answer = peer.send("SA", options=peer.syn_options())
    assert [str(segment.flags) for segment in answer] == ["A"]


def test_a_damaged_segment_is_dropped():
    """MUST-3."""
    peer = Peer()
    handler = peer.established()
    peer.send("A", b"damaged", chksum=0x1234, advance=False)
    assert handler.data == b""
    assert peer.drops() == {"bad_checksum": 1}
    peer.send("A", b"whole")
    assert handler.data == b"whole"


def test_a_window_that_shrinks_to_nothing_is_probed():
    """MUST-35."""
    peer = Peer()
    handler = peer.established()
    handler.connection.send(peer.node.buffer(bytes(2920)))
    first = peer.take()[0].seq
    peer.send("A", ack=first, window=0)  # it takes back what it had offered
    for _ in range(30):
        peer.wait(30)
        peer.send("A", ack=first, window=0)
    assert peer.state() == "established"
    sent = peer.send("A", ack=first, window=65535) + peer.wait(60)
    assert sent[0].seq == first
    assert sum(payloads(sent)) >= 2920


def test_a_short_segment_waits_for_short_ones_only():
    """SHLD-7, with Minshall's change: a full segment in flight holds nothing back."""
    peer = Peer()
    connection = peer.established().connection
    connection.send(peer.node.buffer(bytes(1460 + 100)))
    assert payloads(peer.take()) == [1460, 100]
    connection.send(peer.node.buffer(bytes(50)))
    connection.send(peer.node.buffer(bytes(1460)))
    assert payloads(peer.take()) == [1460]  # a full one goes at any time
    assert payloads(peer.send("A", ack=(peer.ack - 1460 - 50) & 0xFFFFFFFF)) == []  # the 100 are not acknowledged yet
    assert payloads(peer.send("A")) == [50]


@pytest.mark.parametrize("buffer", [1200, 3000, 20_000])
@pytest.mark.parametrize("every", [0.001, 0.01])
def test_a_slow_reader_holds_nobody_up(buffer, every):
    """Few reads are told of in a segment of their own, yet the peer never has to ask (section 3.8.6.1)."""
    wire = Wire()
    served = []

    def accept(connection) -> Recorder:
        served.append(Recorder(lambda handler, data: handler.connection.pause()))
        return served[-1]

    wire.b.tcp.listen(PORT, accept, settings=TcpSettings(receive_buffer=buffer))
    client = Recorder()
    wire.a.tcp.connect(mapped(wire.b.address), PORT, client)
    wire.run(lambda: bool(served), seconds=1)
    client.connection.send(wire.a.buffer(bytes(100_000)))
    reads = 0
    while len(served[0].data) < 100_000 and reads < 1000:
        wire.run(seconds=every)
        served[0].connection.resume()
        reads += 1
    segments = wire.a.tcp.statistics()["segments"]
    assert len(served[0].data) == 100_000
    assert segments["zero_window_probes"] == segments["retransmission_timeouts"] == 0


def test_many_small_reads_of_a_large_window_are_not_told_of():
    peer = Peer()
    handler = peer.established(on_receive=lambda handler, data: handler.connection.pause())
    peer.ask()
    for _ in range(20):
        answers = peer.send("A", bytes(1460)) + peer.send("A", bytes(1460))
        assert len(answers) == 1
        handler.connection.resume()
        handler.connection.resume()
        assert peer.take() == []
