"""Core links: functions, answers and buffers across the cores of one node, here all in one process."""

import functools
import hashlib
import operator
import random
from collections.abc import Iterator

import pytest

from ebbrt import core_channel
from ebbrt.core_channel import LARGEST_CROSSING
from ebbrt.core_links import POLLS, RETURN_BATCH, CoreLinksPlan
from ebbrt.core_ring import CoreRing
from ebbrt.cores import CoreError, CoreMessageHandler
from ebbrt.future import Future, Promise
from ebbrt.iobuf import IOBuf, allocate
from ebbrt.memory import NodeMemory
from tests.several_cores import SeveralCores

log: list[object] = []
promises: list[Promise[int]] = []


def note(*values: object) -> None:
    log.append(values)


def fail(text: str) -> None:
    raise ValueError(text)


def later() -> Future[int]:
    promises.append(Promise())
    return promises[-1].future


async def added(one: int) -> int:
    return one + await later()


class Keeper(CoreMessageHandler):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self.chains: list[IOBuf] = []

    def receive(self, core: int, data: bytes, chain: IOBuf | None) -> None:
        self.messages.append((core, data))
        if chain is not None:
            self.chains.append(chain)


@pytest.fixture
def cores() -> Iterator[SeveralCores]:
    log.clear()
    promises.clear()
    several = SeveralCores(3)
    yield several
    several.close()


def filled(cores: SeveralCores, core: int, data: bytes) -> IOBuf:
    chain = allocate(cores.allocators[core], len(data))
    assert chain is not None
    chain.write(0, data)
    return chain


def contents(chain: IOBuf | None) -> bytes:
    pieces = []
    while chain is not None:
        pieces.append(chain.peek(0, chain.length))
        chain = chain.next
    return b"".join(pieces)


def test_a_ring_wraps_and_says_how_much_room_there_is() -> None:
    memory = NodeMemory(4096)
    sender, receiver = CoreRing(memory, 0, 64), CoreRing(memory, 0, 64)
    sender.reset()
    chance = random.Random(3)
    sent = received = b""
    for _ in range(500):
        data = chance.randbytes(chance.randrange(sender.room() + 1))
        sender.write(data)
        sent += data
        if chance.random() < 0.6:
            received += receiver.read()
    assert sent == received + receiver.read()
    assert (sender.room(), receiver.read()) == (64, b"")


@pytest.mark.parametrize(("start", "size"), [(0, 32), (0, 96), (32, 64)])
def test_a_ring_that_cannot_be_is_refused(start: int, size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        CoreRing(NodeMemory(4096), start, size)


def test_a_plan_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="no room"):
        CoreLinksPlan(NodeMemory(1 << 16), 0, 2)


def test_what_one_event_spawns_goes_over_together_and_in_order(cores: SeveralCores) -> None:
    def event() -> None:
        for number in range(5):
            cores.links[0].spawn(1, note, number)
        cores.links[0].spawn(0, note, "here")
        assert cores.links[0].statistics()["batches"] == 0

    cores.events[0].spawn(event, force_async=True)
    cores.events[0].turn()
    assert cores.links[0].statistics()["batches"] == 1
    assert log == []
    cores.settle()
    assert log == [("here",), (0,), (1,), (2,), (3,), (4,)]
    assert cores.events[1].statistics()["events"] == 5, "each is an event of its own"


def test_a_call_brings_back_the_result(cores: SeveralCores) -> None:
    results = [cores.links[0].call(core, operator.add, 20, core) for core in range(3)]
    assert not any(result.done() for result in results)
    cores.settle()
    assert [result.result() for result in results] == [20, 21, 22]


@pytest.mark.parametrize("core", [0, 1])
def test_an_exception_comes_back_as_a_core_error(cores: SeveralCores, core: int) -> None:
    failed = cores.links[0].call(core, fail, "no luck")
    unpicklable = cores.links[0].call(1, functools.partial, note)
    refused = cores.links[0].call(1, memoryview, b"x")
    cores.settle()
    with pytest.raises(CoreError, match="ValueError: no luck"):
        failed.result()
    assert isinstance(unpicklable.result(), functools.partial)
    with pytest.raises(CoreError, match="result cannot cross"):
        refused.result()


@pytest.mark.parametrize("core", [0, 1])
def test_futures_and_coroutines_are_awaited_over_there(cores: SeveralCores, core: int) -> None:
    future = cores.links[0].call(core, later)
    coroutine = cores.links[0].call(core, added, 1)
    broken = cores.links[0].call(core, added, 2)
    cores.settle()
    assert not future.done()
    promises[0].set_value(5)
    promises[1].set_value(6)
    promises[2].set_error(KeyError("gone"))
    cores.settle()
    assert (future.result(), coroutine.result()) == (5, 7)
    with pytest.raises(CoreError, match="KeyError: 'gone'"):
        broken.result()


