"""Events that block: contexts, stacks, coroutines, ids, grace periods."""

import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ebbrt import ebb
from ebbrt.clock import ManualClock
from ebbrt.ebb import Core
from ebbrt.events.context import Context, ContextError
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future, Promise, TimedOutError, ready


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000)


@pytest.fixture
def events(clock: ManualClock) -> Iterator[EventManager]:
    before = ebb.current_core()
    core = Core()
    core.enter()
    manager = EventManager(clock)
    core.install(ebb.EVENT_MANAGER, manager)
    yield manager
    manager.close()
    before.enter()


def run_all(events: EventManager) -> None:
    """Until nothing is queued."""
    events.spawn(lambda: events.spawn(lambda: events.spawn(events.stop, True), True), True)
    events.run()


class Blocker:
    """An event that logs, blocks, and logs again."""

    def __init__(self, events: EventManager, log: list[str], name: str) -> None:
        self.events, self.log, self.name = events, log, name
        self.context = Context()

    def __call__(self) -> None:
        self.log.append(f"{self.name} begins")
        self.events.save_context(self.context)
        self.log.append(f"{self.name} ends")


def test_the_caller_goes_on_when_what_it_spawned_ends_or_blocks(events: EventManager) -> None:
    log: list[str] = []
    inner, innermost = Blocker(events, log, "inner"), Blocker(events, log, "innermost")

    def middle() -> None:
        events.spawn(innermost)
        log.append("middle ends")

    def outer() -> None:
        events.spawn(inner)
        log.append("outer goes on")
        events.spawn(middle)
        log.append("outer ends")

    events.spawn(outer, force_async=True)
    events.turn()
    expected = ["inner begins", "outer goes on", "innermost begins", "middle ends", "outer ends"]
    assert log == expected
    events.activate_context(innermost.context)
    events.activate_context(inner.context)
    assert log == expected, "from the loop"
    events.turn()
    events.turn()
    assert log == [*expected, "innermost ends", "inner ends"]


def test_other_events_run_while_one_that_the_loop_started_is_blocked(events: EventManager) -> None:
    log: list[str] = []
    one = Blocker(events, log, "one")
    events.spawn(one, force_async=True)
    events.spawn(lambda: log.append("other"), force_async=True)
    events.set_timer(0, lambda: events.activate_context(one.context))  # fires before "one" has begun
    events.spawn(lambda: events.activate_context(one.context), force_async=True)
    run_all(events)
    assert log == ["one begins", "other", "one ends"]
    assert events.statistics()["failures"] == 1
    assert events.statistics()["blocked"] == 0


def test_a_context_activated_synchronously_runs_at_once(events: EventManager) -> None:
    log: list[str] = []
    one = Blocker(events, log, "one")
    events.spawn(one, force_async=True)

    def activator() -> None:
        events.activate_context_sync(one.context)
        log.append("activator ends")

    events.spawn(activator, force_async=True)
    events.spawn(lambda: log.append("next"), force_async=True)
    run_all(events)
    assert log == ["one begins", "one ends", "activator ends", "next"]


def test_a_synchronously_activated_event_may_block_again(events: EventManager) -> None:
    log: list[str] = []
    context = Context()

    def twice() -> None:
        for number in (1, 2):
            events.save_context(context)
            log.append(f"activation {number}")

    events.spawn(twice)
    events.activate_context_sync(context)
    assert log == ["activation 1"]
    events.spawn(lambda: events.activate_context_sync(context), force_async=True)
    events.turn()
    assert log == ["activation 1", "activation 2"]


def test_wrong_use_of_contexts_is_said(events: EventManager) -> None:
    one = Blocker(events, [], "one")
    with pytest.raises(ContextError, match="only an event can block"):
        events.save_context(Context())
    with pytest.raises(ContextError, match="never was"):
        events.activate_context(Context())
    events.spawn(one)
    errors: list[ContextError] = []

    def saves_again() -> None:
        try:
            events.save_context(one.context)
        except ContextError as error:
            errors.append(error)

    events.spawn(saves_again)
    assert "saved already" in str(errors[0])
    events.activate_context(pickle.loads(pickle.dumps(one.context)))
    with pytest.raises(ContextError, match="activated already"):
        events.activate_context(one.context)
    with pytest.raises(ContextError, match="activated already"):
        events.activate_context_sync(one.context)


