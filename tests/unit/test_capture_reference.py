"""The recordings that are kept: they read as their sidecars say, and tshark counts what we count."""

import itertools
import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from scapy.packet import Packet

from captures.diff import summarise, total
from captures.flows import read_trace
from captures.record import requests_of
from captures.replay_plan import plan_replay
from tests.conversation import EVERY_NS, Conversation, in_vlans, over_ipv6, save

REFERENCE = Path(__file__).parents[2] / "captures" / "reference" / "memcached-linux.pcapng"
MS = 1_000_000


FIELDS = (
    "tcp.analysis.retransmission",
    "tcp.analysis.out_of_order",
    "tcp.analysis.duplicate_ack",
    "tcp.analysis.zero_window",
    "tcp.analysis.keep_alive",
    "tcp.analysis.keep_alive_ack",
    "tcp.flags.reset",
)


def tshark_counts(path: Path) -> dict[str, int]:
    asked = [word for field in FIELDS for word in ("-e", field)]
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *asked]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    columns = zip(*(line.split("\t") for line in lines), strict=True)
    return {
        field: sum(value not in ("", "0", "False") for value in column)
        for field, column in zip(FIELDS, columns, strict=True)
    }


def our_counts(path: Path) -> dict[str, int]:
    trace = read_trace(path)
    sides = [side for connection in trace.connections for side in (connection.client, connection.server)]
    return {
        "tcp.analysis.retransmission": total(sides, "retransmissions"),
        "tcp.analysis.out_of_order": total(sides, "out_of_order"),
        "tcp.flags.reset": total(sides, "resets"),
        "tcp.analysis.duplicate_ack": total(sides, "duplicate_acks"),
        "tcp.analysis.zero_window": total(sides, "zero_windows"),
        "tcp.analysis.keep_alive": total(sides, "keep_alives"),
        "tcp.analysis.keep_alive_ack": total(sides, "keep_alive_acks"),
    }


needs_tshark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def test_the_reference_is_what_its_sidecar_says() -> None:
    about = json.loads(REFERENCE.with_name(REFERENCE.name + ".json").read_text())
    trace = read_trace(REFERENCE)
    assert trace.packets == about["packets"]
    assert about["dropped"] == 0
    summary = summarise(trace, 11211)
    assert (len(summary.connections), summary.requests, summary.notes) == (16, 200, [])
    assert REFERENCE.stat().st_size < 300_000


