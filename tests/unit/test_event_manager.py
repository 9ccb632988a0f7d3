"""The event loop, turned by hand under a clock that stands still."""

import functools
import logging
import os
import threading
from collections.abc import Iterator

import pytest

from ebbrt.clock import ManualClock
from ebbrt.constants import FOREVER
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import IdleHandler, InterruptHandler, TimerSource


class Interrupt(InterruptHandler):
    def __init__(self, log: list[str], fails: bool = False) -> None:
        self.log = log
        self.fails = fails

    def interrupt(self) -> None:
        self.log.append("interrupt")
        if self.fails:
            raise RuntimeError("interrupt")


class Idle(IdleHandler):
    def __init__(self, log: list[str], name: str = "idle", fails: bool = False) -> None:
        self.log = log
        self.name = name
        self.fails = fails

    def poll(self) -> None:
        self.log.append(self.name)
        if self.fails:
            raise RuntimeError("idle")


class Source(TimerSource):
    def __init__(self, log: list[str], deadline: int) -> None:
        self.log = log
        self.deadline = deadline

    def next_deadline(self) -> int:
        return self.deadline

    def expire(self, now: int) -> None:
        self.log.append(f"source {now}")
        self.deadline = FOREVER


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000)


@pytest.fixture
def events(clock: ManualClock) -> Iterator[EventManager]:
    manager = EventManager(clock)
    yield manager
    manager.close()


def test_a_turn_takes_interrupts_then_timers_then_one_task_then_idle_handlers(events: EventManager) -> None:
    log: list[str] = []
    events.add_idle_handler(Idle(log))
    events.spawn(lambda: log.append("task 1"), force_async=True)
    events.spawn(lambda: log.append("task 2"), force_async=True)
    events.set_timer(0, lambda: log.append("timer"))
    vector = events.allocate_vector(Interrupt(log))
    events.raise_interrupt(vector)
    events.raise_interrupt(vector)
    for _ in range(6):
        events.turn()
    assert log == ["interrupt", "interrupt", "timer", "task 1", "task 2", "idle"]
    assert events.statistics()["halts"] == 0


def test_with_nothing_to_do_the_core_halts_until_the_next_deadline(events: EventManager, clock: ManualClock) -> None:
    log: list[str] = []
    events.set_timer(1, lambda: log.append("timer"))
    events.turn()
    assert (log, events.statistics()["halts"]) == ([], 1)
    clock.advance(1)
    events.turn()
    assert log == ["timer"]


def test_spawn_runs_at_once_and_async_from_the_loop(events: EventManager) -> None:
    log: list[str] = []
    events.spawn(lambda: log.append("now"))
    events.spawn(lambda: log.append("later"), force_async=True)
    assert log == ["now"]
    events.turn()
    assert log == ["now", "later"]


