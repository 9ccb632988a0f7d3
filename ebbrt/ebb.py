"""Elastic Building Blocks: ids, per-core representatives, and the reference through which they are called.

An Ebb is named by its id. A call through ``EbbRef(id)`` goes to the representative of the core that makes the call,
found in that core's translation table. On a miss the Ebb's *fault handler* builds one, usually from what the node's
Local Id Map holds for the id (paper sections 2.3, 3.1.2 and 3.3).

Cores are processes, so a process normally has one ``Core``; a simulation has many and enters the one whose event runs.
"""

import copyreg
from collections.abc import Callable
from types import BuiltinMethodType, MethodType
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

BOUND = (MethodType, BuiltinMethodType)  # what a method looks like when it is taken from an object

FaultHandler = Callable[["Core", int], object]


class EbbError(LookupError):
    """A call through a reference to an Ebb that nobody can build here."""


class Translation:
    """Where one core finds its representative of one Ebb, and the methods that were called on it.

    A representative's methods are bound once, at their first call, and kept: CPython makes a new object for each
    ``representative.method`` otherwise, which alone costs more than the rest of a call through a reference. So a
    method that is put onto a representative or its class after it was called is not seen; ``Core.install`` a
    representative of another class instead. Other attributes are read anew each time.
    """

    def __init__(self, ebb_id: int, core_serial: int) -> None:
        self.ebb_id = ebb_id
        self.core_serial = core_serial
        self.representative: object = None
        self.methods: dict[str, Any] = {}

    def set(self, representative: object) -> None:
        """Have calls go to ``representative``, or with None to the fault handler, from now on."""
        self.representative = representative
        self.methods.clear()

    def find(self, name: str) -> Any:
        """The representative's attribute ``name``; kept when it is a method. Builds the representative if need be."""
        representative = self.representative
        if representative is None:
            representative = _current.fault(self.ebb_id)
        found = getattr(representative, name)
        if _is_method(found, representative, name) and self.representative is representative:
            self.methods[name] = found
        return found


def _is_method(found: object, representative: object, name: str) -> bool:
    """Whether ``found`` is what the class of ``representative`` has under ``name``, bound: it cannot be assigned to."""
    if not isinstance(found, BOUND) or found.__self__ is not representative:
        return False
    if name in getattr(representative, "__dict__", ()):
        return False
    for base in type(representative).__mro__:
        if name in base.__dict__:
            return not hasattr(base.__dict__[name], "__set__")
    return False


class Core:
    """One core's translation table, and its share of what a node knows about Ebbs.

    ``faults`` (id to fault handler) is the node's: the cores of a node in one process share it.
    """

    def __init__(self, number: int = 0, faults: dict[int, FaultHandler] | None = None) -> None:
        global _cores_made
        _cores_made += 1
        self.serial = _cores_made  # never used twice in a process, nor by the processes forked from it
        self.number = number
        self.faults: dict[int, FaultHandler] = {} if faults is None else faults
        self.translations: dict[int, Translation] = {}

    def enter(self) -> None:
        """Make this the core that calls through references are resolved on."""
        global _current, _current_serial
        _current = self
        _current_serial = self.serial

    def translation(self, ebb_id: int) -> Translation:
        """This core's entry for the Ebb, made when it is asked for first."""
        found = self.translations.get(ebb_id)
        if found is None:
            found = Translation(ebb_id, self.serial)
            self.translations[ebb_id] = found
        return found

    def representative(self, ebb_id: int) -> Any:
        """This core's representative of the Ebb, or None when none was built yet."""
        found = self.translations.get(ebb_id)
        return None if found is None else found.representative

    def install(self, ebb_id: int, representative: object) -> None:
        """Put a ready representative into the table, as boot does for the base Ebbs."""
        self.translation(ebb_id).set(representative)

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
        self.install(ebb_id, representative)
        return representative


_cores_made = 0
_current = Core()
_current_serial = _current.serial


def current_core() -> Core:
    """The core whose event is running."""
    return _current


class EbbRef:
    """A reference to an Ebb; attributes and methods are those of this core's representative.

    It remembers the translation of the core that used it last, so a call costs a comparison (is that core still the
    one that runs?) and one look-up of the method's name. It never holds a representative itself: teardown empties the
    translation, and every reference to it finds nothing there.

    A reference can be pickled, and so goes from core to core as an argument.
    """

    def __init__(self, ebb_id: int) -> None:
        self._ebb_id = ebb_id
        self._here = _NOWHERE

    def __getattribute__(self, name: str) -> Any:
        # Compiled, this class's own fields are read without a look-up; plain Python would come back here for them.
        here = self._here if cython.compiled else object.__getattribute__(self, "_here")
        if here.core_serial != _current_serial:
            here = _current.translation(self._ebb_id if cython.compiled else object.__getattribute__(self, "_ebb_id"))
            self._here = here
        method = here.methods.get(name)
        if method is not None:
            return method
        return here.find(name)

    def __repr__(self) -> str:
        return f"EbbRef({ebb_id_of(self)})"


_NOWHERE = Translation(0, 0)  # of no core


def ebb_id_of(reference: EbbRef) -> int:
    """The id that ``reference`` names; an attribute would be the representative's."""
    if cython.compiled:
        return reference._ebb_id
    number: int = object.__getattribute__(reference, "_ebb_id")
    return number


def _reduce(reference: EbbRef) -> tuple[type[EbbRef], tuple[int]]:
    return EbbRef, (ebb_id_of(reference),)


copyreg.pickle(EbbRef, _reduce)  # without it pickle would ask the representative


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
