"""Core links between real processes, as a node forks them: everything arrives, and every buffer comes back."""

import hashlib
import random
from collections import deque

import pytest

from ebbrt.core_links import RingCoreLinks
from ebbrt.cores import CoreError, CoreMessageHandler
from ebbrt.events.event_manager import EventManager
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import MemoryAllocator
from tests.forked_cores import run_cores

pytestmark = pytest.mark.live

MESSAGES = 100_000
BATCH = 50
EVERY = 10  # one message in ten brings a buffer
DATA, BYE = 1, 2


class Exchange(CoreMessageHandler):
    """One of two cores that send each other MESSAGES messages, and take digests of what they send and get."""

    def __init__(self, links: RingCoreLinks, events: EventManager, allocator: MemoryAllocator) -> None:
        self.links = links
        self.events = events
        self.allocator = allocator
        self.other = 1 - links.number
        self.chance = random.Random(links.number)
        self.sent = self.received = 0
        self.digest_sent, self.digest_received = hashlib.sha256(), hashlib.sha256()
        self.kept: deque[IOBuf] = deque()
        links.register(DATA, self)
        links.register(BYE, Farewell(self))

    def send_batch(self) -> None:
        for _ in range(BATCH):
            data = self.chance.randbytes(self.chance.randrange(40))
            chain = None
            self.digest_sent.update(data)
            if self.sent % EVERY == 0:
                payload = self.chance.randbytes(300)
                chain = allocate(self.allocator, 300)
                assert chain is not None
                chain.write(0, payload)
                self.digest_sent.update(payload)
            self.links.send(self.other, DATA, data, chain)
            self.sent += 1
        if self.sent < MESSAGES:
            self.events.spawn(self.send_batch, force_async=True)

    def receive(self, core: int, data: bytes, chain: IOBuf | None) -> None:
        self.received += 1
        self.digest_received.update(data)
        if chain is not None:
            self.digest_received.update(chain.peek(0, chain.length))
            self.kept.append(chain)
            if len(self.kept) > 100:
                self.kept.popleft()
        if self.received == MESSAGES:
            self.kept.clear()

    def look(self) -> None:
        """Say goodbye once everything is over on this side."""
        if self.received == self.sent == MESSAGES and self.links.statistics()["buffers_lent_now"] == 0:
            self.links.send(self.other, BYE, b"")
        else:
            self.events.set_timer(1_000_000, self.look)


class Farewell(CoreMessageHandler):
    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def receive(self, core: int, data: bytes, chain: IOBuf | None) -> None:
        if self.exchange.links.statistics()["buffers_lent_now"]:
            raise AssertionError("goodbye, but buffers are still out")
        self.exchange.events.set_timer(20_000_000, self.exchange.events.stop)


def exchange(
    links: RingCoreLinks, events: EventManager, allocator: MemoryAllocator
) -> tuple[str, str, dict[str, int], int]:
    exchange = Exchange(links, events, allocator)
    events.spawn(exchange.send_batch, force_async=True)
    exchange.look()
    events.run()
    return (
        exchange.digest_sent.hexdigest(),
        exchange.digest_received.hexdigest(),
        links.statistics(),
        allocator.allocated_bytes,
    )


def test_two_processes_exchange_messages_and_buffers() -> None:
    (sent_0, received_0, statistics_0, bytes_0), (sent_1, received_1, statistics_1, bytes_1) = run_cores(2, exchange)
    assert (sent_0, sent_1) == (received_1, received_0)
    assert (bytes_0, bytes_1) == (0, 0)
    for statistics in (statistics_0, statistics_1):
        assert statistics["buffers_lent"] == statistics["buffers_given_back"] == MESSAGES // EVERY
        assert statistics["buffers_borrowed"] == MESSAGES // EVERY
        assert statistics["waiting_bytes"] == 0


def double(number: int) -> int:
    return 2 * number


def broken() -> None:
    raise ValueError("over there")


class Leaving:
    """What ``leave`` stops: this process's loop."""

    events: EventManager


def leave() -> None:
    Leaving.events.stop()


def serve_or_ask(links: RingCoreLinks, events: EventManager, allocator: MemoryAllocator) -> list[object]:
    if links.number:
        Leaving.events = events
        events.run()
        return []
    answers: list[object] = []

    async def ask() -> None:
        for number in range(200):
            answers.append(await links.call(1, double, number))
        try:
            await links.call(1, broken)
        except CoreError as error:
            answers.append(str(error))
        answers.append(await links.call(0, double, 5))
        links.spawn(1, leave)
        events.stop()

    events.spawn(lambda: links.call(0, ask).done(), force_async=True)
    events.run()
    return answers


def test_calls_go_to_another_process_and_back() -> None:
    answers = run_cores(2, serve_or_ask)[0]
    assert answers == [*range(0, 400, 2), "ValueError: over there", 10]
