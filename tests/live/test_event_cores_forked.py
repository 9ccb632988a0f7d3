"""Events over cores in processes of their own: contexts, counts and grace periods go from one to the other."""

import pytest

from ebbrt import ebb
from ebbrt.core_links import RingCoreLinks
from ebbrt.ebb import Core, event_manager
from ebbrt.events.context import Context
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Promise
from ebbrt.memory import MemoryAllocator
from tests.forked_cores import run_cores

pytestmark = pytest.mark.live

LINGERS = 30_000_000  # ns
EVENTS = [1_000, 20_000, 300_000]
FEW = 100


def activate(context: Context) -> None:
    event_manager.activate_context(context)


def linger() -> None:
    """Hold on to something for a while, on a core that does other things meanwhile."""
    over: Promise[None] = Promise()
    event_manager.set_timer(LINGERS, lambda: over.set_value(None))
    over.future.block()


def leave() -> None:
    event_manager.stop()


def ask_or_serve(links: RingCoreLinks, events: EventManager, allocator: MemoryAllocator) -> list[object]:
    core = Core(links.number)
    core.install(ebb.EVENT_MANAGER, events)
    core.install(ebb.CORE_LINKS, links)
    core.enter()
    events.events = EVENTS[links.number]
    answers: list[object] = []

    def ask() -> None:
        context = Context()
        links.spawn(1, activate, context)
        events.save_context(context)
        answers.append(events.get_num_node())
        lingering = links.call(2, linger)

        def over() -> None:
            answers.append(lingering.done())
            for other in (1, 2):
                links.spawn(other, leave)
            events.stop()

        events.after_grace_period(over)
        answers.append(lingering.done())

    if links.number == 0:
        events.spawn(ask, force_async=True)
    events.run()
    return [*answers, events.failures]


def test_contexts_counts_and_grace_periods_over_processes() -> None:
    (count, before, after, failures), *others = run_cores(3, ask_or_serve)
    assert 0 <= count - sum(EVENTS) < FEW
    assert (before, after) == (False, True), "not before what another core held on to has ended"
    assert (failures, others) == (0, [[0], [0]])
