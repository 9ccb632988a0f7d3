"""Files, the Global Id Map and the command line: a back-end counts the words of a file that the front-end names.

    netlab run apps/examples/words.py --input README.md

The back-end has no files and no arguments of its own: the front-end's are offloaded to it, below the directory that
``run`` names. It leaves its answer in the Global Id Map, where every node could read it.
"""

from pathlib import Path

from ebbrt.ebb import command_line, file_system, global_id_map
from ebbrt.ebb_ids import named_id
from ebbrt.front_end import run
from ebbrt.future import when_all
from ebbrt.runtime import Runtime

WORDS = named_id("examples.words")
LARGEST_FILE = 1 << 20


async def back_end(runtime: Runtime) -> None:
    """Count: the node is ready when this has returned."""
    file = await file_system.open(command_line.value("input"))
    text = await file_system.read(file, LARGEST_FILE)
    await file_system.close(file)
    await global_id_map.set(WORDS, str(len(text.split())).encode())


async def front_end(runtime: Runtime) -> None:
    """Have a node count, and print what it left."""
    await when_all(runtime.node_allocator.allocate(1, "__main__:back_end"))
    print((await global_id_map.get(WORDS)).decode(), "words")


if __name__ == "__main__":
    run(front_end, files=Path("."))
