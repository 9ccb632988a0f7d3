"""memcached on several cores, joined in one process: any core answers for every key, and in order."""

import random
from collections import deque

import pytest

from apps.memcached.server import Memcached
from ebbrt.clock import ManualClock
from ebbrt.cores import CoreLinks, CoreMessageHandler
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator, NodeMemory
from tests.fake_network import FakeConnection, FakeNetwork
from tests.memcached_requests import EPOCH, SECOND, Bench, Reply, count, replies, request, store

MIB = 1 << 20


class Wire:
    """What cores have sent each other and was not delivered yet."""

    def __init__(self) -> None:
        self.links: list[TestLinks] = []
        self.queue: deque[tuple[int, int, int, bytes, IOBuf | None]] = deque()

    def deliver(self) -> bool:
        """Deliver the oldest message; False when there is none."""
        if not self.queue:
            return False
        target, source, kind, data, chain = self.queue.popleft()
        self.links[target].handlers[kind].receive(source, data, chain)
        return True


class TestLinks(CoreLinks):
    """Links of one core to the others, in one process."""

    __test__ = False

    def __init__(self, wire: Wire, count: int) -> None:
        self.number = len(wire.links)
        self.count = count
        self.handlers: dict[int, CoreMessageHandler] = {}
        self._wire = wire
        wire.links.append(self)

    def register(self, kind: int, handler: CoreMessageHandler) -> None:
        self.handlers[kind] = handler

    def send(self, core: int, kind: int, data: bytes, chain: IOBuf | None = None) -> None:
        assert len(data) <= 4096
        self._wire.queue.append((core, self.number, kind, data, chain))


class Cores:
    """A node's cores with memcached on each, and a connection to each."""

    def __init__(self, count: int, limit: int = 8 * MIB) -> None:
        self.wire = Wire()
        self.clock = ManualClock(5 * SECOND)
        self.memory = NodeMemory(32 * MIB * count)
        self.allocators = [
            MemoryAllocator(self.memory, 32 * MIB * core, 32 * MIB * (core + 1)) for core in range(count)
        ]
        self.servers = []
        self.connections: list[FakeConnection] = []
        for allocator in self.allocators:
            network = FakeNetwork(allocator)
            links = TestLinks(self.wire, count)
            server = Memcached(network, allocator, self.clock, limit, EPOCH * SECOND, links=links)
            server.start()
            self.servers.append(server)
            self.connections.append(network.open())

    def ask(self, core: int, *requests: bytes) -> list[Reply]:
        """Send requests to one core: all replies that come of it."""
        self.connections[core].deliver(b"".join(requests))
        return self.settle(core)

    def settle(self, core: int) -> list[Reply]:
        """Deliver all that is under way between the cores: all replies that come of it."""
        while self.wire.deliver():
            pass
        return replies(self.connections[core].take())


@pytest.mark.parametrize("cores", [2, 3])
def test_every_core_answers_for_every_key(cores: int) -> None:
    node = Cores(cores)
    values = {b"key%d" % number: bytes([number]) * (number * 137 % 5000) for number in range(64)}
    for number, (key, value) in enumerate(values.items()):
        assert [reply.status for reply in node.ask(number % cores, store(1, key, value, 7))] == [0]
    for core in range(cores):
        for key, value in values.items():
            (reply,) = node.ask(core, request(0, key))
            assert (reply.status, reply.value, reply.extras) == (0, value, b"\0\0\0\7")
    numbers = [server.statistics() for server in node.servers]
    assert sum(number["items"] for number in numbers) == 64
    assert all(number["items"] and number["handed_over"] and number["served_for_others"] for number in numbers)


def test_replies_keep_their_order_and_nothing_is_carried_out_early() -> None:
    node = Cores(2)
    keys = [b"k%d" % number for number in range(20)]
    stream = b"".join(store(1, key, key * 9) + request(0, key) for key in keys) + request(0x0A)
    node.connections[0].deliver(stream, 90)
    waiting = node.connections[0].take()
    assert len(replies(waiting)) < 41  # it waits for the other core
    got = replies(waiting) + node.settle(0)
    assert [reply.opcode for reply in got] == [1, 0] * 20 + [0x0A]
    assert [reply.value for reply in got[1:-1:2]] == [key * 9 for key in keys]


