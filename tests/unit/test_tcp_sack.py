"""Selective acknowledgment as a receiver sends it: the examples of RFC 2018 section 4 and RFC 2883 section 4."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.tcppeer import Peer

SEGMENT = 500
MASK = 0xFFFFFFFF


class SackPeer(Peer):
    """Numbers its bytes as the RFCs' examples do; ``acks`` are (acknowledgment, blocks) in these numbers.

    Acknowledgments that may wait do, so that what is answered at once has its reason in the hole or the duplicate.
    """

    def __init__(self, first: int, timestamps: bool = False) -> None:
        super().__init__(timestamps)
        self.established()
        self.ask()
        self.base = (self.seq - first) & MASK

    def syn_options(self) -> list:
        return [*super().syn_options(), ("SAckOK", b"")]

    def segment(self, start: int, end: int) -> list[tuple[int, list[int]]]:
        """Send the bytes [start, end); what the node acknowledges at once."""
        data = bytes(number & 0xFF for number in range(start, end))
        return self.numbered(self.send("A", data, seq=(self.base + start) & MASK, advance=False))

    def numbered(self, segments) -> list[tuple[int, list[int]]]:
        acks = []
        for segment in segments:
            blocks = dict(segment.options).get("SAck", ())
            acks.append(((segment.ack - self.base) & MASK, [(edge - self.base) & MASK for edge in blocks]))
        return acks


def test_sack_permitted_is_agreed_in_the_syn():
    with_sack = Peer()
    with_sack.listen()
    answer = with_sack.send("S", options=[("MSS", 1460), ("SAckOK", b"")])[0]
    assert ("SAckOK", b"") in answer.options
    without = Peer()
    without.listen()
    answer = without.send("S", options=[("MSS", 1460)])[0]
    assert ("SAckOK", b"") not in answer.options
    without.send("A")
    assert without.send("A", b"later", seq=without.seq + 100)[0].options == []


def test_rfc2018_case_2_the_first_segment_is_lost():
    peer = SackPeer(5000)
    for number in range(1, 8):
        end = 5000 + SEGMENT * (number + 1)
        assert peer.segment(end - SEGMENT, end) == [(5000, [5500, end])]


def test_rfc2018_case_3_every_second_segment_is_lost():
    peer = SackPeer(5000)
    peer.segment(5000, 5500)
    assert peer.segment(6000, 6500) == [(5500, [6000, 6500])]
    assert peer.segment(7000, 7500) == [(5500, [7000, 7500, 6000, 6500])]
    assert peer.segment(8000, 8500) == [(5500, [8000, 8500, 7000, 7500, 6000, 6500])]
    assert peer.segment(6500, 7000) == [(5500, [6000, 7500, 8000, 8500])]
    assert peer.segment(5500, 6000) == [(7500, [8000, 8500])]


def test_three_blocks_fit_beside_timestamps_and_four_without():
    for timestamps, most in ((True, 3), (False, 4)):
        peer = SackPeer(0, timestamps)
        for number in range(1, 7):
            acks = peer.segment(number * 100, number * 100 + 50)
        assert acks == [(0, [edge for n in range(6, 6 - most, -1) for edge in (n * 100, n * 100 + 50)])]


def test_rfc2883_section_4_1_1_a_duplicate_segment():
    peer = SackPeer(3000)
    peer.segment(3000, 3500)
    peer.segment(3500, 4000)
    assert peer.segment(3000, 3500) == [(4000, [3000, 3500])]
    assert peer.segment(4500, 5000) == [(4000, [4500, 5000])]  # the duplicate was reported, once


def test_rfc2883_section_4_1_2_a_duplicate_beside_a_hole():
    peer = SackPeer(3000)
    peer.segment(3000, 3500)
    peer.segment(3500, 4000)
    peer.segment(4500, 5000)
    assert peer.segment(3000, 3500) == [(4000, [3000, 3500, 4500, 5000])]


def test_rfc2883_section_4_1_3_a_duplicate_of_data_out_of_order():
    peer = SackPeer(4000)
    peer.segment(4500, 5000)
    assert peer.segment(5000, 5500) == [(4000, [4500, 5500])]
    assert peer.segment(5000, 5500) == [(4000, [5000, 5500, 4500, 5500])]


@pytest.mark.parametrize("start", [500, 1000])
def test_rfc2883_section_4_2_a_partial_duplicate(start):
    peer = SackPeer(500)
    peer.segment(500, 1500)
    peer.segment(2000, 2500)
    assert peer.segment(start, 2000) == [(2500, [start, 1500])]


def test_sack_rides_on_short_data_and_follows_full_segments():
    peer = SackPeer(0)
    connection = peer.handlers[0].connection
    connection.pause()
    peer.segment(500, 1000)
    connection.send(peer.node.buffer(b"short"))
    assert peer.numbered(peer.take()) == [(0, [500, 1000])]
    peer.handlers[0].on_receive = lambda handler, data: handler.connection.send(peer.node.buffer(bytes(1460)))
    connection.resume()
    peer.send("A", seq=(peer.base + 2000) & 0xFFFFFFFF, advance=False)
    assert peer.segment(1500, 2000) == [(0, [1500, 2000, 500, 1000])]
    assert peer.segment(0, 500) == [(1000, []), (1000, [1500, 2000])]


def test_rfc2883_section_4_the_next_segment_covers_what_was_kept():
    peer = SackPeer(0)
    assert peer.segment(500, 1000) == [(0, [500, 1000])]
    assert peer.segment(0, 800) == [(1000, [500, 800])]
    assert peer.segment(1500, 2000) == [(1000, [1500, 2000])]
    assert peer.segment(1000, 2400) == [(2400, [1500, 2000])]
    assert peer.node.tcp.statistics()["segments"]["dsacks_sent"] == 2


def test_rfc2883_section_4_2_3_of_two_parts_the_first_is_reported():
    peer = SackPeer(0)
    for start in (500, 1000):
        peer.segment(start, start + 200)
    assert peer.segment(600, 1100) == [(0, [600, 700, 500, 1200])]
    peer.segment(1300, 1400)
    assert peer.segment(0, 1500) == [(1500, [500, 1200])]


def test_what_arrives_twice_is_reported_if_it_was_kept_and_never_else():
    """Random segments at a small buffer that is not always read: a D-SACK tells of bytes that are there, of no others.

    That they are there is seen from what was acknowledged, or reported before.
    """
    chance = random.Random(2883)
    told = 0
    for _ in range(12):
        peer = SackPeer(0)
        connection = peer.handlers[0].connection
        connection.configure(replace(connection.settings(), receive_buffer=8192))
        kept = set()
        for _ in range(40):
            chance.choice([connection.pause, connection.resume, lambda: None])()
            peer.take()
            arrived = (connection.rcv_nxt - peer.base) & MASK
            start = max(arrived + chance.randrange(-1500, 4000), 0)
            end = start + chance.randrange(1, 1460)
            for ack, blocks in peer.segment(start, end):
                pairs = list(pairwise_edges(blocks))
                if pairs and (pairs[0][0] < ack or (len(pairs) > 1 and pairs[1][0] <= pairs[0][0] < pairs[1][1])):
                    left, right = pairs.pop(0)
                    assert start <= left < right <= end
                    assert all(byte < arrived or byte in kept for byte in range(left, right))
                    told += 1
                kept.update(*(range(left, right) for left, right in pairs))
    assert told > 80


def pairwise_edges(blocks: list[int]) -> Iterator[tuple[int, int]]:
    return zip(blocks[::2], blocks[1::2], strict=True)