def test_failures_are_reported_with_their_origin_and_survived(
    events: EventManager, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []

    def broken() -> None:
        raise ValueError("task")

    with caplog.at_level(logging.CRITICAL + 1):
        events.spawn(broken)
    events.spawn(broken, force_async=True)
    events.set_timer(0, broken)
    events.raise_interrupt(events.allocate_vector(Interrupt(log, fails=True)))
    events.add_idle_handler(Idle(log, "first", fails=True))
    events.add_idle_handler(Idle(log, "second"))
    for _ in range(4):
        events.turn()
    assert log == ["interrupt", "first", "second"], "one that fails must not starve the others"
    assert events.statistics()["failures"] == 5
    assert "broken" in caplog.text


def test_a_keyboard_interrupt_is_not_swallowed(events: EventManager) -> None:
    def pressed() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        events.spawn(pressed)


def test_timers_fire_in_order_and_stopped_ones_never(events: EventManager, clock: ManualClock) -> None:
    log: list[int] = []
    timers = [events.set_timer(delay, functools.partial(log.append, delay)) for delay in (30, 10, 20, 10)]
    timers[2].stop()
    clock.advance(29)
    events.turn()
    assert log == [10, 10]
    clock.advance(1)
    events.turn()
    assert log == [10, 10, 30]
    timers[0].stop()


def test_a_timer_that_sets_itself_for_now_does_not_hold_the_loop(events: EventManager) -> None:
    log: list[str] = []

    def again() -> None:
        log.append("timer")
        if len(log) > 100:
            raise KeyboardInterrupt
        events.set_timer(0, again)

    again()
    events.turn()
    assert log == ["timer", "timer"]


def test_timer_sources_are_asked_and_expired(events: EventManager, clock: ManualClock) -> None:
    log: list[str] = []
    events.add_timer_source(Source(log, 1500))
    clock.advance(500)
    events.turn()
    assert log == ["source 1500"]


def test_a_ready_descriptor_is_an_interrupt_even_while_a_core_polls(events: EventManager) -> None:
    log: list[str] = []
    idle: list[str] = []
    handler = Idle(idle)
    reader, writer = os.pipe()
    events.watch(reader, Interrupt(log))
    os.write(writer, b"x")
    events.turn()
    assert log == ["interrupt"]
    events.add_idle_handler(handler)
    for _ in range(64):
        events.turn()
    assert log == ["interrupt", "interrupt"], "level-triggered, looked at every so many idle turns"
    events.remove_idle_handler(handler)
    events.unwatch(reader)
    os.close(reader)
    os.close(writer)
    with pytest.raises(ValueError):
        events.remove_idle_handler(handler)


class ReadAndForget(InterruptHandler):
    """Takes what came; the descriptors ``others`` are watched no longer."""

    def __init__(self, log: list[int], events: EventManager, fd: int) -> None:
        self.log = log
        self.events = events
        self.fd = fd
        self.others: list[int] = []

    def interrupt(self) -> None:
        self.log.append(self.fd)
        os.read(self.fd, 1)
        for fd in self.others:
            self.events.unwatch(fd)


@pytest.mark.parametrize("forget", [False, True])
def test_of_descriptors_that_are_ready_together_each_is_served_once_unless_forgotten(
    events: EventManager, forget: bool
) -> None:
    log: list[int] = []
    pipes = [os.pipe() for _ in range(3)]
    handlers = {reader: ReadAndForget(log, events, reader) for reader, _ in pipes}
    for reader, writer in pipes:
        events.watch(reader, handlers[reader])
        os.write(writer, b"x")
    if forget:
        handlers[pipes[0][0]].others = [pipes[1][0]]
        handlers[pipes[1][0]].others = [pipes[0][0]]
    events.spawn(lambda: log.append(-1), force_async=True)
    events.turn()
    assert log == [-1]
    for _ in range(2 if forget else 3):
        before = len(log)
        events.turn()
        assert len(log) == before + 1
    expected = [reader for reader, _ in pipes if reader not in handlers[log[1]].others]
    assert sorted(log[1:]) == sorted(expected)
    for fd in (fd for pipe in pipes for fd in pipe):
        os.close(fd)


def test_run_ends_when_it_is_stopped(events: EventManager) -> None:
    log: list[str] = []
    events.spawn(lambda: log.append("1"), force_async=True)
    events.spawn(events.stop, force_async=True)
    events.spawn(lambda: log.append("2"), force_async=True)
    events.run()
    assert log == ["1"]


def test_a_deferred_function_runs_when_the_event_has_ended(events: EventManager) -> None:
    log: list[str] = []

    def event() -> None:
        events.defer(lambda: log.append("deferred"))
        log.append("event")

    events.spawn(event, force_async=True)
    events.spawn(lambda: log.append("next"), force_async=True)
    events.turn()
    assert log == ["event", "deferred"]
    events.turn()
    assert log == ["event", "deferred", "next"]


def test_what_is_deferred_outside_of_an_event_does_not_wait_for_one(events: EventManager) -> None:
    log: list[str] = []
    events.defer(lambda: events.defer(lambda: log.append("second")))
    events.defer(lambda: log.append("first"))
    events.turn()
    assert (log, events.statistics()["halts"]) == (["first", "second"], 0)


def test_another_thread_wakes_a_halted_core(events: EventManager) -> None:
    log: list[str] = []

    def work() -> None:
        events.spawn_from_thread(lambda: log.append("from a thread"))
        events.spawn_from_thread(events.stop)

    thread = threading.Thread(target=work)
    events.spawn(thread.start, force_async=True)
    events.run()  # would wait for ever
    thread.join()
    assert log == ["from a thread"]


def test_a_freed_vector_is_forgotten_and_given_out_again(events: EventManager) -> None:
    log: list[str] = []
    vector = events.allocate_vector(Interrupt(log))
    events.raise_interrupt(vector)
    events.free_vector(vector)
    events.spawn(lambda: log.append("task"), force_async=True)
    events.turn()
    assert log == ["task"]
    with pytest.raises(ValueError, match="belongs to nobody"):
        events.raise_interrupt(vector)
    assert events.allocate_vector(Interrupt(log)) == vector


def test_stopped_timers_neither_wake_the_core_nor_stay_in_memory(events: EventManager, clock: ManualClock) -> None:
    late = events.set_timer(10**9, lambda: None)
    for _ in range(10_000):
        events.set_timer(10**12, lambda: None).stop()
    late.stop()
    late.stop()
    log: list[str] = []
    events.set_timer(2 * 10**9, lambda: log.append("fired"))
    clock.advance(2 * 10**9)
    events.turn()
    assert log == ["fired"]


def test_an_event_that_runs_too_long_is_named(
    events: EventManager, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    def sluggish() -> None:
        clock.advance(events.long_event_limit + 1)

    def quick() -> None:
        clock.advance(events.long_event_limit)

    for function in (sluggish, quick, sluggish):
        events.spawn(function, force_async=True)
        events.turn()
        clock.advance(10**6)  # between turns nothing runs
    found = events.statistics()
    assert found["long_events"] == 2
    assert "sluggish" in found["longest_event"]
    assert found["longest_event_ns"] == events.long_event_limit + 1
    assert len([record for record in caplog.records if "sluggish" in record.message]) == 1, "said once a second"


def test_descriptors_are_looked_at_although_there_is_always_a_task(events: EventManager) -> None:
    log: list[str] = []

    def again() -> None:
        events.spawn(again, force_async=True)

    reader, writer = os.pipe()
    events.watch(reader, Interrupt(log))
    os.write(writer, b"x")
    again()
    for _ in range(64):
        events.turn()
    assert log == ["interrupt"]
    os.close(reader)
    os.close(writer)