def test_a_context_of_another_core_goes_there(events: EventManager) -> None:
    sent: list[tuple[Any, ...]] = []

    class Links:
        number, count = 0, 2

        def spawn(self, *call: Any) -> None:
            sent.append(call)

    ebb.current_core().install(ebb.CORE_LINKS, Links())
    there = Core(1)
    here = ebb.current_core()
    there.enter()
    context = Context()
    here.enter()
    events.activate_context(context)
    core, function, argument = sent[0]
    assert (core, argument.core, argument.number) == (1, 1, context.number)
    pickle.dumps((function, argument))
    with pytest.raises(ContextError, match="another core"):
        events.activate_context_sync(context)


def test_stop_with_blocked_events_returns_where_run_was_called(events: EventManager) -> None:
    log: list[str] = []
    one, two = Blocker(events, log, "one"), Blocker(events, log, "two")
    events.spawn(one, force_async=True)
    events.spawn(two, force_async=True)
    events.spawn(lambda: (events.activate_context(one.context), events.stop()), force_async=True)
    events.run()
    assert log == ["one begins", "two begins"]
    events.spawn(lambda: events.activate_context(two.context), force_async=True)
    events.spawn(lambda: events.spawn(events.stop, True), force_async=True)
    events.run()
    assert log == ["one begins", "two begins", "one ends", "two ends"]


def test_interrupts_timers_deferred_functions_and_idle_handlers_may_block(events: EventManager) -> None:
    log: list[str] = []
    deferred, timer = Blocker(events, log, "deferred"), Blocker(events, log, "timer")
    events.defer(deferred)
    events.defer(lambda: log.append("second deferred"))
    events.set_timer(0, timer)
    events.set_timer(0, lambda: log.append("second timer"))
    run_all(events)
    assert log == ["deferred begins", "second deferred", "timer begins", "second timer"]
    events.activate_context(timer.context)
    events.activate_context(deferred.context)
    run_all(events)
    assert log[4:] == ["timer ends", "deferred ends"]


def test_the_loop_cannot_be_run_or_closed_from_an_event(events: EventManager) -> None:
    errors: list[Exception] = []

    def event() -> None:
        for function in (events.run, events.close):
            try:
                function()
            except RuntimeError as error:
                errors.append(error)

    events.spawn(event)
    events.spawn(event, force_async=True)
    events.turn()
    assert len(errors) == 4


def test_a_keyboard_interrupt_ends_run_wherever_it_was_raised(events: EventManager) -> None:
    def pressed() -> None:
        raise KeyboardInterrupt

    def outer() -> None:
        events.spawn(pressed)

    def blocked() -> None:
        events.save_context(context)
        raise KeyboardInterrupt

    context = Context()
    events.spawn(outer, force_async=True)
    with pytest.raises(KeyboardInterrupt):
        events.run()
    events.spawn(blocked)
    events.activate_context(context)
    with pytest.raises(KeyboardInterrupt):
        events.run()
    log: list[str] = []
    events.spawn(lambda: log.append("goes on"), force_async=True)
    events.turn()
    assert log == ["goes on"]


def test_thousands_may_block_and_their_number_is_bounded(events: EventManager) -> None:
    waiting: list[Promise[int]] = []
    log: list[int] = []

    def wait() -> None:
        promise: Promise[int] = Promise()
        waiting.append(promise)
        log.append(promise.future.block())

    for _ in range(3000):
        events.spawn(wait, force_async=True)
    run_all(events)
    assert events.statistics()["blocked"] == 3000
    for number, promise in enumerate(waiting):
        promise.set_value(number)
    run_all(events)
    assert log == list(range(3000))
    assert events.statistics()["stacks"] <= 70
    waiting.clear()
    for _ in range(5000):
        events.spawn(wait, force_async=True)
    run_all(events)
    found = events.statistics()
    assert found["stacks"] == 4096
    assert found["failures"] == 5000 - found["blocked"] > 0, "the others were told"
    for promise in waiting:
        promise.set_value(0)
    run_all(events)