def test_what_cannot_cross_is_refused(cores: SeveralCores) -> None:
    links = cores.links[0]
    with pytest.raises(CoreError, match="module"):
        links.spawn(1, lambda: None)
    with pytest.raises(CoreError, match="module"):
        links.call(1, Keeper().receive)
    with pytest.raises(CoreError, match="pickled"):
        links.call(1, note, memoryview(b""))
    with pytest.raises(CoreError, match="the node has 3 cores"):
        links.spawn(3, note)
    with pytest.raises(CoreError, match="more than may cross"):
        links.spawn(1, note, bytes(LARGEST_CROSSING))
    with pytest.raises(CoreError, match="more than a message may have"):
        links.send(1, 1, bytes(4097))
    with pytest.raises(CoreError, match="from 1 to 255"):
        links.register(0, Keeper())
    cores.settle()
    assert links.statistics()["sent_messages"] == 0
    assert log == []


def test_a_spawned_function_that_fails_does_no_harm(cores: SeveralCores) -> None:
    cores.links[0].spawn(1, fail, "reported")
    cores.links[0].spawn(1, note, "after")
    cores.settle()
    assert log == [("after",)]
    assert cores.events[1].statistics()["failures"] == 1


def test_more_than_the_ring_holds_goes_over_in_parts(cores: SeveralCores) -> None:
    data = random.Random(1).randbytes(5 << 20)
    answer = cores.links[0].call(1, hashlib.sha256, data[:10])
    lengths = [cores.links[0].call(2, len, data), cores.links[0].call(2, len, b"after it")]
    echo = cores.links[1].call(2, bytes.upper, data)
    cores.settle()
    assert [length.result() for length in lengths] == [5 << 20, 8]
    assert echo.result() == data.upper()
    assert cores.links[0].statistics()["full"] > 0
    with pytest.raises(CoreError, match="result cannot cross"):
        answer.result()


def test_buffers_cross_without_being_copied_and_come_back(cores: SeveralCores) -> None:
    keeper = Keeper()
    cores.links[1].register(7, keeper)
    chain = filled(cores, 0, b"one ")
    chain.append(filled(cores, 0, b"two"))
    offset = chain.start
    cores.links[0].send(1, 7, b"data", chain)
    del chain
    cores.settle()
    assert keeper.messages == [(0, b"data")]
    assert contents(keeper.chains[0]) == b"one two"
    assert keeper.chains[0].start == offset
    assert keeper.chains[0].headroom() == 0
    assert cores.allocators[0].allocated_bytes == 256, "core 1 holds them"
    assert cores.allocators[1].allocated_bytes == 0
    assert cores.memory.payload_bytes_copied == 0
    keeper.chains.clear()
    cores.settle()
    assert cores.allocators[0].allocated_bytes == 0
    statistics = cores.links[0].statistics()
    assert (statistics["buffers_lent"], statistics["buffers_given_back"], statistics["buffers_lent_now"]) == (2, 2, 0)


def test_what_is_dropped_goes_back_in_batches(cores: SeveralCores) -> None:
    keeper = Keeper()
    cores.links[1].register(7, keeper)
    for _ in range(RETURN_BATCH):
        cores.links[0].send(1, 7, b"", filled(cores, 0, b"x"))
    cores.settle()
    before = cores.links[1].statistics()["batches"]

    def drop_all() -> None:
        while keeper.chains:
            keeper.chains.pop()

    cores.events[1].spawn(drop_all, force_async=True)
    cores.events[1].turn()
    assert cores.links[1].statistics()["batches"] == before + 1, "a whole batch does not wait until the core is idle"
    cores.settle()
    assert cores.allocators[0].allocated_bytes == 0


def test_a_borrowed_buffer_may_be_lent_on_and_home_again(cores: SeveralCores) -> None:
    keepers = [Keeper() for _ in range(3)]
    for links, keeper in zip(cores.links, keepers, strict=True):
        links.register(9, keeper)
    cores.links[0].send(1, 9, b"", filled(cores, 0, b"round"))
    cores.settle()
    cores.links[1].send(2, 9, b"", keepers[1].chains.pop())
    cores.settle()
    cores.links[2].send(0, 9, b"", keepers[2].chains.pop())
    cores.settle()
    assert contents(keepers[0].chains[0]) == b"round"
    assert cores.allocators[0].allocated_bytes == 128
    keepers[0].chains.clear()
    cores.settle()
    assert cores.allocators[0].allocated_bytes == 0
    assert all(links.statistics()["buffers_lent_now"] == 0 for links in cores.links)


