"""Nodes of several cores in one process, for tests: their events, links and Global Id Map run in a seeded order.

An event is a greenlet. One that blocks goes on when its future is done, as an event of the same core.
"""

import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from greenlet import getcurrent, greenlet

from ebbrt import ebb, ebb_kinds
from ebbrt.cores import CoreError, CoreLinks
from ebbrt.ebb import Core
from ebbrt.ebb_ids import EbbAllocator
from ebbrt.future import Future, Promise


class Scheduler:
    """Runs what is queued, each sender-and-receiver pair in order, the pairs in a seeded order."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.queues: dict[object, list[tuple[Core, Callable[[], object]]]] = {}
        self.errors: list[Exception] = []

    def later(self, order: object, core: Core, function: Callable[[], object]) -> None:
        self.queues.setdefault(order, []).append((core, function))

    def run(self) -> None:
        """Until nothing is queued."""
        while self.queues:
            order = self.random.choice(sorted(self.queues, key=repr))
            core, function = self.queues[order].pop(0)
            if not self.queues[order]:
                del self.queues[order]
            core.enter()
            function()

    def event(self, core: Core, function: Callable[[], object]) -> None:
        """Run ``function`` until it ends or blocks."""

        def run() -> None:
            try:
                function()
            except Exception as error:
                self.errors.append(error)

        core.enter()
        greenlet(run).switch()

    def block(self, future: Future[Any]) -> Any:
        """What ``Future.block`` is."""
        if not future.done():
            me, core = getcurrent(), ebb.current_core()
            future.when_done(lambda _: self.later(me, core, me.switch))
            assert me.parent is not None, "only an event can block"
            me.parent.switch()
        return future.result()


class FakeCoreLinks(CoreLinks):
    def __init__(self, node: "FakeNode", number: int) -> None:
        self.node = node
        self.number = number
        self.count = len(node.cores)

    def call(self, core: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        data = pickle.dumps((function, arguments))
        promise: Promise[Any] = Promise()

        def answer(value: Any, error: Exception | None) -> None:
            def arrive() -> None:
                if error is None:
                    promise.set_value(pickle.loads(pickle.dumps(value)))
                else:
                    promise.set_error(CoreError(f"{type(error).__name__}: {error}"))

            self.node.scheduler.later((self.node.number, core, self.number), self.node.cores[self.number], arrive)

        def carry_out() -> None:
            called, its_arguments = pickle.loads(data)
            try:
                result = called(*its_arguments)
                answer(result.block() if isinstance(result, Future) else result, None)
            except Exception as error:
                answer(None, error)

        receiver = self.node.cores[core]
        event = partial(self.node.scheduler.event, receiver, carry_out)
        self.node.scheduler.later((self.node.number, self.number, core), receiver, event)
        return promise.future


class FakeWatch:
    def __init__(self, watches: set["FakeWatch"], core: Core, callback: Callable[[bytes | None], object]) -> None:
        self.watches, self.core, self.callback = watches, core, callback
        watches.add(self)

    def stop(self) -> None:
        self.watches.discard(self)


class FakeGlobalIdMap:
    """One table for all nodes. Whatever is asked is answered later."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.data: dict[int, bytes] = {}
        self.watches: dict[int, set[FakeWatch]] = {}
        self.gets = 0
        self.error: Exception | None = None

    def get(self, ebb_id: int) -> Future[bytes | None]:
        self.gets += 1
        return self._later(lambda: self.data.get(ebb_id))

    def compare_and_set(self, ebb_id: int, expected: bytes | None, data: bytes) -> Future[bool]:
        def change() -> bool:
            if self.data.get(ebb_id) != expected:
                return False
            self.data[ebb_id] = data
            self._tell(ebb_id)
            return True

        return self._later(change)

    def delete(self, ebb_id: int) -> Future[bool]:
        def change() -> bool:
            existed = self.data.pop(ebb_id, None) is not None
            self._tell(ebb_id)
            return existed

        return self._later(change)

    def watch(self, ebb_id: int, callback: Callable[[bytes | None], object]) -> FakeWatch:
        return FakeWatch(self.watches.setdefault(ebb_id, set()), ebb.current_core(), callback)

    def _later(self, function: Callable[[], Any]) -> Future[Any]:
        promise: Promise[Any] = Promise()

        def answer() -> None:
            if self.error is None:
                promise.set_value(function())
            else:
                promise.set_error(self.error)

        self.scheduler.later("map", ebb.current_core(), answer)
        return promise.future

    def _tell(self, ebb_id: int) -> None:
        for watch in list(self.watches.get(ebb_id, ())):
            self.scheduler.later(("watch", id(watch)), watch.core, partial(self._deliver, watch, ebb_id))

    def _deliver(self, watch: FakeWatch, ebb_id: int) -> None:
        if watch in watch.watches:
            self.scheduler.event(watch.core, partial(watch.callback, self.data.get(ebb_id)))


class FakeNode:
    def __init__(self, scheduler: Scheduler, number: int, cores: int, id_map: FakeGlobalIdMap | None) -> None:
        self.scheduler = scheduler
        self.number = number
        self.cores = [Core(core) for core in range(cores)]
        for core in self.cores:
            core.install(ebb.LOCAL_ID_MAP, ebb.LocalIdMap())
            core.install(ebb.EBB_ALLOCATOR, EbbAllocator(number, core.number))
            core.install(ebb.CORE_LINKS, FakeCoreLinks(self, core.number))
            ebb_kinds.start(core)
        if id_map is not None:
            self.cores[0].install(ebb.GLOBAL_ID_MAP, id_map)

    def spawn(self, core: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """An event of its own, begun when the scheduler runs; a future of what comes of it."""
        promise: Promise[Any] = Promise()

        def run() -> None:
            try:
                promise.set_value(function(*arguments))
            except Exception as error:
                promise.set_error(error)

        where = self.cores[core]
        self.scheduler.later(("spawn", id(promise)), where, partial(self.scheduler.event, where, run))
        return promise.future

    def run(self, core: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run an event, and everything that follows from it; its result."""
        future = self.spawn(core, function, *arguments)
        self.scheduler.run()
        return future.result()


@contextmanager
def simulation(seed: int = 1) -> Iterator[Scheduler]:
    """A scheduler, whose events may block."""
    before, block = ebb.current_core(), getattr(Future, "block", None)
    scheduler = Scheduler(seed)
    Future.block = lambda future: scheduler.block(future)  # type: ignore[attr-defined]
    try:
        yield scheduler
        assert scheduler.errors == []
    finally:
        before.enter()
        if block is None:
            del Future.block  # type: ignore[attr-defined]
        else:
            Future.block = block  # type: ignore[attr-defined]