def test_closing_ends_what_is_blocked(clock: ManualClock) -> None:
    log: list[str] = []
    manager = EventManager(clock)

    def blocked() -> None:
        try:
            manager.save_context(Context())
        finally:
            log.append("cleaned up")

    manager.spawn(blocked)
    manager.spawn(blocked, force_async=True)
    manager.turn()
    manager.close()
    assert log == ["cleaned up", "cleaned up"]


def test_ids_and_storage_belong_to_one_event_and_survive_blocking(events: EventManager) -> None:
    seen: dict[str, tuple[tuple[int, int], dict[Any, Any]]] = {}
    promise: Promise[int] = Promise()

    def inner() -> None:
        events.local_storage()["name"] = "inner"
        before = events.event_id()
        promise.future.block()
        assert events.event_id() == before
        seen["inner"] = (events.event_id(), events.local_storage())

    async def coroutine() -> None:
        events.local_storage()["name"] = "coroutine"
        await promise.future
        seen["coroutine"] = (events.event_id(), events.local_storage())

    def outer() -> None:
        events.local_storage()["name"] = "outer"
        events.spawn(inner)
        events.spawn(coroutine)
        seen["outer"] = (events.event_id(), events.local_storage())
        promise.set_value(1)

    events.spawn(outer, force_async=True)
    run_all(events)
    assert {name: storage["name"] for name, (_, storage) in seen.items()} == {name: name for name in seen}
    assert len(seen) == len({number for number, _ in seen.values()}) == 3
    with pytest.raises(ContextError, match="no event"):
        events.event_id()


def test_block_gives_the_result_or_the_error(events: EventManager) -> None:
    log: list[object] = []
    good: Promise[int] = Promise()
    bad: Promise[int] = Promise()

    def event() -> None:
        log.append(good.future.block())
        try:
            bad.future.block()
        except ValueError as error:
            log.append(str(error))

    with pytest.raises(ContextError, match="only an event can block"):
        good.future.block()
    assert ready(5).block() == 5
    events.spawn(event)
    events.spawn(lambda: good.set_value(1), force_async=True)
    events.spawn(lambda: bad.set_error(ValueError("bad")), force_async=True)
    run_all(events)
    run_all(events)
    assert log == [1, "bad"]


def test_coroutines_are_events(events: EventManager, caplog: pytest.LogCaptureFixture) -> None:
    log: list[object] = []
    promise: Promise[int] = Promise()

    async def double() -> int:
        return 2 * await promise.future

    async def fails_later() -> None:
        log.append(await double())
        raise ValueError("in a coroutine")

    async def awaits_nonsense() -> None:
        class Nonsense:
            def __await__(self) -> Iterator[str]:
                yield "nonsense"

        await Nonsense()  # type: ignore[misc]

    events.spawn(fails_later)
    doubled = events.run_coroutine(double())
    log.append("spawned")
    promise.set_value(4)
    run_all(events)
    assert log == ["spawned", 8]
    assert doubled.result() == 8
    assert "in a coroutine" in caplog.text
    assert "fails_later" in caplog.text
    assert isinstance(events.run_coroutine(awaits_nonsense()).error(), TypeError)


def test_a_continuation_that_fails_is_a_failure_of_the_core(events: EventManager) -> None:
    promise: Promise[int] = Promise()
    log: list[int] = []

    def fails(_: Future[int]) -> None:
        raise ValueError("in a continuation")

    promise.future.when_done(fails)
    promise.future.when_done(lambda done: log.append(done.result()))
    promise.set_value(1)
    promise.future.when_done(fails)
    assert (log, events.statistics()["failures"]) == ([1], 2)


def test_a_time_limit_leaves_nothing_behind(events: EventManager, clock: ManualClock) -> None:
    slow: Promise[int] = Promise()
    quick: Promise[int] = Promise()
    limited = slow.future.within(10**9)
    in_time = quick.future.within(10**9)
    quick.set_value(3)
    assert in_time.result() == 3
    clock.advance(10**9)
    events.turn()
    assert isinstance(limited.error(), TimedOutError)
    slow.set_value(1)
    assert isinstance(limited.error(), TimedOutError)
    assert isinstance(slow.future.within(1).result(), int)


