"""The same seeded operations in the compiled and in the plain build give the same results, step by step.

Each ``operations_*`` function runs in both builds, in a process of its own, and yields what it saw; to extend the
comparison, add one and name it in ``OPERATIONS``.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

MASK = 0xFFFFFFFF
ROOT = Path(__file__).parent.parent.parent


def operations_memory(chance: random.Random) -> Iterator[object]:
    from ebbrt.memory import Buffer, MemoryAllocator, NodeMemory

    allocator = MemoryAllocator(NodeMemory(1 << 20))
    live: list[Buffer] = []
    for _ in range(2000):
        if live and chance.random() < 0.45:
            live.pop(chance.randrange(len(live)))
        else:
            buffer = allocator.allocate(chance.randrange(0, 1 << chance.randrange(1, 22)))
            yield buffer and (buffer.offset, buffer.size())
            if buffer is not None:
                live.append(buffer)
            del buffer
    yield allocator.statistics()


def operations_iobuf(chance: random.Random) -> Iterator[object]:
    from ebbrt.iobuf import allocate
    from ebbrt.memory import MemoryAllocator, NodeMemory

    allocator = MemoryAllocator(NodeMemory(1 << 20))
    for _ in range(200):
        chain = allocate(allocator, 50, 100)
        assert chain is not None
        chain.write(0, chance.randbytes(50))
        for _ in range(chance.randrange(5)):
            piece = chain.clone_view()
            piece.advance(chance.randrange(50))
            piece.trim_end(chance.randrange(piece.length))
            chain.append(piece)
        chain.retreat(chance.randrange(100))
        yield chain.headroom(), chain.tailroom(), chain.chain_length(), chain.copy_out().hex()
        chain.truncate_chain(chance.randrange(1, chain.chain_length() + 1))
        rest = chain.advance_chain(chance.randrange(chain.chain_length() + 2))
        yield rest and (rest.start, rest.length, rest.copy_out().hex())
    del chain, piece, rest
    yield allocator.statistics()


def operations_virtqueue(chance: random.Random) -> Iterator[object]:
    from drivers.virtio.virtqueue import DeviceQueue, DriverQueue, lay_out
    from ebbrt.memory import MemoryAllocator, NodeMemory

    for event_index in (True, False):
        memory = NodeMemory(1 << 16)
        layout, _area = lay_out(MemoryAllocator(memory), 8)
        driver, device = DriverQueue(layout, event_index), DeviceQueue(layout, event_index)
        for _ in range(1500):
            if driver.free_count >= 2 and chance.random() < 0.6:
                address = chance.randrange(1 << 17)  # half of them out of node memory
                yield driver.add(address, 64, 0) if chance.random() < 0.5 else driver.add_two(address, 9, 4096, 2)
                yield bool(driver.publish())
            if device.available() and chance.random() < 0.7:
                head = device.head(0)
                yield bool(device.first(head, False)), device.address, device.length
                yield bool(device.following(False)), device.address, device.length
                device.advance(1)
                device.add_used(
                    head if chance.random() < 0.9 else chance.randrange(1 << 32), chance.randrange(1 << 32)
                )
                yield bool(device.publish())
            if chance.random() < 0.2:
                memory.view(layout.descriptors + chance.randrange(128), 1)[:] = chance.randbytes(1)
            yield driver.take_used(), driver.used_length, driver.free_count, driver.errors, device.errors
        yield bytes(memory.view(0, 1 << 16)).hex()


def operations_node(chance: random.Random) -> Iterator[object]:
    """Stack and memcached against ten connections: streams of requests, in order or not, and some nonsense."""
    from apps.memcached.server import Memcached
    from ebbrt.events.event_manager import EventManager
    from stack.network_manager import StackNetworkManager
    from tests.stack_harness import Harness

    bench = Harness()
    network = StackNetworkManager(bench.stack, EventManager(bench.clock))
    server = Memcached(network, bench.allocator, bench.clock, 2 << 20, 0)
    server.start()
    for port in range(4000, 4010):
        yield from converse(bench, chance, port)
    yield bench.stack.statistics()
    yield server.statistics()


def requests(chance: random.Random) -> bytes:
    """A stream of requests; one of an unknown or malformed command now and then."""
    from tests.memcached_requests import count, request, store

    stream = b""
    for _ in range(100):
        key = b"key%d" % chance.randrange(8)
        value = chance.randbytes(chance.randrange(900))
        stream += chance.choice(
            [request(0, key), request(10), request(4, key), store(1, key, value, expiry=1), store(2, key, value),
             store(3, key, value), count(5, key, chance.randrange(1 << 64), 7)]
        )  # fmt: skip
        if chance.random() < 0.01:
            stream += request(chance.randrange(256), key)
    return stream


def converse(bench: Any, chance: random.Random, port: int) -> Iterator[object]:
    """One connection from its SYN on; yields every frame the node sends."""
    from scapy.layers.inet import IP, TCP

    from tests.stack_harness import NODE, PEER

    def give(flags: str, sequence: int, acknowledgment: int, window: int, data: bytes) -> list[bytes]:
        segment = TCP(
            sport=port, dport=11211, flags=flags, seq=sequence & MASK, ack=acknowledgment & MASK, window=window
        )
        packet = bytearray(bytes(IP(src=PEER, dst=NODE) / segment / data))
        if chance.random() < 0.02:
            packet[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
        bench.give_ip(bytes(packet), *([300] if len(packet) > 300 else []))
        frames: list[bytes] = bench.device.frames()
        return frames

    theirs = 0
    for data in give("S", 1000, 0, 65535, b""):
        theirs = int.from_bytes(data[38:42], "big") + 1
        yield data.hex()
    give("A", 1001, theirs, 65535, b"")
    stream = requests(chance)
    sent = 0
    while sent < len(stream):
        start = max(0, min(len(stream), sent + chance.choice([0, 0, 0, 0, 0, 0, -300, 500])))
        size = chance.randrange(1, 1400)
        flags = chance.choice(["PA", "FA", "UA", "SA", "RA"]) if chance.random() < 0.01 else "A"
        acknowledgment = theirs if chance.random() < 0.95 else theirs + chance.randrange(-2000, 2000)
        window = chance.choice([65535, 65535, 65535, 500, 0])
        for data in give(flags, 1001 + start, acknowledgment, window, stream[start : start + size]):
            yield data.hex()
            end = int.from_bytes(data[38:42], "big") + len(data) - 34 - 4 * (data[46] >> 4)
            if (end - theirs) & MASK < 1 << 31:
                theirs = end
        if start <= sent:
            sent = max(sent, start + size)
        bench.clock.advance(chance.randrange(300_000_000))
        bench.stack.poll(bench.clock.now())


def operations_recovery(chance: random.Random) -> Iterator[object]:
    """Transfers over wires that lose, reorder and duplicate: both controllers, with and without SACK, ECN, pacing."""
    from ebbrt.tcp_settings import TcpSettings
    from tests.tcplink import Wire, open_pair

    for number in range(12):
        faults = {"loss": 0.05, "reorder": 0.1 if number % 3 else 0.0, "duplicate": 0.05}
        offload = {"largest_segment": 65000, "checksum_offload": True} if number % 4 == 3 else {}
        wire = Wire(number, delay=chance.randrange(1, 40) * 1_000_000, **faults, **offload)
        settings = TcpSettings(congestion_control=chance.choice(["cubic", "reno"]), pacing=number % 5 == 4)
        for host in (wire.a, wire.b):
            host.tcp.engine.settings = settings
        wire.a.tcp.engine.sack = number % 2 == 0
        wire.a.tcp.engine.ecn = chance.randrange(3)
        connection, _, _, server = open_pair(wire)
        connection.send(wire.a.buffer(chance.randbytes(120_000)))
        connection.close()
        wire.run(lambda server=server: "peer_closed" in server.events)
        yield from [frame.hex() for frame in wire.a.frames + wire.b.frames]
        yield wire.a.tcp.statistics()


OPERATIONS: dict[str, Callable[[random.Random], Iterator[object]]] = {
    "memory": operations_memory,
    "iobuf": operations_iobuf,
    "virtqueue": operations_virtqueue,
    "node": operations_node,
    "recovery": operations_recovery,
}


def outcome(name: str, pure: bool) -> list[object]:
    """What ``name`` yields in a process of that build."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.differential.test_build_modes", name],
        env={**os.environ, "NETLAB_PURE": "1" if pure else "0", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", OPERATIONS)
def test_both_builds_do_the_same(name: str) -> None:
    assert not subprocess.run(
        [sys.executable, "-c", "import ebbrt"],
        env={**os.environ, "NETLAB_PURE": "0", "PYTHONPATH": str(ROOT)},
        capture_output=True,
    ).stderr, "the extensions are missing or stale: run `make build`"
    compiled, pure = outcome(name, False), outcome(name, True)
    assert len(compiled) == len(pure) > 100
    for step, (one, other) in enumerate(zip(compiled, pure, strict=True)):
        assert one == other, f"step {step}: compiled and plain Python differ"


if __name__ == "__main__":
    print(json.dumps(list(OPERATIONS[sys.argv[1]](random.Random(2024)))))
