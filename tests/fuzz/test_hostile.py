"""A node under attack, in the simulation; ``python -m tests.fuzz.hostile`` does the same for as long as one likes."""

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import ARP, Ether

from tests.fuzz.hostile import packets
from tests.fuzz.hostile.arena import Arena

A, B = bytes((198, 18, 0, 1)), bytes((198, 18, 0, 2))
MAC_A, MAC_B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")


@pytest.mark.parametrize("seed", [1, 2])
def test_a_node_under_attack_serves_on_and_keeps_nothing_of_it(seed: int) -> None:
    arena = Arena(seed)
    arena.run(10_000)
    before = arena.sizes()
    arena.run(10_000)
    after = arena.sizes()
    assert len(arena.outcomes) > 2, "the honest peer got nowhere"
    assert after["node memory"] < before["node memory"] + 256 * 1024
    arena.settle()
    assert arena.problems() == []
    drops = arena.victim.stack.statistics()["tcp"]["drops"]
    for reason in ("blind_reset", "old_timestamp", "no_timestamp", "ack_out_of_range", "unexpected_syn", "no_ack"):
        assert drops[reason] > 10, f"the attack never came as far as {reason}"


def test_a_seed_fixes_the_attack() -> None:
    def statistics() -> dict[str, object]:
        arena = Arena(5)
        arena.run(2_000)
        return arena.victim.stack.statistics()

    assert statistics() == statistics()


def test_the_attackers_frames_are_what_scapy_takes_them_for() -> None:
    chance = random.Random(1)
    options = packets.timestamps(7, 9)
    segment = packets.tcp(A, B, (80, 81), 5, 6, packets.ACK | packets.PSH, 99, options, chance.randbytes(101), 3)
    frame = packets.ethernet(MAC_B, MAC_A, packets.ipv4(A, B, packets.PROTOCOL_TCP, segment, number=7))
    dissected = Ether(frame)
    assert (dissected[IP].src, dissected[IP].dst, dissected[IP].id) == ("198.18.0.1", "198.18.0.2", 7)
    assert (dissected[TCP].sport, dissected[TCP].seq, dissected[TCP].ack, dissected[TCP].urgptr) == (80, 5, 6, 3)
    assert dissected[TCP].options == [("NOP", None), ("NOP", None), ("Timestamp", (7, 9))]
    for layer in (IP, TCP):
        given = dissected[layer].chksum
        again = dissected.copy()
        del again[layer].chksum
        assert Ether(bytes(again))[layer].chksum == given
    quoted = packets.ipv4(A, B, 6, b"12345678")
    error = Ether(packets.ethernet(MAC_B, MAC_A, packets.ipv4(B, A, 1, packets.icmp(3, 4, 1400, quoted))))
    assert (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu) == (3, 4, 1400)
    assert packets.checksum(bytes(error[ICMP])) == 0
    reply = Ether(packets.arp_reply(MAC_A, A, MAC_B, B))
    assert (reply[ARP].op, reply[ARP].hwsrc, reply[ARP].psrc, reply[ARP].pdst) == (
        2,
        "02:00:00:00:00:0a",
        "198.18.0.1",
        "198.18.0.2",
    )