def test_a_grace_period_waits_for_what_runs_or_is_blocked(events: EventManager) -> None:
    log: list[str] = []
    old, young = Blocker(events, log, "old"), Blocker(events, log, "young")
    promise: Promise[None] = Promise()

    async def coroutine() -> None:
        await promise.future
        log.append("coroutine ends")

    def unlink() -> None:
        events.after_grace_period(lambda: log.append("freed"))
        log.append("unlinked")

    events.spawn(old)
    events.spawn(coroutine)
    events.spawn(unlink, force_async=True)
    run_all(events)
    events.spawn(young)
    events.activate_context(old.context)
    run_all(events)
    assert log == ["old begins", "unlinked", "young begins", "old ends"]
    promise.set_value(None)
    run_all(events)
    assert log[4:] == ["coroutine ends", "freed"], "young began later"


def test_a_grace_period_is_waited_for_on_every_core(events: EventManager) -> None:
    answers: list[Promise[None]] = []

    class Links:
        number, count = 0, 3

        def call(self, core: int, function: Callable[[], Any]) -> Future[None]:
            pickle.dumps(function)
            answers.append(Promise())
            return answers[-1].future

    ebb.current_core().install(ebb.CORE_LINKS, Links())
    log: list[str] = []
    events.after_grace_period(lambda: log.append("freed"))
    run_all(events)
    answers[0].set_value(None)
    run_all(events)
    assert log == []
    answers[1].set_value(None)
    run_all(events)
    assert log == ["freed"]
    events.after_grace_period(lambda: log.append("never"))
    for answer in answers[2:]:
        answer.set_error(RuntimeError("core"))
    run_all(events)
    assert (log, events.statistics()["failures"]) == (["freed"], 1)


@pytest.mark.parametrize("seed", range(20))
def test_random_trees_of_events_run_each_exactly_once(events: EventManager, clock: ManualClock, seed: int) -> None:
    """Each event spawns, blocks, awaits and sets timers at random; afterwards each has begun and ended once."""
    chance = random.Random(seed)
    begun: list[int] = []
    ended: list[int] = []
    blocked: list[Context] = []
    queued: list[int] = []  # what was spawned for later, in order
    numbers = iter(range(10**6))

    def activate_some() -> None:
        while blocked and chance.random() < 0.7:
            context = blocked.pop(chance.randrange(len(blocked)))
            chance.choice((events.activate_context, events.activate_context_sync))(context)

    def make(depth: int, later: bool) -> Callable[[], None]:
        number = next(numbers)
        if later:
            queued.append(number)

        def event() -> None:
            if later:
                assert queued.pop(0) == number, "in the order of spawning"
            begun.append(number)
            storage = events.local_storage()
            storage["number"] = number
            for _ in range(chance.randrange(4) if depth < 5 else 0):
                kind = chance.randrange(5)
                if kind == 0:
                    child = make(depth + 1, False)
                    before = len(begun)
                    events.spawn(child)
                    assert len(begun) > before, "handed over"
                elif kind == 1:
                    events.spawn(make(depth + 1, True), force_async=True)
                elif kind == 2:
                    context = Context()
                    blocked.append(context)
                    events.save_context(context)
                elif kind == 3:
                    events.set_timer(chance.randrange(1000), make(depth + 1, False))
                else:
                    activate_some()
                assert events.local_storage() is storage
                assert storage["number"] == number
            ended.append(number)

        return event

    for _ in range(40):
        events.spawn(make(0, True), force_async=True)
    for _ in range(200):
        clock.advance(100)
        events.spawn(activate_some, force_async=True)
        run_all(events)
    while blocked:
        events.activate_context(blocked.pop())
        clock.advance(1000)
        run_all(events)
    run_all(events)
    assert events.statistics()["failures"] == 0
    assert sorted(begun) == sorted(ended) == list(range(next(numbers)))
    assert events.statistics()["blocked"] == 0
