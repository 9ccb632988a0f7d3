"""Attacks by somebody who does not see the connection (RFC 5961), old duplicates (RFC 7323 section 5), and ISNs."""

import pytest

from stack.tcp.isn import flow_bytes, initial_numbers
from tests.tcplink import SECOND
from tests.tcppeer import Peer

SECRET = b"sixteen byte key"
WINDOW = 65535


def established(timestamps: bool = False) -> Peer:
    peer = Peer(timestamps=timestamps)
    peer.established()
    return peer


@pytest.mark.parametrize("offset", [1, 1000, WINDOW - 1])
def test_a_reset_in_the_window_is_challenged_and_the_peers_answer_to_that_is_taken(offset):
    peer = established()
    challenge = peer.send("R", seq=(peer.seq + offset) & 0xFFFFFFFF, advance=False)
    assert [(str(segment.flags), segment.ack) for segment in challenge] == [("A", peer.seq)]
    peer.send("R", seq=challenge[0].ack)  # a peer that has really forgotten answers so
    assert peer.handlers[0].reason == "reset"


@pytest.mark.parametrize("offset", [-1, 300_000, 0x7FFFFFFF])
def test_a_reset_outside_the_window_is_dropped_in_silence(offset):
    peer = established()
    assert peer.send("R", seq=(peer.seq + offset) & 0xFFFFFFFF, advance=False) == []
    assert peer.drops() == {"blind_reset": 1}


@pytest.mark.parametrize("offset", [-100_000, -1, 0, 1, 1_000_000])
def test_a_syn_is_challenged_wherever_it_lies(offset):
    peer = established()
    challenge = peer.send("S", seq=(peer.seq + offset) & 0xFFFFFFFF, advance=False)
    assert [(str(segment.flags), segment.ack) for segment in challenge] == [("A", peer.seq)]
    assert peer.send("S", seq=(peer.seq + offset) & 0xFFFFFFFF, advance=False) == []  # too soon for another
    assert peer.state() == "established"


@pytest.mark.parametrize(("offset", "taken"), [(1, False), (0, True), (-WINDOW, True), (-WINDOW - 1, False)])
def test_data_counts_only_with_an_acknowledgment_near_ours(offset, taken):
    peer = established()
    handler = peer.handlers[0]
    handler.connection.send(peer.node.buffer(bytes(4)))
    peer.take()
    peer.send("A")
    peer.send("PA", b"data", ack=(peer.ack + offset) & 0xFFFFFFFF, advance=False)
    assert handler.data == (b"data" if taken else b"")
    if not taken:
        assert peer.drops() == {"ack_out_of_range": 1}


def test_challenges_are_limited_for_each_connection_and_tell_nothing_of_others():
    """A limit they share lets an attacker count other people's challenges (CVE-2016-5696)."""
    peer = established()
    first = peer.port, peer.seq, peer.ack
    peer.port, peer.seq, peer.ack = 40001, 1, 0
    peer.send("S", options=peer.syn_options())
    peer.send("A")
    for _ in range(500):
        peer.send("R", seq=peer.seq + 5, advance=False)
    assert peer.node.tcp.statistics()["segments"]["challenge_acks"] == 1
    peer.port, peer.seq, peer.ack = first
    assert len(peer.send("R", seq=(peer.seq + 5) & 0xFFFFFFFF, advance=False)) == 1
    peer.clock.advance(SECOND)
    assert len(peer.send("R", seq=(peer.seq + 5) & 0xFFFFFFFF, advance=False)) == 1


def test_two_ends_that_disagree_do_not_acknowledge_each_other_for_ever():
    peer = established()
    answers = [peer.send("A", seq=(peer.seq + 900_000) & 0xFFFFFFFF, advance=False) for _ in range(100)]
    assert sum(map(len, answers)) == 1


def test_a_reset_is_not_subject_to_timestamps():
    peer = established(timestamps=True)
    peer.tsval -= 500
    peer.send("R")
    assert peer.handlers[0].reason == "reset"


