"""A counter that is one Ebb, spread over the cores of two nodes.

    sudo netlab run apps/examples/counter.py

The front-end creates the Ebb; nothing is sent then. Each core of each node that calls it gets a representative of its
own, made on the first call from what the Global Id Map has. ``increment`` touches that representative only: no lock,
no message. ``value`` gathers: from the node's other cores by the core links, from other nodes by messages.
"""

from functools import partial

from ebbrt.ebb import MEMORY_ALLOCATOR, Core, EbbRef, core_links, messenger
from ebbrt.ebb_ids import named_id
from ebbrt.ebb_kinds import create_replicated, destroy
from ebbrt.ebb_node import ReplicatedRoot
from ebbrt.front_end import run
from ebbrt.future import Future, when_all
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import MessageHandler, NodeId, pack, unpack
from ebbrt.runtime import Runtime

COUNTER = named_id("examples.counter")
NODES = 2
CORES = 2
TIMEOUT = 5_000_000_000  # ns

counter = EbbRef(COUNTER)


class CounterRoot(ReplicatedRoot):
    """Makes the representatives."""

    def representative(self, core: Core, ebb_id: int) -> "Counter":
        """See Root."""
        return Counter(core.resolve(MEMORY_ALLOCATOR))


class Counter(MessageHandler):
    """One core's representative."""

    def __init__(self, allocator: MemoryAllocator) -> None:
        self.count = 0
        self._allocator = allocator

    def increment(self) -> None:
        """Count one more, here."""
        self.count += 1

    def core_value(self) -> int:
        """What was counted on this core."""
        return self.count

    def node_value(self) -> Future[int]:
        """What was counted on this node."""
        return when_all([core_links.call(core, _core_value) for core in range(core_links.count)]).then(sum)

    def value(self, nodes: list[NodeId]) -> Future[int]:
        """What was counted on all of ``nodes``."""
        questions = [messenger.call(node, COUNTER, pack(self._allocator, None), TIMEOUT) for node in nodes]
        return when_all([question.then(unpack) for question in questions]).then(sum)

    def receive_call(self, sender: NodeId, data: IOBuf) -> Future[IOBuf]:
        """See MessageHandler: another node asks for this node's count."""
        return self.node_value().then(partial(pack, self._allocator))


def _core_value() -> int:
    value: int = counter.core_value()
    return value


def _count_to(number: int) -> None:
    for _ in range(number):
        counter.increment()


async def back_end(runtime: Runtime) -> None:
    """Each core of a back-end counts: core 0 to 100, core 1 to 101."""
    await when_all([core_links.call(core, _count_to, 100 + core) for core in range(core_links.count)])


async def front_end(runtime: Runtime) -> int:
    """Create the counter, have it used, ask for the sum, tear it down."""
    create_replicated(CounterRoot, b"", ebb_id=COUNTER)
    allocator = runtime.node_allocator
    nodes = await when_all(allocator.allocate(NODES, "apps.examples.counter:back_end", cores=CORES))
    total: int = await counter.value([node.id for node in nodes])
    print(f"{NODES} nodes of {CORES} cores have counted to {total}")
    destroy(counter)
    await when_all([allocator.free(node) for node in nodes])
    return total


if __name__ == "__main__":
    # By the name under which the back-ends import it, so that both mean the same class.
    from apps.examples import counter as module

    run(module.front_end)
