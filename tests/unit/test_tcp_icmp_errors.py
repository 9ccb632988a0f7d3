"""What ICMP errors may do to connections (RFC 5927, RFC 5461): little, and only if they quote what is in flight."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import Ether

from stack.constants import (
    ERROR_PARAMETER,
    ERROR_PORT,
    ERROR_PROHIBITED,
    ERROR_PROTOCOL,
    ERROR_TIME_EXCEEDED,
    ERROR_UNREACHABLE,
)
from tests.tcppeer import PORT, Peer

HARD = [ERROR_PORT, ERROR_PROTOCOL, ERROR_PROHIBITED]
SOFT = [ERROR_UNREACHABLE, ERROR_TIME_EXCEEDED, ERROR_PARAMETER]


def sending() -> tuple[Peer, int]:
    """A peer that has not acknowledged data of the node, and its sequence number."""
    peer = Peer()
    peer.established().connection.send(peer.node.buffer(b"lost"))
    return peer, peer.take()[0].seq


@pytest.mark.parametrize("kind", HARD + SOFT)
def test_an_open_connection_survives_every_error(kind):
    peer, sequence = sending()
    assert peer.unreachable(PORT, sequence, kind) == []
    assert peer.state() == "established"
    assert peer.handlers[0].events == ["connected"]
    assert [segment.seq for segment in peer.wait(0.3)] == [sequence]


@pytest.mark.parametrize("kind", HARD + SOFT)
def test_the_error_is_the_reason_when_retransmitting_was_in_vain(kind):
    peer, sequence = sending()
    peer.unreachable(PORT, sequence, kind)
    peer.wait(1000)
    assert peer.handlers[0].reason == "unreachable"


def test_an_error_from_before_the_last_acknowledgment_is_no_reason():
    peer, sequence = sending()
    peer.unreachable(PORT, sequence)
    peer.send("A")
    peer.handlers[0].connection.send(peer.node.buffer(b"more"))
    peer.wait(1000)
    assert peer.handlers[0].reason == "timeout"


@pytest.mark.parametrize("offset", [-1, 4])
def test_an_error_about_what_is_not_in_flight_is_ignored(offset):
    peer, sequence = sending()
    peer.unreachable(PORT, (sequence + offset) & 0xFFFFFFFF)
    assert peer.node.tcp.statistics()["segments"]["icmp_errors_ignored"] == 1
    peer.wait(1000)
    assert peer.handlers[0].reason == "timeout"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(ERROR_PORT, "refused"), (ERROR_PROTOCOL, "refused"), (ERROR_PROHIBITED, "unreachable"),
     (ERROR_UNREACHABLE, "unreachable")],
)  # fmt: skip
def test_an_attempt_to_connect_is_ended(kind, reason):
    peer = Peer()
    handler = peer.connecting()
    peer.unreachable(peer.node_port, (peer.ack - 2) & 0xFFFFFFFF, kind)
    assert handler.reason == ""
    peer.unreachable(peer.node_port, (peer.ack - 1) & 0xFFFFFFFF, kind)
    assert handler.reason == reason


@pytest.mark.parametrize("kind", [ERROR_TIME_EXCEEDED, ERROR_PARAMETER])
def test_an_attempt_to_connect_outlives_an_error_that_may_pass(kind):
    peer = Peer()
    handler = peer.connecting()
    peer.unreachable(peer.node_port, (peer.ack - 1) & 0xFFFFFFFF, kind)
    assert peer.state() == "syn_sent"
    peer.wait(200)
    assert handler.reason == "unreachable"


def test_a_handshake_with_nobody_is_ended():
    peer = Peer()
    peer.listen()
    answer = peer.send("S", options=peer.syn_options())[0]
    peer.unreachable(PORT, answer.seq)
    assert peer.state() == "closed"
    assert peer.node.tcp.statistics()["connections"]["handshakes"] == 0


@pytest.mark.parametrize(("kind", "reason"), [(4, ""), (3, "refused")])
def test_source_quench_is_ignored_on_the_wire_and_port_unreachable_is_not(kind, reason):
    peer = Peer()
    handler = peer.connecting()
    syn = IP(src="198.18.0.1", dst="198.18.0.2") / TCP(sport=peer.node_port, dport=peer.port, seq=peer.ack - 1)
    error = IP(src="198.18.0.2", dst="198.18.0.1") / ICMP(type=kind, code=3 if kind == 3 else 0) / bytes(syn)
    peer.node.receive(bytes(Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01") / error))
    assert handler.reason == reason
