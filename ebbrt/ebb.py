"""Elastic Building Blocks: per-core representatives, and the reference through which they are called.

An Ebb is named by its id (``ebb_ids``). A call through ``EbbRef(id)`` goes to the representative of the core that
makes the call, found in that core's translation table. On a miss the Ebb's *fault handler* builds one (paper sections
2.3, 3.1.2 and 3.3). ``ebb_kinds`` has the usual kinds of Ebb ready made: shared, multi-core and replicated.

Cores are processes, so a process normally has one ``Core``; a simulation has many and enters the one whose event runs.
"""

import copyreg
import logging
from collections.abc import Callable
from functools import partial
from types import BuiltinMethodType, MethodType
from typing import Any

import cython

from ebbrt.ebb_ids import EbbError
from ebbrt.once import Once, WaitsForItselfError

logger = logging.getLogger(__name__)

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
NODE_EBBS = 12

BOUND = (MethodType, BuiltinMethodType)  # what a method looks like when it is taken from an object
TORN_DOWN_KEPT = 1 << 16  # ids a core remembers, to say what became of them

FaultHandler = Callable[["Core", int], object]


class Translation:
    """Where one core finds its representative of one Ebb, and the methods that were called on it.

    A representative's methods are bound once, at their first call, and kept: CPython makes a new object for each
    ``representative.method`` otherwise, which alone costs more than the rest of a call through a reference. So a
    method that is put onto a representative or its class after it was called is not seen; ``Core.install`` another
    representative instead. Other attributes are read anew each time.
    """

    def __init__(self, core_serial: int, representative: object) -> None:
        self.core_serial = core_serial
        self.representative = representative
        self.methods: dict[str, Any] = {}
        # The four that were looked up last are found by comparing pointers (names in code are interned), which takes
        # a third of the time of a look-up. Four fields, since a list would cost more than it saves.
        self.lookups = 0
        self.name_0: str | None = None
        self.name_1: str | None = None
        self.name_2: str | None = None
        self.name_3: str | None = None
        self.method_0: Any = None
        self.method_1: Any = None
        self.method_2: Any = None
        self.method_3: Any = None

    def set(self, representative: object) -> None:
        """Have calls go to ``representative`` from now on."""
        self.representative = representative
        self.methods.clear()
        self.name_0 = self.name_1 = self.name_2 = self.name_3 = None
        self.method_0 = self.method_1 = self.method_2 = self.method_3 = None

    def retire(self) -> None:
        """Let go of the representative; references see that this is no core's translation any more."""
        self.core_serial = 0
        self.set(None)

    def find(self, name: str) -> Any:
        """The representative's attribute ``name``; kept when it is a method."""
        found = self.methods.get(name)
        if found is None:
            found = getattr(self.representative, name)
            if not _is_method(found, self.representative, name):
                return found
            self.methods[name] = found
        self._keep(name, found)
        return found

    def _keep(self, name: str, method: Any) -> None:
        """In place of the one of the four that was looked up longest ago."""
        place = self.lookups & 3
        self.lookups = place + 1
        if place == 0:
            self.name_0, self.method_0 = name, method
        elif place == 1:
            self.name_1, self.method_1 = name, method
        elif place == 2:
            self.name_2, self.method_2 = name, method
        else:
            self.name_3, self.method_3 = name, method


def _is_method(found: object, representative: object, name: str) -> bool:
    """Whether ``found`` is a method of the class of ``representative``, bound: so it will be the same next time."""
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

    ``faults`` (id to fault handler) is this process's: several cores of a simulation may share it. ``fallback`` is
    the fault handler of all other ids; boot sets it to that of ``ebb_kinds``.
    """

    def __init__(self, number: int = 0, faults: dict[int, FaultHandler] | None = None) -> None:
        global _cores_made
        _cores_made += 1
        self.serial = _cores_made  # from 1; never used twice in a process, nor in those forked from it
        self.number = number
        self.faults: dict[int, FaultHandler] = {} if faults is None else faults
        self.fallback: FaultHandler | None = None
        self.translations: dict[int, Translation] = {}
        self._building = Once()
        self._torn_down: dict[int, None] = {}  # the last TORN_DOWN_KEPT, in order

    def enter(self) -> None:
        """Make this the core that calls through references are resolved on."""
        global _current, _current_serial
        _current = self
        _current_serial = self.serial

    def representative(self, ebb_id: int) -> Any:
        """This core's representative of the Ebb, or None when none was built yet."""
        found = self.translations.get(ebb_id)
        return None if found is None else found.representative

    def install(self, ebb_id: int, representative: object) -> None:
        """Put a ready representative into the table, as boot does for the base Ebbs."""
        found = self.translations.get(ebb_id)
        if found is None:
            self.translations[ebb_id] = Translation(self.serial, representative)
        else:
            found.set(representative)

    def register(self, ebb_id: int, fault: FaultHandler) -> None:
        """Let ``fault(core, id)`` build the representatives of ``ebb_id`` when they are first called."""
        self.faults[ebb_id] = fault

    def resolve(self, ebb_id: int) -> Any:
        """This core's representative of the Ebb; built first, by its fault handler, when there is none.

        An event that finds it in the making waits. Raises EbbError when nobody here can build it or when it was torn
        down, and what its fault handler raises; nothing is installed then.
        """
        return self.translate(ebb_id).representative

    def translate(self, ebb_id: int) -> Translation:
        """As ``resolve``: where the representative is."""
        found = self.translations.get(ebb_id)
        while found is None:  # again when it was torn down before an event that waited for it came to run
            self._fault(ebb_id)
            found = self.translations.get(ebb_id)
        return found

    def _fault(self, ebb_id: int) -> None:
        self.check_not_torn_down(ebb_id)
        try:
            self._building.run(ebb_id, partial(self._build, ebb_id))
        except WaitsForItselfError as error:
            raise EbbError(f"representatives that call each other while they are built, by Ebb id: {error}") from None

    def _build(self, ebb_id: int) -> None:
        handler = self.faults.get(ebb_id, self.fallback)
        if handler is None:
            raise EbbError(f"no Ebb with id {ebb_id} on this node: register its fault handler before it is called")
        representative = handler(self, ebb_id)
        if representative is None:
            raise EbbError(f"the fault handler of Ebb {ebb_id} returned no representative: {handler!r}")
        if ebb_id in self._torn_down:  # while it was built
            run_teardown_hook(representative)
            self.check_not_torn_down(ebb_id)
        self.install(ebb_id, representative)

    def tear_down(self, ebb_id: int) -> None:
        """Free this core's representative, if any, through its hook, and refuse the id from now on."""
        self.faults.pop(ebb_id, None)
        self._torn_down[ebb_id] = None
        if len(self._torn_down) > TORN_DOWN_KEPT:
            del self._torn_down[next(iter(self._torn_down))]
        translation = self.translations.pop(ebb_id, None)
        if translation is not None:
            representative = translation.representative
            translation.retire()
            run_teardown_hook(representative)

    def check_not_torn_down(self, ebb_id: int) -> None:
        """Raise EbbError when the Ebb was torn down."""
        if ebb_id in self._torn_down:
            raise EbbError(f"Ebb {ebb_id} was torn down")