def test_a_timestamp_that_wraps_is_newer():
    peer = Peer(timestamps=True)
    peer.tsval = 0xFFFFFFFE
    handler = peer.established()
    peer.tsval = 3
    peer.send("PA", b"new")
    peer.tsval = 0xFFFFFFFF
    peer.send("PA", b"old", advance=False)
    assert handler.data == b"new"
    assert peer.drops() == {"old_timestamp": 1}


def echo_of(segment) -> int:
    return dict(segment.options)["Timestamp"][1]


def test_only_a_segment_that_is_next_changes_what_is_echoed():
    peer = established(timestamps=True)
    start, first = peer.seq, peer.tsval
    peer.tsval = first + 10
    duplicate = peer.send("A", b"zz", seq=(start + 2) & 0xFFFFFFFF, advance=False)[0]  # behind a hole
    assert echo_of(duplicate) == first
    peer.tsval = first + 20
    assert echo_of(peer.send("A", b"aa", seq=start, advance=False)[0]) == first + 20
    peer.tsval = first + 5  # older than what is echoed now: an old duplicate
    peer.send("A", seq=(start + 4) & 0xFFFFFFFF, advance=False)
    assert peer.drops() == {"old_timestamp": 1}


def test_of_segments_that_one_acknowledgment_answers_the_first_is_echoed():
    peer = established(timestamps=True)
    peer.ask()
    peer.tsval = first = peer.tsval + 10
    assert peer.send("PA", b"one") == []
    peer.tsval += 10
    answer = peer.send("PA", b"two")
    assert echo_of(answer[0]) == first


def in_time_wait(timestamps: bool) -> Peer:
    peer = established(timestamps=timestamps)
    peer.handlers[0].connection.close()
    peer.take()
    peer.send("FA")
    assert peer.state() == "time_wait"
    return peer


@pytest.mark.parametrize(
    ("newer_timestamp", "newer_sequence", "opens"),
    [(1, 1000, True), (1, -1000, True), (0, 1000, True), (0, -1000, False), (-1, 1000, False), (None, 1000, True),
     (None, -1000, False)],
)  # fmt: skip
def test_time_wait_gives_way_to_a_newer_timestamp_or_sequence_number(newer_timestamp, newer_sequence, opens):
    peer = in_time_wait(True)
    options = peer.syn_options()[:2]
    if newer_timestamp is not None:
        options.append(("Timestamp", (peer.tsval + newer_timestamp, 0)))
    peer.send("S", seq=(peer.seq + newer_sequence) & 0xFFFFFFFF, options=options)
    assert peer.state() == ("syn_received" if opens else "time_wait")


@pytest.mark.parametrize("flags", ["R", "RA", "A", "PA", "FA"])
def test_nothing_old_cuts_time_wait_short(flags):
    """RFC 1337: not a reset, and not an old duplicate that brings an answer and with that a reset."""
    peer = in_time_wait(False)
    peer.send(flags, b"old" if flags == "PA" else b"", seq=(peer.seq - 3) & 0xFFFFFFFF, advance=False)
    peer.send(flags, advance=False)
    assert peer.state() == "time_wait"
    assert peer.handlers[0].reason == "closed"


def test_the_new_incarnation_begins_behind_the_old_one():
    peer = in_time_wait(False)
    old = peer.ack
    peer.clock.advance(SECOND)
    answer = peer.send("S", seq=(peer.seq + 5) & 0xFFFFFFFF, options=peer.syn_options())[-1]
    assert 0 < (answer.seq - old) & 0xFFFFFFFF < 0x80000000


def test_initial_sequence_numbers_grow_for_a_flow_and_say_nothing_of_another():
    flow = flow_bytes(0, 1, 80, 0, 2, 5000)
    first, offset = initial_numbers(SECRET, flow, 0)
    assert initial_numbers(SECRET, flow, 4000) == ((first + 1) & 0xFFFFFFFF, offset)
    assert initial_numbers(SECRET, flow, SECOND)[0] == (first + 250_000) & 0xFFFFFFFF
    others = [initial_numbers(SECRET, flow_bytes(0, 1, 80, 0, 2, port), 0) for port in range(5001, 5200)]
    others += [initial_numbers(bytes(15) + bytes([number]), flow, 0) for number in range(200)]
    assert len({sequence >> 16 for sequence, _ in others}) > 380
    assert len({offset >> 16 for _, offset in others}) > 380
