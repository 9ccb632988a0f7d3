"""Events over several cores with real links, and over several nodes with real Messengers."""

import os
from collections.abc import Callable, Iterator

import pytest

from ebbrt import ebb
from ebbrt.core_links import CoreLinksPlan
from ebbrt.ebb import Core, core_links, current_core, event_manager
from ebbrt.events.context import Context
from ebbrt.events.event_manager import EventManager
from ebbrt.memory import NodeMemory
from tests.ebb_cores import EbbCores
from tests.messenger_nodes import MessengerNode
from tests.node_pair import VirtualNetwork
from tests.several_cores import TURNS, NeverHalt

EVENTS = [1_000, 20_000, 300_000]  # that each core or node has run, before the few that count them
FEW = 100


@pytest.fixture
def cores() -> Iterator[EbbCores]:
    before = ebb.current_core()
    cores = EbbCores(3)
    yield cores
    cores.id_map.close()
    cores.close()
    before.enter()


def blocked(cores: EbbCores, number: int, log: list[int]) -> Context:
    """The context of an event that is blocked on a core, and then logs the core on which it goes on."""
    contexts: list[Context] = []

    def event() -> None:
        contexts.append(Context())
        event_manager.save_context(contexts[0])
        log.append(current_core().number)

    cores.cores[number].enter()
    cores.events[number].spawn(event)
    return contexts[0]


def test_a_context_is_activated_from_another_core(cores: EbbCores) -> None:
    log: list[int] = []
    context = blocked(cores, 1, log)
    cores.settle()
    assert log == []
    cores.on(2, lambda: event_manager.activate_context(context))
    assert log == [1]
    cores.on(2, lambda: event_manager.activate_context(context))
    assert log == [1]
    assert [events.failures for events in cores.events] == [0, 1, 0], "reported over there"


@pytest.mark.parametrize("holder", range(3))
def test_a_grace_period_ends_when_no_core_holds_on_any_more(cores: EbbCores, holder: int) -> None:
    log: list[int] = []
    freed: list[int] = []
    context = blocked(cores, holder, log)
    cores.on(1, lambda: event_manager.after_grace_period(lambda: freed.append(current_core().number)))
    assert freed == []
    cores.on(0, lambda: event_manager.activate_context(context))
    assert (log, freed) == ([holder], [1])


@pytest.mark.parametrize("asking", range(3))
def test_the_events_of_a_node_are_those_of_all_its_cores(cores: EbbCores, asking: int) -> None:
    for events, count in zip(cores.events, EVENTS, strict=True):
        events.events = count
    before = sum(events.events for events in cores.events)
    assert before <= cores.on(asking, lambda: event_manager.get_num_node()) < before + FEW
    assert cores.on(asking, lambda: event_manager.get_num_core()) < EVENTS[asking] + FEW


ids: list[tuple[int, int]] = []


async def fails_later() -> None:
    ids.append(event_manager.event_id())
    await core_links.call(0, os.getpid)
    ids.append(event_manager.event_id())
    raise ValueError("over there")


def test_a_coroutine_spawned_from_another_core_is_one_event(cores: EbbCores, caplog: pytest.LogCaptureFixture) -> None:
    ids.clear()
    cores.on(0, lambda: core_links.spawn(1, fails_later))
    assert len(ids) == 2
    assert ids[0] == ids[1]
    assert cores.events[1].failures == 1
    assert "over there" in caplog.text


class Application:
    """A front-end with two cores, and two back-ends."""

    def __init__(self) -> None:
        self.network = VirtualNetwork(3)
        self.nodes = [MessengerNode(machine, number) for number, machine in enumerate(self.network.nodes)]
        for node, count in zip(self.nodes, EVENTS, strict=True):
            node.machine.events.events = count
        home, *back_ends = self.nodes
        for back_end in back_ends:
            home.machine.events.joined(back_end.id)
            back_end.machine.events.joined(home.id)
        self.plan = CoreLinksPlan(NodeMemory(1 << 20), 0, 2)
        self.second = EventManager(self.network.clock)
        self.second.add_idle_handler(NeverHalt())
        self.second_core = Core(1)
        self.links = [
            self.plan.links(number, events, home.machine.allocator)
            for number, events in enumerate((home.machine.events, self.second))
        ]
        self.second_core.install(ebb.EVENT_MANAGER, self.second)
        self.second_core.install(ebb.CORE_LINKS, self.links[1])
        home.machine.core.install(ebb.CORE_LINKS, self.links[0])

    def get_num(self, core: Core) -> int:
        """What an event of that core gets."""
        counts: list[int] = []

        def counted() -> bool:
            for turned in (self.second_core, self.nodes[0].machine.core):  # what the other cores ask for, core 0 sends
                turned.enter()
                for _ in range(TURNS):
                    event_manager.turn()
            return bool(counts)

        core.enter()
        event_manager.spawn(lambda: counts.append(event_manager.get_num()))
        self.network.run(counted)
        return counts[0]

    def close(self) -> None:
        for node in self.nodes:
            node.messenger.close()
        for links in self.links:
            links.close()
        self.second.close()
        self.network.close()
        self.plan.close()


@pytest.mark.parametrize(
    "asking",
    [
        pytest.param(lambda application: application.nodes[0].machine.core, id="front-end"),
        pytest.param(lambda application: application.nodes[2].machine.core, id="back-end"),
        pytest.param(lambda application: application.second_core, id="second core"),
    ],
)
def test_the_events_of_an_application_are_those_of_all_nodes(asking: Callable[[Application], Core]) -> None:
    application = Application()
    application.second.events = 4_000_000
    try:
        assert 0 <= application.get_num(asking(application)) - sum(EVENTS) - 4_000_000 < FEW
        for node in application.nodes:
            assert node.machine.events.failures == 0
    finally:
        application.close()
