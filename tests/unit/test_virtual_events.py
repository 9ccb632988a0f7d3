"""The event loop of a core under virtual time: everything of an instant, then the next deadline, and no waiting."""

import pytest

from ebbrt.clock import ManualClock
from ebbrt.constants import FOREVER
from ebbrt.events import virtual
from ebbrt.events.handlers import IdleHandler, InterruptHandler
from ebbrt.events.virtual import RestlessError, VirtualEventManager


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1)


@pytest.fixture
def events(clock: ManualClock) -> VirtualEventManager:
    return VirtualEventManager(clock)


def test_it_does_what_follows_from_what_is_there_and_tells_the_next_deadline(
    clock: ManualClock, events: VirtualEventManager
) -> None:
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        events.spawn(lambda: seen.append("spawned"), force_async=True)
        events.defer(lambda: seen.append("deferred"))
        events.set_timer(0, lambda: seen.append("due"))
        events.set_timer(50, lambda: seen.append("later"))

    events.spawn(first, force_async=True)
    assert events.settle() == 51
    assert seen == ["first", "deferred", "due", "spawned"]
    clock.advance(50)
    assert events.settle() == FOREVER
    assert seen[-1] == "later"


def test_an_interrupt_is_handled(events: VirtualEventManager) -> None:
    class Handler(InterruptHandler):
        count = 0

        def interrupt(self) -> None:
            self.count += 1

    handler = Handler()
    vector = events.allocate_vector(handler)
    for _ in range(200):
        events.raise_interrupt(vector)
    events.settle()
    assert handler.count == 200


def test_an_event_that_blocks_goes_on_at_another_instant(clock: ManualClock, events: VirtualEventManager) -> None:
    from ebbrt.events.context import Context

    seen: list[int] = []

    def sleep() -> None:
        context = Context()
        events.set_timer(100, lambda: events.activate_context(context))
        events.save_context(context)
        seen.append(clock.now())

    events.spawn(sleep, force_async=True)
    assert events.settle() == 101
    clock.advance(100)
    events.settle()
    assert seen == [101]


def test_stop_ends_it_for_good(events: VirtualEventManager) -> None:
    events.spawn(events.stop, force_async=True)
    events.set_timer(10, lambda: None)
    assert events.settle() == FOREVER
    assert events.stopped


def test_an_idle_handler_that_never_ends_is_told(events: VirtualEventManager, monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy(IdleHandler):
        def poll(self) -> None:
            pass

    monkeypatch.setattr(virtual, "MOST_TURNS", 1000)
    events.add_idle_handler(Busy())
    with pytest.raises(RestlessError):
        events.settle()


def test_there_are_no_descriptors_to_watch(events: VirtualEventManager) -> None:
    with pytest.raises(RuntimeError, match="virtual time"):
        events.watch(0, InterruptHandler())
