"""Loss recovery over a wire: what is lost is found and sent again, without waiting, and no more than that."""

import hashlib
import random

import pytest

from ebbrt.tcp_settings import TcpSettings
from tests.tcplink import HEADERS, MILLISECOND, SECOND, Wire, open_pair

MSS = 1448
DELAY = 25 * MILLISECOND  # a round trip of 50 ms


def payload_of(frame: bytes) -> tuple[int, int]:
    """Sequence number and payload length of a frame."""
    sequence = int.from_bytes(frame[38:42], "big")
    total = int.from_bytes(frame[16:18], "big")
    return sequence, total - 20 - (frame[HEADERS + 12] >> 4) * 4


class Loser:
    """Drops chosen data segments of the client, counted from 0 by first transmission; ``times``: how often each."""

    def __init__(self, wire: Wire, lost: dict[int, int]) -> None:
        self.wire = wire
        self.lost = dict(lost)
        self.numbers: dict[int, int] = {}
        self.times: list[tuple[int, int]] = []  # when, and the number of the segment
        wire.drop = self.drop

    def drop(self, frame: bytes, sender) -> bool:
        sequence, length = payload_of(frame)
        if sender is not self.wire.a or length == 0:
            return False
        number = self.numbers.setdefault(sequence, len(self.numbers))
        self.times.append((self.wire.clock.now(), number))
        if self.lost.get(number, 0) == 0:
            return False
        self.lost[number] -= 1
        return True

    def resent(self) -> list[int]:
        """The numbers of the segments that were sent again, in order."""
        seen: set[int] = set()
        again = []
        for _, number in self.times:
            if number in seen:
                again.append(number)
            seen.add(number)
        return again


def transfer(segments: int, lost: dict[int, int], sack: bool = True, warm: int = 0, **options):
    """Send ``segments`` full segments, after ``warm`` ones to open the window: wire, loser, seconds, counters."""
    wire = Wire(delay=DELAY, **options)
    wire.a.tcp.engine.sack = sack
    connection, _, _, server = open_pair(wire)
    if warm:
        connection.send(wire.a.buffer(bytes(warm * MSS)))
        wire.run(lambda: len(server.data) == warm * MSS)
        wire.run(seconds=0.05)
    loser = Loser(wire, lost)
    data = random.Random(1).randbytes(segments * MSS)
    start = wire.clock.now()
    connection.send(wire.a.buffer(data))
    wire.run(lambda: len(server.data) == warm * MSS + len(data), seconds=100)
    assert server.data[warm * MSS :] == data
    seconds = (wire.clock.now() - start) / SECOND
    wire.run(seconds=0.3)
    return loser, seconds, wire.a.tcp.statistics()["segments"]


@pytest.mark.parametrize("sack", [True, False])
def test_a_single_loss_takes_one_round_trip_more(sack):
    loser, seconds, counters = transfer(10, {2: 1}, sack)
    assert loser.resent() == [2]
    assert seconds < 0.08
    assert counters["fast_retransmits"] == 1
    assert counters["retransmission_timeouts"] == 0


@pytest.mark.parametrize(("lost", "times"), [(61, 1), (61, 2), (75, 1), (101, 1)])
def test_a_retransmission_at_one_instant_with_new_data_is_not_taken_for_older(lost, times):
    """All that arrives in a round trip arrives at one instant here: first ACKs of new data, then of the hole."""
    loser, _, counters = transfer(200, {lost: times}, warm=20)
    assert loser.resent() == [lost] * times
    assert counters["retransmission_timeouts"] == counters["dsacks_received"] == 0


def test_a_burst_is_mended_in_one_round_trip_with_sack():
    loser, seconds, counters = transfer(10, {1: 1, 2: 1, 4: 1, 5: 1}, warm=20)
    assert loser.resent() == [1, 2, 4, 5]
    assert seconds < 0.13
    assert counters["fast_retransmits"] == 1
    assert counters["retransmission_timeouts"] == counters["loss_probes"] == 0


def test_without_sack_each_hole_takes_a_round_trip():
    loser, seconds, counters = transfer(10, {1: 1, 3: 1, 5: 1}, sack=False)
    assert loser.resent() == [1, 3, 5]
    assert 0.17 < seconds < 0.2
    assert counters["fast_retransmits"] == 1
    assert counters["retransmission_timeouts"] == 0