def test_after_an_interrupt_the_rings_are_polled_for_a_while(cores: SeveralCores) -> None:
    cores.settle()
    manager = cores.events[1]
    manager.remove_idle_handler(cores.busy[1])
    manager.set_timer(1, lambda: None)  # under a clock that stands still: no halt lasts
    cores.links[0].spawn(1, note, "first")
    cores.turn(0)
    halts, interrupts = (manager.statistics()[name] for name in ("halts", "interrupts"))
    manager.turn()
    manager.turn()
    assert log == [("first",)]
    cores.links[0].spawn(1, note, "second")
    cores.turn(0)
    manager.turn()
    manager.turn()
    assert log == [("first",), ("second",)]
    assert manager.statistics()["interrupts"] == interrupts + 1
    for _ in range(2 * POLLS - 4):
        manager.turn()
    assert manager.statistics()["halts"] == halts + 1, "it still polls"
    for _ in range(POLLS):
        manager.turn()
    assert manager.statistics()["halts"] > halts + 1, "nothing has come for long: the core halts"


def test_a_message_nobody_takes_is_counted_and_its_buffers_go_back(cores: SeveralCores) -> None:
    cores.links[0].send(1, 5, b"?", filled(cores, 0, b"x"))
    cores.settle()
    assert cores.links[1].statistics()["unhandled"] == 1
    assert cores.allocators[0].allocated_bytes == 0


def test_too_much_that_waits_is_refused(cores: SeveralCores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_channel, "MOST_WAITING", 1 << 20)
    for _ in range(2):
        cores.links[0].spawn(1, note, bytes(600_000))
    with pytest.raises(CoreError, match="core 1 does not read"):
        cores.links[0].spawn(1, note)
    with pytest.raises(CoreError, match="core 1 does not read"):
        cores.links[0].send(1, 1, b"")
    cores.links[0].spawn(2, note, "another core")
    cores.settle()
    cores.links[0].spawn(1, note, "again")
    cores.settle()
    assert len(log) == 4


def test_a_chain_of_too_many_pieces_is_refused_and_nothing_of_it_kept(cores: SeveralCores) -> None:
    chain = filled(cores, 0, b"x")
    for _ in range(core_channel.MOST_PIECES):
        longer = chain.clone_view()
        longer.next = chain
        chain = longer
    with pytest.raises(CoreError, match="65536 pieces"):
        cores.links[0].send(1, 1, b"", chain)
    del longer, chain
    assert cores.allocators[0].allocated_bytes == 0


def test_closing_fails_the_calls_that_wait() -> None:
    several = SeveralCores(2)
    waiting = several.links[0].call(1, later)
    several.close()
    with pytest.raises(CoreError, match="closed"):
        waiting.result()


@pytest.mark.parametrize("seed", range(4))
def test_tiny_rings_lose_nothing_and_keep_the_order(seed: int) -> None:
    chance = random.Random(seed)
    several = SeveralCores(4, ring_size=chance.choice([64, 128, 512]))
    keepers = [Keeper() for _ in range(4)]
    for links, keeper in zip(several.links, keepers, strict=True):
        links.register(1, keeper)
    sent: dict[tuple[int, int], list[bytes]] = {}
    answers = []
    for _ in range(400):
        sender, receiver = chance.sample(range(4), 2)
        data = chance.randbytes(chance.randrange(300))
        if chance.random() < 0.3:
            answers.append((several.links[sender].call(receiver, bytes.hex, data), data.hex()))
        else:
            chain = filled(several, sender, data) if chance.random() < 0.5 else None
            several.links[sender].send(receiver, 1, data, chain)
            del chain
            sent.setdefault((sender, receiver), []).append(data)
        if chance.random() < 0.3:
            several.turn(chance.randrange(4))
        if chance.random() < 0.1:
            keepers[chance.randrange(4)].chains.clear()
    several.settle()
    for receiver, keeper in enumerate(keepers):
        for sender in range(4):
            assert [data for core, data in keeper.messages if core == sender] == sent.get((sender, receiver), [])
        keeper.chains.clear()
    assert all(future.result() == value for future, value in answers)
    several.settle()
    assert [allocator.allocated_bytes for allocator in several.allocators] == [0] * 4
    assert sum(links.statistics()["full"] for links in several.links) > 100
    several.close()
