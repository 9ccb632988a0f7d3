"""Replacing a base Ebb by one of the application's own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.examples.deadline_events import DeadlineEventManager
from ebbrt import configuration, ebb
from ebbrt.clock import ManualClock
from ebbrt.configuration import INTERFACES, Configuration, ConfigurationError
from ebbrt.ebb import Core, event_manager
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler

REPLACEMENT = "event_manager=apps.examples.deadline_events:DeadlineEventManager"


@pytest.fixture
def core() -> Iterator[Core]:
    before = ebb.current_core()
    core = Core()
    core.enter()
    yield core
    before.enter()


class Recorder(InterruptHandler):
    def __init__(self, order: list[str]) -> None:
        self.order = order

    def interrupt(self) -> None:
        self.order.append("interrupt")


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ([], ["interrupt", "first", "second", "third", "stop"]),
        ([REPLACEMENT], ["interrupt", "third", "first", "second", "stop"]),
    ],
)
def test_an_applications_event_manager_runs_the_loop_in_its_own_order(
    core: Core, options: list[str], order: list[str]
) -> None:
    events = Configuration.parse(options).make("event_manager", EventManager, ManualClock())
    core.install(ebb.EVENT_MANAGER, events)
    ran: list[str] = []
    event_manager.spawn(lambda: ran.append("first"), force_async=True)
    event_manager.spawn(lambda: ran.append("second"), force_async=True)
    by = event_manager.spawn_by if options else lambda deadline, function: event_manager.spawn(function, True)
    by(1000, lambda: ran.append("third"))
    event_manager.spawn(lambda: (ran.append("stop"), event_manager.stop()), force_async=True)
    event_manager.raise_interrupt(event_manager.allocate_vector(Recorder(ran)))
    event_manager.run()
    assert ran == order
    assert event_manager.statistics()["events"] == 4
    event_manager.close()


def test_an_exception_in_an_event_of_the_replacement_is_reported_as_always(core: Core) -> None:
    events = DeadlineEventManager(ManualClock())

    def fail() -> None:
        raise ValueError("no")

    events.spawn_by(0, fail)
    events.turn()
    assert events.statistics()["failures"] == 1
    events.close()


def test_what_is_not_replaced_is_the_default() -> None:
    made = Configuration.parse([REPLACEMENT]).make("local_id_map", ebb.LocalIdMap)
    assert type(made) is ebb.LocalIdMap


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("event_manager", "write event_manager=package.module:Class"),
        (
            "scheduler=apps.examples.deadline_events:DeadlineEventManager",
            "'scheduler' is not a base Ebb .* event_manager",
        ),
        ("event_manager=apps.examples.deadline_events", "names no class"),
        ("event_manager=:Class", "names no class"),
        ("event_manager=tests.nowhere:Class", "tests.nowhere cannot be imported"),
        ("event_manager=apps.examples.deadline_events:Missing", "apps.examples.deadline_events has no Missing"),
        ("event_manager=builtins:dict", "make it a subclass of ebbrt.events.event_manager:EventManager"),
        ("event_manager=builtins:print", "make it a subclass of"),
        ("core_links=apps.examples.deadline_events:DeadlineEventManager", "cannot be the core_links"),
    ],
)
def test_a_replacement_that_cannot_be_used_is_refused_with_the_reason(option: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Configuration.parse([option])


def test_a_module_that_fails_says_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_ebb.py").write_text("raise OSError('no such disk')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match=r"broken_ebb cannot be imported .OSError: no such disk"):
        Configuration({"event_manager": "broken_ebb:Class"})


def test_an_ebb_is_replaced_once() -> None:
    with pytest.raises(ConfigurationError, match="replaced twice"):
        Configuration.parse([REPLACEMENT, REPLACEMENT])


def test_every_interface_is_a_class_that_exists_and_a_base_ebb() -> None:
    for name, where in INTERFACES.items():
        assert isinstance(configuration._load(where), type)
        assert isinstance(getattr(ebb, name.upper()), int)
    with pytest.raises(ConfigurationError, match="'nothing' is not a base Ebb"):
        Configuration().make("nothing", dict)
