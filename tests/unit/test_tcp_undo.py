"""What a sender concludes from acknowledgments that a test writes by hand: undo, F-RTO, D-SACK, hostile blocks."""

import random

from ebbrt.constants import FOREVER
from stack.tcp.constants import MOST_RECORDS
from stack.tcp.sent import Sent
from tests.tcppeer import Peer

MSS = 1460
MASK = 0xFFFFFFFF


class SackingPeer(Peer):
    """A peer that has agreed to SACK. ``start``: the sequence number of the node's first byte."""

    def __init__(self, timestamps: bool = False, segments: int = 8, **options) -> None:
        super().__init__(timestamps, **options)
        self.listen()
        self.send("S", options=self.syn_options())
        self.wait(0.02)  # the round trip
        self.send("A")
        self.handler = self.handlers[0]
        self.connection = self.handler.connection
        self.start = self.ack
        self.mss = self.connection.snd_mss
        self.connection.send(self.node.buffer(bytes(segments * self.mss)))
        self.first = self.take()

    def syn_options(self) -> list:
        return [*super().syn_options(), ("SAckOK", b"")]

    def acknowledge(self, segments: float, *blocks: tuple[float, float], echo: int = 0) -> list[int]:
        """ACK so many segments, with SACK blocks, all counted in segments: the numbers of what the node sends."""
        options: list = []
        if self.timestamps:
            self.tsval += 1
            options += [("Timestamp", (self.tsval, echo))]
        if blocks:
            options += [("SAck", tuple(self.number(edge) for block in blocks for edge in block))]
        answers = self.send("A", ack=self.number(segments), options=options)
        return self.numbers(answers)

    def number(self, segments: float) -> int:
        return (self.start + int(segments * self.mss)) & MASK

    def numbers(self, segments) -> list[int]:
        return [((one.seq - self.start) & MASK) // self.mss for one in segments if len(one.payload)]

    def counters(self) -> dict[str, int]:
        return self.node.tcp.statistics()["segments"]


def echo_of(segment) -> int:
    return dict(segment.options)["Timestamp"][0]


def test_rack_marks_lost_with_three_segments_sacked():
    peer = SackingPeer()
    assert peer.acknowledge(0, (1, 2)) == []
    assert peer.acknowledge(0, (1, 3)) == []
    assert peer.acknowledge(0, (1, 4)) == [0]


def test_the_reordering_timer_finds_what_fewer_sacks_leave_open():
    peer = SackingPeer()
    assert peer.acknowledge(0, (1, 2)) == []
    assert peer.numbers(peer.wait(0.03)) == [0]
    assert peer.counters()["loss_probes"] == 0


def test_dsacks_for_all_that_was_sent_again_undo_the_reduction():
    peer = SackingPeer()
    before = peer.connection.congestion.cwnd
    assert peer.acknowledge(0, (1, 4)) == [0]
    assert peer.connection.congestion.ssthresh < before
    peer.acknowledge(8, (0, 1))  # the original was only late: the retransmission came twice
    assert peer.counters()["undone_by_dsack"] == 1
    assert peer.connection.congestion.cwnd >= before


def test_an_echo_of_an_older_timestamp_undoes_the_reduction():
    peer = SackingPeer(timestamps=True)
    before = peer.connection.congestion.cwnd
    original = echo_of(peer.first[0])
    peer.wait(0.005)
    for block in ((1, 2), (1, 3), (1, 4)):
        peer.acknowledge(0, block, echo=original)
    assert peer.connection.congestion.ssthresh < before
    peer.acknowledge(8, echo=original)
    assert peer.counters()["undone_by_timestamps"] == 1
    assert peer.connection.congestion.cwnd >= before


def test_frto_takes_a_spurious_timeout_back():
    peer = SackingPeer()
    peer.acknowledge(0, (0, 0))  # an empty block is nothing
    before = peer.connection.congestion.cwnd
    assert 7 in peer.numbers(peer.wait(0.15))  # the probe
    assert 0 in peer.numbers(peer.wait(0.4))
    assert peer.counters()["retransmission_timeouts"] == 1
    assert peer.connection.congestion.cwnd == peer.mss
    peer.acknowledge(3)  # 1 and 2 were never sent again
    assert peer.counters()["undone_by_frto"] == 1
    assert peer.connection.congestion.cwnd >= before
    assert peer.counters()["retransmitted"] == 2


def test_frto_sends_new_data_and_believes_the_timeout_when_it_is_sacked():
    peer = SackingPeer(segments=30)
    sent = len(peer.first)
    assert sent == 10
    peer.wait(0.15)
    peer.wait(0.4)
    assert peer.counters()["retransmission_timeouts"] == 1
    new = peer.acknowledge(1)  # exactly what was sent again
    assert new == [11, 12]  # step 2b: new data; 10 was the probe
    again = peer.acknowledge(1, (11, 12))
    assert again[0] == 1
    assert peer.counters()["undone_by_frto"] == 0


def test_blocks_that_cannot_be_true_are_ignored():
    peer = SackingPeer()
    sent = peer.connection
    for block in ((9, 10), (7, 9), (3, 2), (-5, -4), (-1, 1), (2**20, 2**20 + 1)):
        peer.acknowledge(0, (1, 2), block)
    assert sent.sent.sacked_bytes == peer.mss
    assert sent.sent.lost_bytes == 0
    assert peer.counters()["sack_blocks_ignored"] == 6


def test_a_block_below_the_acknowledgment_is_a_dsack_and_no_more():
    peer = SackingPeer()
    peer.acknowledge(2)
    peer.acknowledge(2, (0, 1))
    peer.acknowledge(2, (-1000, -999))  # older than any window
    assert peer.counters()["dsacks_received"] == 1
    assert peer.counters()["sack_blocks_ignored"] == 1


def test_every_other_byte_costs_bounded_memory_and_loses_nothing():
    peer = SackingPeer(segments=10)
    for at in range(1, 1600, 8):
        blocks = [(at + 2 * n, at + 2 * n + 1) for n in range(4)]
        edges = tuple((peer.start + edge) & MASK for block in blocks for edge in block)
        peer.send("A", ack=peer.start, options=[("SAck", edges)])
    assert peer.connection.sent.sacked_bytes == 800
    peer.acknowledge(10)
    peer.wait(5)
    assert peer.connection.flight() == 0
    assert peer.connection.sent is None


def test_beyond_the_most_records_blocks_are_ignored_and_segments_share_one():
    sent = Sent()
    sent.clear(0)
    sent.append(20_000, 1, False)
    sent.begin(2, 0, FOREVER)
    for at in range(1, 12_000, 2):
        sent.sack(at, at + 1, MSS)
    assert sent.count == MOST_RECORDS
    assert sent.sacked_bytes == MOST_RECORDS // 2 - 1
    sent.append(21_000, 2, False)
    assert sent.count == MOST_RECORDS
    sent.acknowledge(20_500)
    assert (sent.count, sent.end) == (1, 21_000)
    sent.acknowledge(21_000)
    assert (sent.count, sent.sacked_bytes) == (0, 0)


def test_limited_transmit_sends_new_data_for_the_first_two_duplicates():
    peer = Peer()
    handler = peer.established()
    start = peer.ack
    handler.connection.send(peer.node.buffer(bytes(MSS * 20)))
    assert len(peer.take()) == 10
    new = [len(peer.send("A", ack=start)) for _ in range(2)]
    assert new == [1, 1]
    third = peer.send("A", ack=start)
    assert third[0].seq == start


def test_a_receiver_that_reneges_is_sent_everything_again():
    peer = SackingPeer(segments=4)
    peer.acknowledge(0, (1, 4))
    peer.wait(0.001)
    peer.acknowledge(1)  # it has forgotten what it said of the rest
    again = peer.numbers(peer.wait(1))
    assert again[0] == 1
    answer = peer.acknowledge(2)
    assert answer == [2, 3]


def test_the_records_agree_with_a_byte_by_byte_model():
    rng = random.Random(5)
    for _ in range(60):
        base = rng.choice([0, 0xFFFFFF00, 12345])
        sent = Sent()
        sent.clear(base)
        states: list[str] = []
        una = 0
        for step in range(120):
            action = rng.randrange(5)
            if action <= 1 or len(states) == una:
                length = rng.randrange(1, 40)
                states += ["f"] * length
                sent.append((base + len(states)) & MASK, step, False)
                continue
            left = rng.randrange(una, len(states))
            right = rng.randrange(left, len(states)) + 1
            sent.begin(step, 0, FOREVER)
            if action == 2:
                una = left
                sent.acknowledge((base + una) & MASK)
            elif action == 3:
                sent.sack((base + left) & MASK, (base + right) & MASK, 10)
                states[left:right] = "s" * (right - left)
            elif rng.randrange(4) == 0:
                reneged = states[una] == "s"
                sent.lose_all()
                states[una:] = ["s" if s == "s" and not reneged else "l" for s in states[una:]]
                if sent.lost_bytes:
                    length = sent.lost_length(rng.randrange(1, 30))
                    start = (sent.lost_start() - base) & MASK
                    assert states[start : start + length] == ["l"] * length
                    sent.resend(length, step)
                    states[start : start + length] = ["f"] * length
            assert sent.sacked_bytes == states[una:].count("s")
            assert sent.lost_bytes == states[una:].count("l")


def test_the_wait_for_the_timer_is_no_round_trip_when_an_acknowledgment_was_lost():
    peer = SackingPeer(timestamps=True, segments=1)
    before = peer.connection.rtt.srtt
    assert peer.numbers(peer.wait(0.5)) == [0, 0]  # the probe, and after the timeout
    peer.acknowledge(1, echo=echo_of(peer.first[0]))
    assert peer.connection.rtt.srtt == before


def test_bytes_behind_a_hole_that_was_filled_late_measure_nothing():
    sent = Sent()
    sent.clear(0)
    sent.append(10, 0, False)
    sent.append(20, 0, False)
    sent.lose_first(10)
    sent.resend(10, 100)
    sent.begin(105, 50, FOREVER)  # too early to be the answer to what was sent again
    sent.acknowledge(20)
    assert sent.ambiguous
