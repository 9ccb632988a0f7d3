"""Elastic Building Blocks: ids, per-core representatives, and the reference through which they are called.

An Ebb is named by its id. A call through ``EbbRef(id)`` goes to the representative of the core that makes the call,
found in that core's translation table. On a miss the Ebb's *fault handler* builds one, usually from what the node's
Local Id Map holds for the id (paper sections 2.3, 3.1.2 and 3.3).

Cores are processes, so a process normally has one ``Core``; a simulation has many and enters the one whose event runs.
"""

from collections.abc import Callable
from typing import Any

import cython

FIRST_NODE_ID = 1 << 16  # below: well-known ids, the same everywhere
IDS_PER_NODE = 1 << 24  # each node allocates from a range of its own, so that two never collide

# The well-known Ebbs.
MEMORY_ALLOCATOR = 1
EVENT_MANAGER = 2
EBB_ALLOCATOR = 3
LOCAL_ID_MAP = 4
NETWORK_MANAGER = 5
MESSENGER = 6
GLOBAL_ID_MAP = 7
NODE_ALLOCATOR = 8
FILE_SYSTEM = 9
COMMAND_LINE = 10
CORE_LINKS = 11

FaultHandler = Callable[["Core", int], object]


class EbbError(LookupError):
    """A call through a reference to an Ebb that nobody can build here."""


class Core:
    """One core's translation table, and its share of what a node knows about Ebbs.

    ``faults`` (id to fault handler) is the node's: the cores of a node in one process share it.
    """

    def __init__(self, number: int = 0, faults: dict[int, FaultHandler] | None = None) -> None:
        self.number = number
        self.faults: dict[int, FaultHandler] = {} if faults is None else faults
        self.representatives: dict[int, object] = {}

    def enter(self) -> None:
        """Make this the core that calls through references are resolved on."""
        global _current
        _current = self

    def install(self, ebb_id: int, representative: object) -> None:
        """Put a ready representative into the table, as boot does for the base Ebbs."""
        self.representatives[ebb_id] = representative

    def register(self, ebb_id: int, fault: FaultHandler) -> None:
        """Let ``fault(core, id)`` build the representatives of ``ebb_id`` when they are first called."""
        self.faults[ebb_id] = fault

    def fault(self, ebb_id: int) -> Any:
        """Build, install and return this core's representative.

        Raises EbbError when the id has no fault handler on this node.
        """
        handler = self.faults.get(ebb_id)
        if handler is None:
            raise EbbError(f"no Ebb with id {ebb_id} on this node: register its fault handler before it is called")
        representative = handler(self, ebb_id)
        self.representatives[ebb_id] = representative
        return representative


_current = Core()


def current_core() -> Core:
    """The core whose event is running."""
    return _current


class EbbRef:
    """A reference to an Ebb; attributes and methods are those of this core's representative."""

    def __init__(self, ebb_id: int) -> None:
        self._ebb_id = ebb_id

    def __getattribute__(self, name: str) -> Any:
        # Compiled, this class's own field is read without a look-up; plain Python would come back here for it.
        ebb_id = self._ebb_id if cython.compiled else object.__getattribute__(self, "_ebb_id")
        representative = _current.representatives.get(ebb_id)
        if representative is None:
            representative = _current.fault(ebb_id)
        return getattr(representative, name)


class EbbAllocator:
    """Hands out ids from one node's range (paper section 3.1.2)."""

    def __init__(self, node_number: int = 0) -> None:
        self._next = FIRST_NODE_ID + node_number * IDS_PER_NODE
        self._end = self._next + IDS_PER_NODE

    def allocate(self) -> int:
        """An id nobody else has. Raises EbbError when the node's range is used up."""
        if self._next == self._end:
            raise EbbError(f"all {IDS_PER_NODE} Ebb ids of this node are in use")
        self._next += 1
        return self._next - 1


class LocalIdMap:
    """What the representatives of an Ebb on one node share, by id (paper section 3.1.2)."""

    def __init__(self) -> None:
        self._data: dict[int, object] = {}

    def set(self, ebb_id: int, value: object) -> None:
        """Store ``value`` for the Ebb."""
        self._data[ebb_id] = value

    def get(self, ebb_id: int) -> Any:
        """What was stored. Raises EbbError when nothing was."""
        if ebb_id not in self._data:
            raise EbbError(f"the Local Id Map has nothing for Ebb {ebb_id}")
        return self._data[ebb_id]


memory_allocator = EbbRef(MEMORY_ALLOCATOR)
event_manager = EbbRef(EVENT_MANAGER)
ebb_allocator = EbbRef(EBB_ALLOCATOR)
local_id_map = EbbRef(LOCAL_ID_MAP)
network_manager = EbbRef(NETWORK_MANAGER)
messenger = EbbRef(MESSENGER)
global_id_map = EbbRef(GLOBAL_ID_MAP)
node_allocator = EbbRef(NODE_ALLOCATOR)
file_system = EbbRef(FILE_SYSTEM)
command_line = EbbRef(COMMAND_LINE)
core_links = EbbRef(CORE_LINKS)
