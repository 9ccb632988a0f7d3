"""How many events were run: on this node, and in the whole application (paper section 3.3 and its Figure 2).

Each core counts its own; a node's sum is gathered over the core links. For the application the front-end's Event
Manager is the *home*: it asks every back-end it was told of, and a back-end asks it. The runtime tells it (``joined``,
``left``), since it knows when a node is ready, and when it is dead; a back-end is told of the front-end alone. Where
nobody is known the node is the whole application. Only core 0 talks to other nodes.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ebbrt import ebb
from ebbrt.ebb import CORE_LINKS, EVENT_MANAGER, MEMORY_ALLOCATOR, core_links, current_core, messenger
from ebbrt.ebb_ids import EbbError
from ebbrt.future import Future, Promise, failed, ready, when_all
from ebbrt.iobuf import IOBuf
from ebbrt.messages import FRONT_END, NodeId, pack, unpack

if TYPE_CHECKING:
    from ebbrt.events.event_manager import EventManager

TIMEOUT = 5_000_000_000  # ns for another node's answer
NODE = "node"  # what is asked for
APPLICATION = "application"


def other_cores() -> list[int]:
    """The numbers of the other cores of this node."""
    core = current_core()
    if core.representative(CORE_LINKS) is None and CORE_LINKS not in core.faults:
        return []
    here: int = core_links.number
    return [number for number in range(core_links.count) if number != here]


class EventCounts:
    """The counts as seen from one core."""

    def __init__(self, manager: "EventManager") -> None:
        self._manager = manager
        self._nodes: dict[int, NodeId] = {}

    def joined(self, node: NodeId) -> None:
        """Count that node's events too, or, if it is the front-end, ask it for all."""
        self._nodes[node.number] = node

    def left(self, number: int) -> None:
        """Count them no more."""
        self._nodes.pop(number, None)

    def node(self) -> Future[int]:
        """Of all cores of this node."""
        others = [core_links.call(core, count_core) for core in other_cores()]
        return _sum([ready(self._manager.get_num_core()), *others])

    def application(self) -> Future[int]:
        """Of all nodes that are there."""
        if current_core().number != 0:
            everywhere: Future[int] = core_links.call(0, count_application)
            return everywhere
        home = self._nodes.get(FRONT_END)
        if home is not None:
            return _ask(home, APPLICATION)
        return _sum([self.node(), *[self._count(node) for node in self._nodes.values()]])

    def answer(self, data: IOBuf) -> Future[IOBuf]:
        """What another node's Event Manager asked for."""
        question = unpack(data)
        if question == NODE:
            count = self.node()
        elif question == APPLICATION:
            count = self.application()
        else:
            return failed(ValueError(f"an Event Manager cannot be asked for {question!r}"))
        return count.then(_to_message)

    def _count(self, node: NodeId) -> Future[int]:
        """That node's events; none when it dies before it answers and so is no longer there."""
        promise: Promise[int] = Promise()

        def answered(done: Future[int]) -> None:
            error = done.error()
            if error is None:
                promise.set_value(done.result())
            elif node.number not in self._nodes:
                promise.set_value(0)
            else:
                promise.set_error(error)

        _ask(node, NODE).when_done(answered)
        return promise.future


def count_core() -> int:
    """What a core runs for another one of its node."""
    count: int = ebb.event_manager.get_num_core()
    return count


def count_application() -> Any:
    """What core 0 runs for another core: the sum, blocking the event that runs this."""
    return ebb.event_manager.get_num()


def _ask(node: NodeId, question: str) -> Future[int]:
    try:
        answer: Future[IOBuf] = messenger.call(node, EVENT_MANAGER, _to_message(question), TIMEOUT)
    except (OSError, EbbError) as error:
        return failed(error)
    return answer.then(_unpack)


def _to_message(value: str | int) -> IOBuf:
    return pack(current_core().representative(MEMORY_ALLOCATOR), value)


def _unpack(data: IOBuf) -> int:
    count = unpack(data)
    if type(count) is not int or count < 0:
        raise ValueError(f"{count!r} is not a number of events")
    return count


def _sum(counts: Iterable[Future[int]]) -> Future[int]:
    return when_all(counts).then(sum)
