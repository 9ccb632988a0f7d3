"""Several cores of one node in one process, turned by hand."""

from ebbrt.clock import ManualClock
from ebbrt.core_links import POLLS, RING, CoreLinksPlan, RingCoreLinks
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import IdleHandler
from ebbrt.memory import MemoryAllocator, NodeMemory

TURNS = 2 * POLLS + 1  # within them a busy core looks at its interrupts, and gives back what it has dropped
SHARE = 1 << 20  # bytes of node memory for each core


class NeverHalt(IdleHandler):
    def poll(self) -> None:
        pass


class SeveralCores:
    """``count`` cores with ``share`` bytes of one node memory each; ``settle`` turns them until nothing happens.

    ``first``: core 0's Event Manager, when others use it too.
    """

    def __init__(
        self, count: int, ring_size: int = RING, share: int = SHARE, first: EventManager | None = None
    ) -> None:
        start = (CoreLinksPlan.size(count, ring_size) + 4095) // 4096 * 4096
        self.memory = NodeMemory(start + count * share)
        self.plan = CoreLinksPlan(self.memory, 0, count, ring_size)
        self.events = [EventManager(ManualClock(1000)) for _ in range(count if first is None else count - 1)]
        if first is not None:
            self.events.insert(0, first)
        self.allocators = [
            MemoryAllocator(self.memory, start + number * share, start + (number + 1) * share)
            for number in range(count)
        ]
        self.links: list[RingCoreLinks] = []
        self.busy: list[IdleHandler] = []
        for number in range(count):
            self.links.append(self.plan.links(number, self.events[number], self.allocators[number]))
            self.busy.append(NeverHalt())  # or a turn would wait for an interrupt
            self.events[number].add_idle_handler(self.busy[number])

    def turn(self, number: int) -> None:
        """Let one core look at its interrupts and do what it then has to do."""
        for _ in range(TURNS):
            self.events[number].turn()

    def settle(self) -> None:
        quiet = 0
        while quiet < 2:  # what was sent outside of events leaves in the first of them
            before = self._activity()
            for number in range(len(self.links)):
                self.turn(number)
            quiet = quiet + 1 if self._activity() == before else 0

    def _activity(self) -> list[int]:
        return [manager.events + manager.interrupts + manager.failures for manager in self.events]

    def close(self) -> None:
        for links in self.links:
            links.close()
        for manager in self.events:
            manager.close()
        self.plan.close()
