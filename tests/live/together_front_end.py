"""The front-end of ``test_runtime_together``: has two back-ends of two cores do everything, prints what came of it."""

import json
import sys
from pathlib import Path
from typing import Any

from ebbrt.ebb_ids import named_id
from ebbrt.front_end import run
from ebbrt.future import Promise, when_all
from ebbrt.messages import NodeId, pack, unpack
from ebbrt.runtime import Runtime
from tests.live.iaas_applications import echo
from tests.live.together_application import DESK, NOTICE, SECOND, use

APPLICATION = "tests.live.together_application:back_end"
CORES = 2
PATIENCE = 100  # times that an Ebb is called again which may not have been torn down everywhere yet
PAUSE = 20_000_000  # ns


class Desks:
    """The back-ends, and each of their cores."""

    def __init__(self, runtime: Runtime, nodes: list[NodeId]) -> None:
        self.runtime = runtime
        self.nodes = nodes
        self.cores = [(node, core) for node in nodes for core in range(CORES)]

    async def do(self, node: NodeId, core: int, what: str, *arguments: Any) -> Any:
        """Have one core do it."""
        question = pack(self.runtime.allocator, [core, what, *arguments])
        return unpack(await self.runtime.messenger.call(node, DESK, question, 5 * SECOND))

    async def everywhere(self, what: str, *arguments: Any) -> list[Any]:
        """What all cores say to it, at the same time."""
        questions = [
            self.runtime.messenger.call(node, DESK, pack(self.runtime.allocator, [core, what, *arguments]), 5 * SECOND)
            for node, core in self.cores
        ]
        return [unpack(answer) for answer in await when_all(questions)]


async def main(runtime: Runtime) -> dict[str, Any]:
    """Everything, in turn."""
    echo(runtime)
    await runtime.global_id_map.set(NOTICE, b"from the front-end")
    allocated = await when_all(runtime.node_allocator.allocate(2, APPLICATION, cores=CORES))
    desks = Desks(runtime, [node.id for node in allocated])
    result: dict[str, Any] = {"nodes": [node.number for node in desks.nodes], "offloaded": []}
    for node, core in desks.cores:
        others = [runtime.messenger.local(), *(other for other in desks.nodes if other != node)]
        key = named_id(f"tests.together.{node.number}.{core}")
        result["offloaded"].append(await desks.do(node, core, "offload", [list(other) for other in others], key))
    ebbs = [named_id(f"tests.together.place.{number}") for number in range(len(desks.cores))]
    for (node, core), ebb_id in zip(desks.cores, ebbs, strict=True):
        await desks.do(node, core, "create", ebb_id, f"made by core {core} of node {node.number}")
    result["used"] = [await desks.everywhere("use", ebb_id) for ebb_id in ebbs]
    result["used here"] = [use(ebb_id) for ebb_id in ebbs]
    for (node, core), ebb_id in zip(desks.cores, ebbs, strict=True):
        await desks.do(node, core, "end", ebb_id)
        result.setdefault("ended there", []).append(
            [await desks.do(node, its_core, "use", ebb_id) for its_core in range(CORES)]
        )
    result["ended everywhere"] = [await ended(desks, ebb_id) for ebb_id in ebbs]
    return result


async def ended(desks: Desks, ebb_id: int) -> list[Any]:
    """What all cores, and this one, say to an Ebb that was torn down, once the word has reached them."""
    for _ in range(PATIENCE):
        answers = [*await desks.everywhere("use", ebb_id), use(ebb_id)]
        if all(isinstance(answer, str) for answer in answers):
            break
        later: Promise[None] = Promise()
        desks.runtime.events.set_timer(PAUSE, lambda promise=later: promise.set_value(None))
        await later.future
    return answers


if __name__ == "__main__":
    print(json.dumps(run(main, files=Path(sys.argv[1]))))
