"""What the runtime costs on one core: events, contexts, references. Measured in this process, on a loop of its own.

Each figure is the median of rounds; what is compared alternates within each round. An operation is repeated some
thousand times and the time divided; the loop around it is Python's, a few ns, and is in all figures alike.
"""

import gc
import time
import timeit
from collections.abc import Callable
from functools import partial

from ebbrt.clock import MonotonicClock
from ebbrt.ebb import EVENT_MANAGER, Core, EbbRef
from ebbrt.events.context import Context
from ebbrt.events.event_manager import EventManager
from netlab.bench.figures import Figure, compared, figure

REPEATS = 20_000
PLAIN = 300  # the id of an Ebb to be called


class Plain:
    """A representative of plain Python."""

    def nothing(self) -> None:
        """The method that is called: what it costs is the call."""


def measure(rounds: int) -> list[Figure]:
    """Measure everything. Another core is this process's current one afterwards."""
    core = Core()
    events = EventManager(MonotonicClock())
    plain = Plain()
    core.install(EVENT_MANAGER, events)
    core.install(PLAIN, plain)
    core.enter()
    gc.disable()  # as in a node, and as timeit does
    try:
        queued = [_queued(events) for _ in range(rounds)]
        nested = [_as_event(events, _nested) for _ in range(rounds)]
        switched = [_switched(events) for _ in range(rounds)]
    finally:
        gc.enable()
        events.close()
    of_plain = _calls(rounds, "nothing", plain, EbbRef(PLAIN))
    of_compiled = _calls(rounds, "get_num_core", events, EbbRef(EVENT_MANAGER))
    return [
        figure("event queued and run", "ns", queued, 300),
        figure("event spawned in an event", "ns", nested, 300),
        figure("context saved and activated", "ns", switched, 1000),
        compared("EbbRef call, plain class", "ns", of_plain[1], "method call", of_plain[0], 1.5),
        compared("EbbRef call, compiled class", "ns", of_compiled[1], "method call", of_compiled[0], 1.5),
    ]


def _nothing() -> None:
    pass


def _queued(events: EventManager) -> float:
    start = time.perf_counter_ns()
    for _ in range(REPEATS):
        events.spawn(_nothing, True)
    events.spawn(events.stop, True)
    events.run()
    return (time.perf_counter_ns() - start) / REPEATS


def _as_event(events: EventManager, function: Callable[[EventManager], float]) -> float:
    """What ``function(events)`` returns, run as an event."""
    results: list[float] = []

    def event() -> None:
        results.append(function(events))
        events.stop()

    events.spawn(event, True)
    events.run()
    return results[0]


def _nested(events: EventManager) -> float:
    start = time.perf_counter_ns()
    for _ in range(REPEATS):
        events.spawn(_nothing)
    return (time.perf_counter_ns() - start) / REPEATS


def _switched(events: EventManager) -> float:
    """Two events that each activate the other and then block: one of each for every turn of either."""
    contexts = [Context(), Context()]

    def event(own: int) -> None:
        for _ in range(REPEATS // 2):
            if own:
                events.activate_context(contexts[0])
            events.save_context(contexts[own])
            if not own:
                events.activate_context(contexts[1])
        if own:
            events.stop()

    start = time.perf_counter_ns()
    events.spawn(partial(event, 0), True)
    events.spawn(partial(event, 1), True)
    events.run()
    return (time.perf_counter_ns() - start) / REPEATS


def _calls(rounds: int, method: str, direct: object, reference: EbbRef) -> tuple[list[float], list[float]]:
    """Nanoseconds of a call of ``direct.method()`` and of ``reference.method()``, round by round."""
    timers = [timeit.Timer(f"target.{method}()", globals={"target": target}) for target in (direct, reference)]
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 else (1, 0):
            times[which].append(timers[which].timeit(REPEATS) * 1e9 / REPEATS)
    return times
