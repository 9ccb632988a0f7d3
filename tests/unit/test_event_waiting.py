"""How a core waits: halted, or awake where interrupts come soon and bring little to do (ADR 3)."""

from ebbrt.clock import ManualClock
from ebbrt.constants import MOST_AWAKE
from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from ebbrt.events.interrupts import Vectors

MICROSECOND = 1_000
LOOK = MICROSECOND  # what a look at the descriptors takes
WAKING = 30 * MICROSECOND  # what it takes to come out of a halt
MANY = 100  # interrupts: enough for the core to make up its mind


class Peer(InterruptHandler):
    """Its descriptor becomes ready ``gap`` ns after the core has answered, for which the core works ``work`` ns."""

    def __init__(self, clock: ManualClock, gap: int, work: int) -> None:
        self.clock = clock
        self.gap = gap
        self.work = work
        self.ready_at = clock.now() + gap
        self.answers = 0

    def interrupt(self) -> None:
        self.clock.advance(self.work)
        self.ready_at = self.clock.now() + self.gap
        self.answers += 1


class Descriptors(Vectors):
    """One peer's descriptor, watched on a clock that goes on while the core looks at it or halts."""

    def __init__(self, clock: ManualClock, peer: Peer) -> None:
        super().__init__()
        self.clock = clock
        self.peer = peer
        self.looks = 0

    def look(self, timeout: int) -> InterruptHandler | None:
        self.looks += 1
        end = self.peer.ready_at if timeout < 0 else self.clock.now() + timeout * 1000 * MICROSECOND
        self.clock.advance(LOOK)
        if timeout and self.clock.now() < self.peer.ready_at:
            self.clock.advance(min(end, self.peer.ready_at) - self.clock.now() + WAKING)
        return self.peer if self.clock.now() >= self.peer.ready_at else None


class Core:
    """An Event Manager that has one peer, and has served it ``MANY`` times."""

    def __init__(self, gap: int, work: int) -> None:
        self.clock = ManualClock()
        self.peer = Peer(self.clock, gap, work)
        self.descriptors = Descriptors(self.clock, self.peer)
        self.events = EventManager(self.clock, self.descriptors)
        self.serve(MANY)

    def serve(self, interrupts: int) -> tuple[int, int]:
        """Let so many come: how many waits for them were halts, and how many were awake."""
        halts, awake = self.events.halts, self.events.waits_awake
        answers = self.peer.answers + interrupts
        while self.peer.answers < answers:
            self.events.turn()
        return self.events.halts - halts, self.events.waits_awake - awake


def test_a_core_that_waits_longer_than_it_works_waits_awake():
    core = Core(gap=60 * MICROSECOND, work=15 * MICROSECOND)
    assert core.serve(MANY) == (0, MANY)
    began = core.clock.now()
    core.serve(MANY)
    assert core.clock.now() - began <= MANY * (60 + 15 + 2) * MICROSECOND, "it is not woken, it is there"


def test_a_core_that_works_longer_than_it_waits_halts_so_that_more_gathers_for_it():
    core = Core(gap=15 * MICROSECOND, work=60 * MICROSECOND)
    assert core.serve(MANY) == (MANY, 0)


def test_a_core_with_little_to_do_halts_at_once():
    core = Core(gap=10 * MOST_AWAKE, work=15 * MICROSECOND)
    before = core.descriptors.looks
    assert core.serve(MANY) == (MANY, 0)
    assert core.descriptors.looks == before + MANY, "each time once, halted"


def test_long_waits_end_the_waiting_awake_and_short_ones_bring_it_back():
    core = Core(gap=60 * MICROSECOND, work=15 * MICROSECOND)
    core.peer.gap = 10 * MOST_AWAKE
    halts, _ = core.serve(20)
    assert halts >= 19  # one more request may have been on its way
    core.peer.gap = 60 * MICROSECOND
    core.serve(MANY)
    assert core.serve(MANY) == (0, MANY)


def test_a_core_that_waits_awake_serves_its_timers():
    core = Core(gap=60 * MICROSECOND, work=15 * MICROSECOND)
    due = []
    core.events.set_timer(20 * MICROSECOND, lambda: due.append(core.clock.now()))
    began = core.clock.now()
    core.serve(1)
    (at,) = due
    assert 20 * MICROSECOND <= at - began <= 22 * MICROSECOND


def test_a_wait_awake_comes_to_an_end():
    core = Core(gap=60 * MICROSECOND, work=15 * MICROSECOND)
    core.peer.ready_at = core.clock.now() + 100 * MOST_AWAKE
    halts = core.events.halts
    core.events.turn()
    assert core.events.halts == halts + 1
