"""Operations of every kind, all the time and from every core, and a ledger of what became of each.

The front-end and the back-ends of the kill test (``kills_front_end``, ``test_runtime_kills``) run this.
"""

from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from random import Random
from typing import Any

from ebbrt.constants import FOREVER
from ebbrt.ebb import (
    MEMORY_ALLOCATOR,
    core_links,
    current_core,
    event_manager,
    file_system,
    global_id_map,
    messenger,
    node_allocator,
)
from ebbrt.ebb_ids import named_id
from ebbrt.files.confined import FileSystemError
from ebbrt.files.file_system import DEFAULT_TIMEOUT as FILE_TIMEOUT
from ebbrt.future import Future, Promise, TimedOutError, ready, when_all
from ebbrt.id_map.global_id_map import IdMapError
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import BackPressureError, MessageHandler, MessengerError, NodeId, pack, unpack
from ebbrt.node_allocator import AllocatedNode
from ebbrt.node_provider import NodeAllocationError
from ebbrt.runtime import Runtime

WORKER = named_id("tests.kills.worker")
BACK_END = "tests.live.kills_traffic:back_end"
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
LIMITS = (200 * MILLISECOND, 500 * MILLISECOND, SECOND)  # of calls and of operations on the Global Id Map
NODE_LIMITS = (SECOND // 2, 2 * SECOND, 3 * SECOND)  # of allocations and frees
SLACK = 1500 * MILLISECOND  # how late a result may be on a machine with few cores that has much else to do
PAUSES = (5 * MILLISECOND, 60 * MILLISECOND)  # between two operations of a lane, at random
LARGEST_CALL = 20_000  # bytes of data
FLOOD = 400_000  # bytes of one message of a flood
ROOM_LIMIT = 6 * SECOND  # for room to be there: as long as it takes the daemon to find that a node hangs, and more
SHARED_IDS = [named_id(f"tests.kills.{number}") for number in range(4)]  # in the Global Id Map; all nodes write them
LAST_ID = named_id("tests.kills.last")  # in the Global Id Map; the front-end writes it once, in the end
LAST = b"last"
WATCH_LIMIT = 6 * SECOND  # for the last change to be seen everywhere
LANE_LIMIT = 12 * SECOND  # for a lane to end: more than the longest limit and SLACK
REPORT_LIMIT = LANE_LIMIT + 3 * SECOND
MOST_NODES = 8  # a lane that allocates waits while there are so many

# What each kind of operation may end with, as its documentation says; MemoryError is for want of node memory.
MESSENGER_ERRORS = (MessengerError, TimedOutError, MemoryError)
DOCUMENTED: dict[str, tuple[type[BaseException], ...]] = {
    "call": MESSENGER_ERRORS,
    "map": (IdMapError,),
    "file": (FileSystemError,),
    "allocate": (NodeAllocationError, *MESSENGER_ERRORS),
    "free": (NodeAllocationError, *MESSENGER_ERRORS),
    "report": MESSENGER_ERRORS,
    "room": MESSENGER_ERRORS,
    "lost": (),
}


class Ledger:
    """Every future that was started: its kind, its time limit (ns), when it was done and how.

    A kind is "family" or "family operation"; the family says which errors are documented.
    """

    def __init__(self) -> None:
        self._clock = event_manager.clock
        self._open: dict[int, tuple[str, int]] = {}  # kind and deadline, by serial
        self._serial = 0
        self.outcomes: Counter[str] = Counter()  # "kind: ok", or the class of the error
        self.worst: dict[str, int] = {}  # the most that one of a kind was late, in ns
        self.late: list[str] = []
        self.unexpected: list[str] = []

    def keep(self, kind: str, limit: int | None, start: Callable[[], Future[Any]]) -> Future[Any]:
        """Start an operation and note what becomes of it; a future of its result, or of its error as a value."""
        self._serial += 1
        serial = self._serial
        began = self._clock.now()
        self._open[serial] = (kind, FOREVER if limit is None else began + limit)
        try:
            future = start()
        except Exception as error:
            self._note(serial, error)
            return ready(error)
        promise: Promise[Any] = Promise()

        def done(future: Future[Any]) -> None:
            error = future.error()
            self._note(serial, error)
            promise.set_value(future.result() if error is None else error)

        future.when_done(done)
        return promise.future

    def _note(self, serial: int, error: BaseException | None) -> None:
        kind, deadline = self._open.pop(serial)
        lateness = self._clock.now() - deadline
        if deadline != FOREVER:
            self.worst[kind] = max(lateness, self.worst.get(kind, lateness))
        self.outcomes[f"{kind}: {'ok' if error is None else type(error).__name__}"] += 1
        if lateness > SLACK:
            self.late.append(f"{kind} came {lateness / SECOND:.2f} s after its limit: {error!r}")
        if error is not None and not isinstance(error, DOCUMENTED[kind.partition(" ")[0]]):
            self.unexpected.append(f"{kind}: {error!r}")

    def never_done(self) -> list[str]:
        """Kinds of the operations that have no result yet."""
        return [kind for kind, _ in self._open.values()]

    def report(self) -> dict[str, Any]:
        """All of that, as plain data."""
        now = self._clock.now()
        return {
            "outcomes": dict(self.outcomes),
            "worst_lateness": {kind: round(lateness / SECOND, 3) for kind, lateness in self.worst.items()},
            "late": self.late[:10],
            "unexpected": self.unexpected[:10],
            "overdue": [kind for kind, deadline in self._open.values() if deadline + SLACK < now],
        }


def here() -> MemoryAllocator:
    """This core's memory."""
    allocator: MemoryAllocator = current_core().representative(MEMORY_ALLOCATOR)
    return allocator


def pause(time: int) -> Future[None]:
    """Ready after ``time`` ns."""
    promise: Promise[None] = Promise()
    event_manager.set_timer(time, partial(promise.set_value, None))
    return promise.future


class Traffic:
    """Lanes of operations on one core. Each does one operation after the other until they are stopped."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self.ledger = Ledger()
        self.peers: list[NodeId] = []  # whom to call; some of them are dead
        self.stopped = False
        self.last_seen: bytes | None = None  # of LAST_ID
        self.changes_seen = 0
        self._looking = True
        self._lanes: list[Future[None]] = []
        self._watches = [global_id_map.watch(ebb_id, self._seen) for ebb_id in SHARED_IDS[:2]]
        self._watches.append(global_id_map.watch(LAST_ID, self._see_last))

    def start(self) -> None:
        """Start the lanes that every core has."""
        operations = [self.call, self.call, self.call, self.get, self.set, self.compare_and_set, self.delete]
        for operation in operations:
            self._start_lane(self.lane(operation))
        self._start_lane(self.file_lane())
        self._start_lane(self.look_at_last())

    def start_flooding(self) -> None:
        """Start a lane that sends all that it can; in the front-end, which is told at once of nodes that are lost."""
        self._start_lane(self.flood_lane())

    def start_allocating(self) -> None:
        """Start a lane that allocates nodes and frees them, on a core that can."""
        self._start_lane(self.node_lane())

    def _start_lane(self, lane: Coroutine[Any, None, None]) -> None:
        self._lanes.append(event_manager.run_coroutine(lane))

    def stop(self) -> None:
        """Start no more operations; those under way end by themselves."""
        self.stopped = True

    async def settled(self, last_was_set: bool) -> None:
        """Wait until all has ended, or is too late; and for the last change to be seen, if there was one."""
        stopped = event_manager.clock.now()
        while last_was_set and self.last_seen != LAST and event_manager.clock.now() < stopped + WATCH_LIMIT:
            await pause(50 * MILLISECOND)
        if last_was_set and self.last_seen != LAST:
            self.ledger.late.append(f"a watch has not seen the last change, but {self.last_seen!r}")
        self._looking = False
        for watch in self._watches:
            watch.stop()
        while not all(lane.done() for lane in self._lanes) and event_manager.clock.now() < stopped + LANE_LIMIT:
            await pause(50 * MILLISECOND)
        for lane in self._lanes:
            if lane.done() and lane.error() is not None:
                self.ledger.unexpected.append(f"a lane has failed: {lane.error()!r}")

    async def look_at_last(self) -> None:
        """See what the watch will not tell of, since it was there before."""
        seen: Any = IdMapError()
        while isinstance(seen, IdMapError) and self._looking:
            seen = await self.ledger.keep("map get", SECOND, lambda: global_id_map.get(LAST_ID, SECOND))
            await self.breathe()
        if seen == LAST:
            self.last_seen = LAST

    def _see_last(self, data: bytes | None) -> None:
        self.last_seen = data

    def _seen(self, data: bytes | None) -> None:
        self.changes_seen += 1

    async def lane(self, operation: Callable[[int], Future[Any]]) -> None:
        """One operation after the other."""
        while not self.stopped:
            await operation(self.random.choice(LIMITS))
            await self.breathe()

    async def flood_lane(self) -> None:
        """Send one node more than may be queued for it, and wait for room, which a node that is lost never has."""
        while not self.stopped:
            await self.breathe()
            if self.peers:
                peer = self.random.choice(self.peers)
                try:
                    for _ in range(20):
                        messenger.send(peer, WORKER, pack(here(), ["flood", bytes(FLOOD)]))
                except MESSENGER_ERRORS as error:
                    if isinstance(error, BackPressureError):
                        await self.ledger.keep("room", ROOM_LIMIT, partial(messenger.when_sendable, peer))

    def breathe(self) -> Future[None]:
        """A pause."""
        return pause(self.random.randrange(*PAUSES))

    def call(self, limit: int) -> Future[Any]:
        """Call some node."""
        if not self.peers:
            return ready(None)
        peer = self.random.choice(self.peers)
        data = [self.random.choice((0, 0, 20)), bytes(self.random.choice((10, 1000, LARGEST_CALL)))]
        return self.ledger.keep("call", limit, lambda: messenger.call(peer, WORKER, pack(here(), data), limit))

    def get(self, limit: int) -> Future[Any]:
        """Global Id Map."""
        ebb_id = self.random.choice(SHARED_IDS)
        return self.ledger.keep("map get", limit, lambda: global_id_map.get(ebb_id, limit))

    def set(self, limit: int) -> Future[Any]:
        """Global Id Map."""
        ebb_id, data = self.random.choice(SHARED_IDS), self.random.randbytes(20)
        return self.ledger.keep("map set", limit, lambda: global_id_map.set(ebb_id, data, limit))

    def compare_and_set(self, limit: int) -> Future[Any]:
        """Global Id Map."""
        ebb_id, data = self.random.choice(SHARED_IDS), self.random.randbytes(20)
        return self.ledger.keep(
            "map compare_and_set", limit, lambda: global_id_map.compare_and_set(ebb_id, None, data, limit)
        )

    def delete(self, limit: int) -> Future[Any]:
        """Global Id Map."""
        ebb_id = self.random.choice(SHARED_IDS)
        return self.ledger.keep("map delete", limit, lambda: global_id_map.delete(ebb_id, limit))

    async def file_lane(self) -> None:
        """Write a file of its own, read it back, look around; closes what it opens."""
        name = f"{messenger.local().number}.{current_core().number}"

        def keep(operation: str, start: Callable[[], Future[Any]]) -> Future[Any]:
            return self.ledger.keep(f"file {operation}", FILE_TIMEOUT, start)

        while not self.stopped:
            data = self.random.randbytes(self.random.choice((10, 5000)))
            handle = await keep("open", lambda: file_system.open(name, "w"))
            if isinstance(handle, int):
                await keep("write", partial(file_system.write, handle, data))
                await keep("close", partial(file_system.close, handle))
            handle = await keep("open", lambda: file_system.open(name, "r"))
            if isinstance(handle, int):
                await keep("read", partial(file_system.read, handle, 10_000))
                await keep("close", partial(file_system.close, handle))
            await keep("stat", lambda: file_system.stat(name))
            await keep("readdir", lambda: file_system.readdir("."))
            await self.breathe()

    async def node_lane(self) -> None:
        """Allocate a node, keep it for a while, free it."""
        while not self.stopped:
            await self.breathe()
            if len(self.peers) > MOST_NODES:
                continue
            limit = self.random.choice(NODE_LIMITS)
            cores = self.random.choice((1, 1, 2))
            node = await self.allocate(limit, cores)
            if isinstance(node, AllocatedNode):
                for _ in range(self.random.randrange(20)):
                    await self.breathe()
                limit = self.random.choice(NODE_LIMITS)
                await self.ledger.keep("free", limit, partial(node_allocator.free, node, limit))

    def allocate(self, limit: int, cores: int) -> Future[Any]:
        """A node, or the error in its place."""
        started = self.ledger.keep(
            "allocate", limit, lambda: node_allocator.allocate(1, BACK_END, cores=cores, timeout=limit)[0]
        )
        started.when_done(self._allocated)
        return started

    def _allocated(self, done: Future[Any]) -> None:
        node = done.result()
        if isinstance(node, AllocatedNode):
            self.ledger.keep("lost", None, lambda: node.lost)


_traffic: list[Traffic] = []  # of this core of a back-end; for functions that another core calls by name


class Worker(MessageHandler):
    """The Ebb on core 0 of a back-end.

    A message is ``["peers", list]`` or ``["flood", data]``, a call ``[delay in ms, data]`` or ``["report", whether
    LAST was set]``.
    """

    def receive_message(self, sender: NodeId, data: IOBuf) -> None:
        """Whom there is to call, or a flood."""
        what, rest = unpack(data)
        if what == "peers":
            for core in range(core_links.count):
                core_links.call(core, meet, rest).when_done(_look_at)

    def receive_call(self, sender: NodeId, data: IOBuf) -> "IOBuf | Future[IOBuf]":
        """An echo, maybe a late one; or the report of all cores, once their traffic has ended."""
        question, *rest = unpack(data)
        if question == "report":
            reports = when_all([core_links.call(core, report, rest[0]) for core in range(core_links.count)])
            return reports.then(partial(pack, here()))
        answer = pack(here(), rest)
        if question == 0:
            return answer
        return pause(question * MILLISECOND).then(lambda _: answer)


async def back_end(runtime: Runtime) -> None:
    """What a back-end runs: the worker, and traffic on each core."""
    runtime.core.register(WORKER, lambda core, ebb_id: Worker())
    seed = runtime.command_line.value("seed")
    node = runtime.identity.local.number
    await when_all([core_links.call(core, start, f"{seed}.{node}.{core}") for core in range(core_links.count)])
    if node % 2 == 0:
        _traffic[0].start_allocating()


def start(seed: str) -> None:
    """On each core of a back-end: start its traffic."""
    traffic = Traffic(seed)
    _traffic.append(traffic)
    traffic.start()


def meet(peers: list[list[Any]]) -> None:
    """On each core of a back-end: these nodes can be called."""
    for traffic in _traffic:
        traffic.peers = [NodeId(*peer) for peer in peers]


async def report(last_was_set: bool) -> dict[str, Any]:
    """On each core of a back-end: end the traffic; its ledger."""
    (traffic,) = _traffic
    traffic.stop()
    await traffic.settled(last_was_set)
    return {**traffic.ledger.report(), "changes_seen": traffic.changes_seen}


def _look_at(done: Future[Any]) -> None:
    """Cores live and die together: whether one could be told makes no difference."""
    done.error()
