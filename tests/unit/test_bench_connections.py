"""Many connections at once: an idle one takes at most 2 KiB, and what is measured is what there is."""

import pytest

from ebbrt import build
from netlab.bench import connections
from netlab.bench.connections import FEW, MOST_BYTES, Crowd


def test_every_request_of_a_crowd_is_answered():
    crowd = Crowd(20)
    for number in range(20):
        crowd.request(number)
    crowd.settle()
    tcp = crowd.stack.tcp.statistics()
    assert tcp["segments"]["bytes_received"] == tcp["segments"]["bytes_sent"] == 40 * len(connections.PAYLOAD)
    assert tcp["states"]["established"] == 20
    assert tcp["segments"]["retransmitted"] == 0
    assert sum(tcp["drops"].values()) == 0
    assert tcp["connections"]["timers"] == 0


def test_an_idle_connection_pins_no_node_memory():
    assert connections.node_memory_bytes(50) == 0


@pytest.mark.skipif(build.mode() != "compiled", reason="uncompiled objects are larger")
def test_an_idle_connection_of_ten_thousand_takes_at_most_two_kibibytes():
    taken = connections.object_bytes()
    assert 500 < taken <= MOST_BYTES


def test_both_crowds_are_timed_in_every_round(monkeypatch):
    monkeypatch.setattr(connections, "REQUESTS", 100)
    many, few = connections.request_times(2 * FEW, rounds=3)
    assert len(many) == len(few) == 3
    assert min(many + few) > 0