def run_teardown_hook(representative: object) -> None:
    """Call ``representative.teardown()``, else ``close()``, if there is one; an exception is reported, not raised."""
    hook = getattr(representative, "teardown", None) or getattr(representative, "close", None)
    if hook is None:
        return
    try:
        hook()
    except Exception:
        logger.exception("the teardown of a representative failed: %r", representative)


_cores_made = 0
_current = Core()
_current_serial = _current.serial


def current_core() -> Core:
    """The core whose event is running."""
    return _current


class EbbRef:
    """A reference to an Ebb; attributes and methods are those of this core's representative.

    It remembers the translation of the core that used it last. So a call costs a few comparisons: is that core still
    the one that runs, and is it one of the four methods that were looked up last? Compiled that is 5 ns more than a
    plain method call, which costs 14 to 20; a fifth method, looked up by name, 15. (``Translation`` says what else was
    in the way.) It never holds a representative itself: teardown retires the translation, and every reference that
    remembers it asks the core again.

    A method taken from a reference and kept is the representative's: keep the reference instead.

    A reference can be pickled, and so goes from core to core as an argument.
    """

    def __init__(self, ebb_id: int) -> None:
        self._ebb_id = ebb_id
        self._here = _NOWHERE

    def __getattribute__(self, name: str) -> Any:
        # Compiled, this class's own fields are read without a look-up; plain Python would come back here for them.
        here = self._here if cython.compiled else object.__getattribute__(self, "_here")
        if here.core_serial != _current_serial:
            here = _current.translate(ebb_id_of(self))
            self._here = here
        if name is here.name_0:
            return here.method_0
        if name is here.name_1:
            return here.method_1
        if name is here.name_2:
            return here.method_2
        if name is here.name_3:
            return here.method_3
        return here.find(name)

    def __repr__(self) -> str:
        return f"EbbRef({ebb_id_of(self)})"


_NOWHERE = Translation(0, None)  # of no core


def ebb_id_of(reference: EbbRef) -> int:
    """The id that ``reference`` names; an attribute would be the representative's."""
    if cython.compiled:
        return reference._ebb_id
    number: int = object.__getattribute__(reference, "_ebb_id")
    return number


def _reduce(reference: EbbRef) -> tuple[type[EbbRef], tuple[int]]:
    return EbbRef, (ebb_id_of(reference),)


copyreg.pickle(EbbRef, _reduce)  # without it pickle would ask the representative


class LocalIdMap:
    """What the representatives of an Ebb have in common, by id (paper section 3.1.2).

    Each core is a process and has a map of its own. What is put into it before the cores are forked is in all of
    them, as copies; what comes later, one core asks another for (``node_ebbs``). The bytes they really share are in
    node memory: put the offset into the map.
    """

    def __init__(self) -> None:
        self._data: dict[int, object] = {}

    def set(self, ebb_id: int, value: object) -> None:
        """Store ``value`` for the Ebb."""
        self._data[ebb_id] = value

    def find(self, ebb_id: int) -> Any:
        """What was stored, or None."""
        return self._data.get(ebb_id)

    def get(self, ebb_id: int) -> Any:
        """What was stored. Raises EbbError when nothing was."""
        if ebb_id not in self._data:
            raise EbbError(f"the Local Id Map has nothing for Ebb {ebb_id}")
        return self._data[ebb_id]

    def remove(self, ebb_id: int) -> None:
        """Forget what was stored, if anything."""
        self._data.pop(ebb_id, None)


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
node_ebbs = EbbRef(NODE_EBBS)
