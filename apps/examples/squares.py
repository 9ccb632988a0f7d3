"""A front-end that allocates back-ends, maps work onto them, and frees them.

    sudo netlab run apps/examples/squares.py --nodes 8 --numbers 1000000

Each back-end has a worker, an Ebb of a well-known name, which sums the squares of a range of numbers. The front-end
cuts the whole range into pieces, has each worker do the next piece when it is done with one, and adds the answers up.
"""

from ebbrt.ebb_ids import named_id
from ebbrt.front_end import run
from ebbrt.future import Future, when_all
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import MessageHandler, NodeId, pack, unpack
from ebbrt.node_allocator import AllocatedNode
from ebbrt.runtime import Runtime

WORKER = named_id("examples.squares.worker")
PIECES_PER_NODE = 8  # so that a node that is slower gets fewer
TIMEOUT = 30_000_000_000  # ns, for one piece


class Worker(MessageHandler):
    """The Ebb on a back-end: answers ``[first, end]`` with the sum of the squares from ``first`` up to ``end``."""

    def __init__(self, allocator: MemoryAllocator) -> None:
        self._allocator = allocator

    def receive_call(self, sender: NodeId, data: IOBuf) -> IOBuf:
        """See MessageHandler."""
        first, end = unpack(data)
        return pack(self._allocator, sum(number * number for number in range(first, end)))


def back_end(runtime: Runtime) -> None:
    """What a back-end runs when it has booted: from now on messages find the worker."""
    runtime.core.register(WORKER, lambda core, ebb_id: Worker(runtime.allocator))


async def front_end(runtime: Runtime) -> int:
    """Allocate, map, free."""
    count = int(runtime.command_line.value("nodes", "8") or 8)
    numbers = int(runtime.command_line.value("numbers", "1000000") or 0)
    allocator = runtime.node_allocator
    nodes = await when_all(allocator.allocate(count, "apps.examples.squares:back_end"))
    print(f"{len(nodes)} nodes: {', '.join(str(node.id) for node in nodes)}")
    total = await map_squares(runtime, nodes, numbers)
    print(f"the squares of 0 to {numbers - 1} sum up to {total}")
    await when_all([allocator.free(node) for node in nodes])
    return total


async def map_squares(runtime: Runtime, nodes: list[AllocatedNode], numbers: int) -> int:
    """The sum, done in pieces by the workers on ``nodes``."""
    pieces = len(nodes) * PIECES_PER_NODE
    ranges = [(numbers * piece // pieces, numbers * (piece + 1) // pieces) for piece in range(pieces)]

    async def work_on(node: AllocatedNode) -> int:
        total = 0
        while ranges:
            total += await ask(runtime, node, *ranges.pop())
        return total

    return sum(await when_all([runtime.events.run_coroutine(work_on(node)) for node in nodes]))


def ask(runtime: Runtime, node: AllocatedNode, first: int, end: int) -> Future[int]:
    """What the worker on ``node`` answers for one piece."""
    question = pack(runtime.allocator, [first, end])
    return runtime.messenger.call(node.id, WORKER, question, TIMEOUT).then(unpack)


if __name__ == "__main__":
    run(front_end)