@pytest.mark.parametrize("seed", [7, 8])
def test_the_same_answers_as_one_core(seed: int) -> None:
    """Any mix of commands, over any core, is answered as one core would; but for CAS numbers."""
    chance = random.Random(seed)
    alone, node = Bench(), Cores(3)
    keys = [b"a", b"b", b"counter", b"d" * 250, b"e", b"f"]
    for _ in range(1500):
        key = chance.choice(keys)
        value = chance.choice([b"", b"12", b"x" * chance.randrange(3000)])
        asked = chance.choice([
            store(chance.choice([1, 2, 3, 0x11, 0x12]), key, value, chance.randrange(9), chance.choice([0, 0, 50])),
            request(chance.choice([0, 0x09, 0x0C, 0x0D]), key),
            request(chance.choice([4, 0x14]), key),
            request(chance.choice([0x0E, 0x0F, 0x19]), key, value=value),
            count(chance.choice([5, 6, 0x15]), key, 3, 40),
            request(chance.choice([0x1C, 0x1D]), key, b"\0\0\0\x20"),
            request(chance.choice([0x0A, 0x0B])),
            request(8) if chance.random() < 0.1 else request(0x0A),
            request(0x55, b"unknown", value=b"zzz"),
        ])  # fmt: skip
        expected = [reply._replace(cas=0) for reply in alone.ask(asked)]
        assert [reply._replace(cas=0) for reply in node.ask(chance.randrange(3), asked)] == expected
        step = chance.choice([0, 0, 5 * SECOND])
        alone.clock.advance(step)
        node.clock.advance(step)


def test_flush_is_answered_when_every_core_has_flushed() -> None:
    node = Cores(3)
    keys = [b"key%d" % number for number in range(30)]
    for key in keys:
        node.ask(0, store(1, key, b"v"))
    node.connections[1].deliver(request(8))
    assert node.connections[1].take() == b""
    assert [reply.status for reply in node.settle(1)] == [0]
    assert all(reply.status == 1 for key in keys for reply in node.ask(2, request(0, key)))


def test_statistics_are_those_of_all_cores() -> None:
    node = Cores(2)
    for number in range(40):
        node.ask(number % 2, store(1, b"key%d" % number, b"v"))
    numbers = {reply.key.decode(): reply.value.decode() for reply in node.ask(1, request(0x10))}
    assert (numbers["curr_items"], numbers["cmd_set"], numbers["threads"]) == ("40", "40", "2")
    assert (numbers["curr_connections"], numbers["limit_maxbytes"]) == ("2", str(16 * MIB))
    assert [reply.status for reply in node.ask(0, request(0x10, b"nonsense"))] == [1]
    node.ask(0, request(0x10, b"reset"))
    numbers = {reply.key.decode(): reply.value.decode() for reply in node.ask(0, request(0x10))}
    assert numbers["cmd_set"] == "0"


def test_a_value_that_is_too_large_removes_the_old_one_wherever_it_is() -> None:
    node = Cores(2)
    keys = [b"key%d" % number for number in range(8)]
    for key in keys:
        node.ask(0, store(1, key, b"old"))
        assert [reply.status for reply in node.ask(0, store(1, key, bytes(MIB + 1)))] == [3]
        assert [reply.status for reply in node.ask(0, request(0, key))] == [1]


def test_a_stored_value_is_in_its_own_cores_memory() -> None:
    node = Cores(2)
    before = [allocator.allocated_bytes for allocator in node.allocators]
    for number in range(100):
        node.ask(0, store(1, b"key%d" % number, bytes(5000)))
    kept = [allocator.allocated_bytes - was for allocator, was in zip(node.allocators, before, strict=True)]
    held = [server.statistics()["items"] for server in node.servers]
    for bytes_kept, items in zip(kept, held, strict=True):
        assert items * 5000 <= bytes_kept <= items * 9000


def test_an_answer_for_a_session_that_is_gone_is_dropped() -> None:
    node = Cores(2)
    keys = [b"key%d" % number for number in range(8)]
    for key in keys:
        node.ask(0, store(1, key, bytes(3000)))
    allocated = [allocator.allocated_bytes for allocator in node.allocators]
    node.connections[0].deliver(b"".join(request(0, key) for key in keys))
    node.connections[0].take()
    node.connections[0].finish("reset")
    node.settle(0)
    assert [allocator.allocated_bytes for allocator in node.allocators] == allocated
    assert node.servers[0].statistics()["sessions"]["open"] == 0


def test_no_memory_for_a_reply_resets_the_connection_it_was_for() -> None:
    node = Cores(2)
    keys = [b"key%d" % number for number in range(8)]
    for key in keys:
        node.ask(0, store(1, key, b"v"))
    hoard = []
    for size in (MIB, 4096, 256, 128):
        while (buffer := node.allocators[1].allocate(size)) is not None:
            hoard.append(buffer)
    node.ask(0, *(request(0, key) for key in keys))
    assert not node.connections[0].is_open
    hoard.clear()
    assert [reply.status for reply in node.ask(1, *(request(0, key) for key in keys))] == [0] * 8
