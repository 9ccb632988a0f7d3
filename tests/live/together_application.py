"""What the back-ends of ``test_runtime_together`` do: on each core the same, when the front-end asks for it."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ebbrt.ebb import (
    MEMORY_ALLOCATOR,
    Core,
    EbbRef,
    command_line,
    core_links,
    current_core,
    event_manager,
    file_system,
    global_id_map,
    messenger,
)
from ebbrt.ebb_ids import EbbError, named_id
from ebbrt.ebb_kinds import create_replicated, destroy
from ebbrt.ebb_node import ReplicatedRoot
from ebbrt.future import Future
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import MessageHandler, NodeId, pack, unpack
from ebbrt.runtime import Runtime
from tests.live.iaas_applications import ECHO, echo

DESK = named_id("tests.together.desk")
NOTICE = named_id("tests.together.notice")  # in the Global Id Map: what the front-end has put there
SECOND = 1_000_000_000


def back_end(runtime: Runtime) -> None:
    """Answer the front-end, and whoever calls the Echo."""
    echo(runtime)
    runtime.core.install(DESK, Desk(runtime.allocator))


class Desk(MessageHandler):
    """Does on a core of this node what the front-end asks: ``[core, name of a function below, arguments...]``."""

    def __init__(self, allocator: MemoryAllocator) -> None:
        self._allocator = allocator

    def receive_call(self, sender: NodeId, data: IOBuf) -> Future[IOBuf]:
        core, name, *arguments = unpack(data)
        done: Future[Any] = core_links.call(core, DUTIES[name], *arguments)
        return done.then(partial(pack, self._allocator))


def offload(others: list[list[Any]], key: int) -> dict[str, Any]:
    """Use every base Ebb; ``others`` are nodes to call, ``key`` is an entry of this core's own in the map."""
    here = f"core {current_core().number} of node {messenger.local().number}"
    global_id_map.set(key, here.encode()).block()
    handle = file_system.open(f"{here}.txt", "w").block()
    file_system.write(handle, here.encode()).block()
    file_system.close(handle).block()
    return {
        "notice": global_id_map.get(NOTICE).block().decode(),
        "own entry": global_id_map.get(key).block().decode(),
        "input": read(command_line.value("input")),
        "own file": read(f"{here}.txt"),
        "arguments": command_line.arguments(),
        "echoes": [ask(NodeId(*node), here) for node in others],
        "events": event_manager.get_num(),
    }


def read(name: str) -> str:
    """A small file of the front-end's."""
    handle = file_system.open(name).block()
    data: bytes = file_system.read(handle, 1000).block()
    file_system.close(handle).block()
    return data.decode()


def ask(node: NodeId, value: str) -> Any:
    """What the Echo of that node answers."""
    allocator = current_core().representative(MEMORY_ALLOCATOR)
    return unpack(messenger.call(node, ECHO, pack(allocator, value), 5 * SECOND).block())


class PlaceRoot(ReplicatedRoot):
    """An Ebb that knows where it is, and what its creator has said."""

    def representative(self, core: Core, ebb_id: int) -> "Place":
        """See Root."""
        return Place(self.data.decode(), core.number)


class Place:
    """One core's."""

    def __init__(self, said: str, core: int) -> None:
        self._said = said
        self._core = core

    def where(self) -> list[Any]:
        return [self._said, messenger.local().number, self._core]


def create(ebb_id: int, said: str) -> None:
    """An Ebb for all nodes, made on this core."""
    create_replicated(PlaceRoot, said.encode(), ebb_id)


def use(ebb_id: int) -> Any:
    """What the Ebb says on this core, or why it cannot be called."""
    try:
        return EbbRef(ebb_id).where()
    except EbbError as error:
        return str(error)


def end(ebb_id: int) -> None:
    """Tear the Ebb down, from this core."""
    destroy(EbbRef(ebb_id))


DUTIES: dict[str, Callable[..., Any]] = {function.__name__: function for function in (offload, create, use, end)}
