"""IPv4's identification tells nobody anything: not how much we send to others, nor what comes next (RFC 6864)."""

import random
from itertools import pairwise

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from stack.ipv4.identification import MAX_DESTINATIONS, Identifications
from tests.fakes import make_frame
from tests.stack_harness import NODE, NODE_LINK, PEER, Harness
from tests.unit.test_ip_packets import Recorder

TARGET = "198.18.0.9"
TARGET_LINK = "02:00:00:00:00:09"
SECRET = b"sixteen byte key"
HERE, THERE, ELSEWHERE = 0xC6120002, 0xC6120003, 0xC6120004


def probes() -> list[Packet]:
    """What an idle scanner asks its zombie with, and other packets that are answered."""
    header = IP(src=PEER, dst=NODE)
    return [
        header / TCP(sport=1, dport=80, flags="SA", seq=1, ack=1),
        header / TCP(sport=1, dport=80, flags="S"),
        header / ICMP() / Raw(b"ping"),
        header / UDP(dport=9),
        IP(src=PEER, dst=NODE, proto=99) / Raw(b"12345678"),
    ]


def identification_of_answer(harness: Harness, probe: Packet) -> int:
    harness.give_ip(probe)
    (answer,) = [frame[IP] for frame in harness.take() if frame[IP].dst == PEER]
    assert answer.flags == "DF"
    return int(answer.id)


@pytest.mark.parametrize("probe", probes(), ids=["syn-ack", "syn", "echo", "port", "protocol"])
def test_an_idle_scan_learns_nothing(probe: Packet) -> None:
    """The scanner asks, forges SYNs to a target in our name, and asks again: did we answer the target meanwhile?"""
    for answers in (0, 1, 7):
        harness = Harness()
        harness.introduce(TARGET, TARGET_LINK)
        before = identification_of_answer(harness, probe)
        for _ in range(answers):
            forged = IP(src=TARGET, dst=NODE) / TCP(sport=80, dport=1, flags="SA", seq=1, ack=1)
            harness.give(Ether(src=TARGET_LINK, dst=NODE_LINK) / forged)
        assert len(harness.take()) == answers
        assert (before, identification_of_answer(harness, probe)) == (0, 0)


def long_pings(harness: Harness, count: int) -> list[int]:
    """The identifications of our answers, which do not fit in one packet."""
    seen = []
    for number in range(count):
        for part in fragment(IP(src=PEER, dst=NODE, id=number) / ICMP() / Raw(bytes(2000)), 1480):
            harness.give_ip(part)
        frames = harness.take()
        assert len({frame[IP].id for frame in frames}) == 1
        assert not any(frame[IP].flags.DF for frame in frames)
        seen.append(int(frames[0][IP].id))
    return seen


def test_fragments_to_one_host_do_not_tell_what_is_sent_to_others() -> None:
    quiet, busy = Harness(), Harness()
    busy.introduce(TARGET, TARGET_LINK)
    socket = busy.stack.udp.bind(7, Recorder())
    expected = long_pings(quiet, 20)
    seen = []
    for _ in range(20):
        seen += long_pings(busy, 1)
        assert socket.send(make_frame(busy.allocator, bytes(2000)), TARGET, 9)
        busy.take()
    assert seen == expected


def test_no_number_comes_again_before_all_others_and_none_can_be_foreseen() -> None:
    numbers = Identifications(random.Random(1), SECRET)
    cycle = [numbers.next(HERE, THERE) for _ in range(0x10000)]
    assert len(set(cycle)) == 0x10000
    assert numbers.next(HERE, THERE) == cycle[0]
    steps = [(after - before) & 0xFFFF for before, after in pairwise(cycle)]
    assert len(set(steps)) > 0x8000, "steps of few sizes can be guessed"
    another = Identifications(random.Random(1), b"another key")
    assert [another.next(HERE, THERE) for _ in range(8)] != cycle[:8]
    assert [Identifications(random.Random(1), SECRET).next(HERE, ELSEWHERE) for _ in range(8)] != cycle[:8]


def test_the_cores_of_a_node_never_send_the_same() -> None:
    cores = [Identifications(random.Random(1), SECRET, core * 0x4000, core * 0x4000 + 0x3FFF) for core in range(4)]
    assert len({core.next(HERE, THERE) for core in cores for _ in range(0x4000)}) == 0x10000


def test_what_is_kept_is_bounded() -> None:
    numbers = Identifications(random.Random(1), SECRET)
    for destination in range(2 * MAX_DESTINATIONS):
        numbers.next(HERE, destination)
    assert len(numbers._counters) == MAX_DESTINATIONS