@pytest.mark.parametrize("lost", [{9: 1}, {8: 1, 9: 1}, {5: 1, 6: 1, 7: 1, 8: 1, 9: 1}])
def test_a_lost_tail_is_found_by_a_probe(lost):
    loser, seconds, counters = transfer(10, lost)
    assert sorted(set(loser.resent())) == sorted(lost)
    assert counters["loss_probes"] == 1
    assert counters["retransmission_timeouts"] == 0
    assert seconds < 0.4  # the probe, after two round trips (and a delayed ACK if one segment is out); then the rest


def test_a_probe_that_mends_the_loss_still_reduces_the_window():
    _, _, counters = transfer(10, {9: 1})
    assert counters["loss_probes"] == 1
    wire = Wire(delay=DELAY)
    connection, _, _, server = open_pair(wire)
    Loser(wire, {9: 1})
    connection.send(wire.a.buffer(bytes(10 * MSS)))
    wire.run(lambda: len(server.data) == 10 * MSS)
    wire.run(seconds=0.05)
    before = connection.congestion.cwnd
    connection.send(wire.a.buffer(bytes(MSS)))
    wire.run(seconds=0.3)
    assert connection.congestion.cwnd < before
    assert wire.a.tcp.statistics()["segments"]["probe_recoveries"] == 1


def test_a_retransmission_that_is_lost_is_sent_again_without_a_timeout():
    loser, seconds, counters = transfer(150, {2: 2}, warm=40)
    assert loser.resent() == [2, 2]
    assert counters["retransmission_timeouts"] == 0
    assert seconds < 0.3


def test_everything_lost_comes_back_after_a_timeout():
    _, seconds, counters = transfer(10, dict.fromkeys(range(10), 2))
    assert counters["retransmission_timeouts"] >= 1
    assert seconds < 3
    assert counters["retransmitted"] <= 25


@pytest.mark.parametrize("sack", [True, False])
@pytest.mark.parametrize("controller", ["cubic", "reno"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_five_percent_loss_completes_with_equal_bytes(seed, controller, sack):
    wire = Wire(seed, delay=5 * MILLISECOND, loss=0.05, reorder=0.02, duplicate=0.01)
    for host in (wire.a, wire.b):
        host.tcp.engine.settings = TcpSettings(congestion_control=controller)
    wire.a.tcp.engine.sack = sack
    connection, client, _, server = open_pair(wire)
    data = random.Random(seed).randbytes(250_000)
    connection.send(wire.a.buffer(data))
    connection.close()
    wire.run(lambda: "peer_closed" in server.events)
    assert hashlib.sha256(server.data).digest() == hashlib.sha256(data).digest()
    server.connection.close()
    wire.run()
    assert client.reason == server.reason == "closed"
    assert wire.a.allocator.statistics()["allocated_bytes"] == 0


def test_reordering_is_learnt_and_then_causes_no_retransmission():
    wire = Wire(3, delay=DELAY)
    connection, _, _, server = open_pair(wire)
    carry = wire.a.device.carry
    held: list[bytes] = []
    count = 0

    def swap(frame: bytes) -> None:
        nonlocal count
        count += payload_of(frame)[1] > 0
        if held:
            carry(frame)
            carry(held.pop())
        elif count % 10 == 5:
            held.append(frame)
        else:
            carry(frame)

    wire.a.device.carry = swap
    for _ in range(6):
        connection.send(wire.a.buffer(bytes(20 * MSS)))
        wire.run(seconds=1)
    assert len(server.data) == 120 * MSS
    counters = wire.a.tcp.statistics()["segments"]
    assert wire.b.tcp.statistics()["segments"]["out_of_order"] > 5
    assert counters["retransmitted"] == 0


def test_large_segments_are_cut_where_they_are_lost():
    loser, _, counters = transfer(60, {20: 1, 21: 1, 40: 1}, warm=100, largest_segment=65000, checksum_offload=True)
    assert loser.resent() == [20, 21, 40]
    assert counters["retransmission_timeouts"] == 0
