"""Several cores of one node in one process, with the base Ebbs on them."""

from collections.abc import Callable
from typing import Any

from ebbrt import ebb, ebb_kinds
from ebbrt.ebb import Core
from ebbrt.ebb_ids import EbbAllocator
from ebbrt.future import Promise
from ebbrt.id_map.global_id_map import GlobalIdMap
from ebbrt.id_map.table import TableStore
from tests.several_cores import SeveralCores


class EbbCores(SeveralCores):
    """Cores with Ebbs on them."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.id_map = GlobalIdMap(self.events[0], TableStore(self.events[0]))
        self.cores = [Core(number) for number in range(count)]
        for number, core in enumerate(self.cores):
            core.install(ebb.LOCAL_ID_MAP, ebb.LocalIdMap())
            core.install(ebb.EBB_ALLOCATOR, EbbAllocator(1, number))
            core.install(ebb.CORE_LINKS, self.links[number])
            core.install(ebb.EVENT_MANAGER, self.events[number])
            ebb_kinds.start(core)
        self.cores[0].install(ebb.GLOBAL_ID_MAP, self.id_map)

    def turn(self, number: int) -> None:
        self.cores[number].enter()
        super().turn(number)

    def on(self, number: int, function: Callable[..., Any], *arguments: Any) -> Any:
        """What ``function`` returns or raises, run as an event of that core."""
        outcome: Promise[Any] = Promise()

        def event() -> None:
            try:
                outcome.set_value(function(*arguments))
            except Exception as error:
                outcome.set_error(error)

        self.cores[number].enter()
        self.events[number].spawn(event)
        self.settle()
        self.cores[number].enter()
        return outcome.future.result()