def test_the_reference_holds_what_the_seeded_client_says() -> None:
    sent = sorted(bytes(connection.client.stream) for connection in read_trace(REFERENCE).connections)
    counts = [200 // 16 + (number < 200 % 16) for number in range(16)]
    assert sent == sorted(b"".join(requests_of(number, count, 1, 32)) for number, count in enumerate(counts))


def test_the_reference_can_be_replayed() -> None:
    plan = plan_replay(read_trace(REFERENCE), 11211)
    assert (sum(len(step.exchanges) for step in plan.steps), plan.unanswered) == (200, 0)


def troubled() -> tuple[Conversation, list[int]]:
    """Loss, reordering, duplicates, keep-alives, a zero window, a reset; and when each packet passed."""
    talk = Conversation(client_isn=0xFFFF_FFF0).handshake()
    talk.client(bytes(50)).client(bytes(50)).server(bytes(10))
    talk.add(True, 200, bytes(100), "PA").add(True, 100, bytes(100), "PA")  # 7, 8: reordered
    talk.sent[True] = 300
    talk.add(False, 10)
    talk.add(True, 250, bytes(50), "PA")  # 10: acknowledged before
    talk.add(True, 400, bytes(100), "PA")  # 11: after a loss
    talk.add(False, 10).add(False, 10).add(False, 10)  # 12-14: duplicates
    talk.add(True, 300, bytes(100), "PA")  # 15: fast retransmission
    talk.sent[True] = 500
    talk.add(False, 10, window=0)
    talk.add(True, 499, b"").add(True, 499, bytes(1))  # 17, 18: keep-alives
    talk.add(False, 10, window=600)
    talk.add(True, 499, b"").add(False, 10, window=600)  # 20, 21: a keep-alive and its answer
    talk.client(bytes(100)).client(bytes(100))  # 22, 23
    talk.add(True, 500, bytes(200), "PA")  # 24: after a time-out, both together
    talk.add(False, 0, bytes(10), "PA")  # 25
    talk.add(True, 900, bytes(10), "PA")  # 26
    talk.add(True, 700, bytes(200), "PA")  # 27: late
    talk.sent[True] = 910
    talk.add(False, 10).add(False, 10, flags="R")
    times = [index * EVERY_NS for index in range(len(talk.packets))]
    for index in range(23, len(times)):
        times[index] += 300 * MS
    for index in range(26, len(times)):
        times[index] += 50 * MS
    return talk, times


@needs_tshark
def test_tshark_counts_the_same_in_a_troubled_connection(tmp_path: Path) -> None:
    talk, times = troubled()
    path = save(tmp_path / "troubled.pcap", talk.packets, times)
    ours = our_counts(path)
    assert ours == tshark_counts(path)
    assert all(ours.values()), f"the capture lacks one of the troubles: {ours}"


@needs_tshark
@pytest.mark.parametrize("rewrite", [over_ipv6, lambda packet: in_vlans(packet, 7, 9)], ids=["IPv6", "QinQ"])
def test_tshark_counts_the_same_whatever_carries_it(tmp_path: Path, rewrite: Callable[[Packet], Packet]) -> None:
    talk, times = troubled()
    path = save(tmp_path / "troubled.pcap", [rewrite(packet) for packet in talk.packets], times)
    assert our_counts(path) == tshark_counts(path)
    assert all(our_counts(path).values())


@needs_tshark
def test_tshark_counts_the_same_in_the_reference() -> None:
    assert our_counts(REFERENCE) == tshark_counts(REFERENCE)


def troubled_at_random(seed: int) -> tuple[Conversation, list[int]]:
    """Both sides talk; of what they say some is lost to the capture, doubled, late, or said again."""
    chance = random.Random(seed)
    talk = Conversation(client_isn=chance.randrange(1 << 32)).handshake()
    for _ in range(40):
        what, from_client = chance.random(), chance.random() < 0.5
        said = [packet for packet in talk.packets[3:] if (packet["TCP"].sport != 11211) == from_client]
        if what < 0.6:
            (talk.client if from_client else talk.server)(bytes(chance.randrange(1, 200)))
        elif what < 0.8 or not said:
            talk.add(from_client, talk.sent[from_client], window=chance.choice([500, 500, 500, 0, 600]))
        else:
            talk.packets.append(chance.choice(said))
    for _ in range(chance.randrange(6)):
        at = chance.randrange(3, len(talk.packets) - 1)
        packet = talk.packets[at] if chance.random() < 0.3 else talk.packets.pop(at)
        if chance.random() < 0.7:
            talk.packets.insert(at + chance.randrange(1, 6), packet)
    talk.packets = [packet.copy() for packet in talk.packets]  # so that each has a time of its own
    gaps = [EVERY_NS * chance.choice([1, 1, 1, 1, 1, 5, 50, 3000]) for _ in talk.packets]
    return talk, list(itertools.accumulate(gaps))


@needs_tshark
@pytest.mark.parametrize("seed", range(6))
def test_tshark_counts_the_same_at_random(tmp_path: Path, seed: int) -> None:
    """But that Wireshark 4.0 may call a segment sent again out of order: see ``flows._is_out_of_order``."""
    talk, times = troubled_at_random(seed)
    path = save(tmp_path / "troubled.pcap", talk.packets, times)
    ours, theirs = our_counts(path), tshark_counts(path)
    for counts in (ours, theirs):
        counts["again or late"] = counts.pop("tcp.analysis.retransmission") + counts.pop("tcp.analysis.out_of_order")
    assert ours == theirs
