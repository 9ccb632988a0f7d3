"""The three usual kinds of Ebb: shared, multi-core and replicated (paper section 3.3; docs/adr/0006-runtime.md).

    counter = create_shared(Counter, 5)        # one representative, on this core; other cores call it from afar
    counter = create_multicore(CounterRoot(5))  # one representative on each core of this node that calls it
    counter = create_replicated(CounterRoot, b"5")  # and on each core of every node that calls it
    counter.increment()
    destroy(counter)

Behind each is a *root*: what the Ebb's representatives on one node have in common, and what makes them. It is in the
Local Id Map of core 0; a core that meets an id it does not know asks core 0 for the root, which crosses as a copy (a
pickle) into that core's Local Id Map and makes its representative. Where core 0 has none, the Global Id Map says what
to make one from. Nothing is sent before it is called for, and when ``create_...`` returns every core can call.

So cores share a root's values at the time of the copy, not its later state: what is to be shared goes through node
memory, or is asked for with ``core_links``. All of these functions may block the calling event.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from ebbrt.ebb import (
    LOCAL_ID_MAP,
    NODE_EBBS,
    Core,
    EbbRef,
    core_links,
    current_core,
    ebb_allocator,
    ebb_id_of,
    local_id_map,
    node_ebbs,
    run_teardown_hook,
)
from ebbrt.ebb_ids import BASE_END, EbbError
from ebbrt.ebb_node import NodeEbbs, ReplicatedRoot, Root

__all__ = ["ReplicatedRoot", "Root", "create_multicore", "create_replicated", "create_shared", "destroy", "start"]


def start(core: Core) -> None:
    """Let ``core``, whose Local Id Map is installed, build the Ebbs made here; part of every core's boot."""
    core.fallback = _fault
    if core.number == 0:
        core.install(NODE_EBBS, NodeEbbs(core))


def create_shared(make: Callable[..., object], *arguments: Any, ebb_id: int | None = None) -> EbbRef:
    """An Ebb whose only representative is ``make(*arguments)``, on this core.

    Methods called on other cores of the node run here, as events, and block the caller: arguments and results are
    pickled, a result that is a future is waited for here, and an exception arrives as CoreError. Only methods are
    reached from there. Other nodes do not know it; one that takes messages from them must be made on core 0, since a
    buffer does not cross in such a call.
    """
    core = current_core()
    representative = make(*arguments)
    number = ebb_allocator.allocate() if ebb_id is None else ebb_id
    try:
        _publish(number, _SharedRoot(core.number))
    except Exception:
        run_teardown_hook(representative)
        raise
    core.install(number, representative)
    return EbbRef(number)


def create_multicore(root: "Root", ebb_id: int | None = None) -> EbbRef:
    """An Ebb of this node, with a representative that ``root`` makes on each core that calls it."""
    number = ebb_allocator.allocate() if ebb_id is None else ebb_id
    _publish(number, root)
    return EbbRef(number)


def create_replicated(root: type["ReplicatedRoot"], data: bytes, ebb_id: int | None = None) -> EbbRef:
    """An Ebb of the whole application: each node that calls it makes its own ``root(data)``.

    ``data`` goes into the Global Id Map. The class must be in a module that those nodes have imported.
    """
    number = ebb_allocator.allocate() if ebb_id is None else ebb_id
    _on_core_0(_create_replicated, number, root, data)
    return EbbRef(number)


def destroy(reference: EbbRef) -> None:
    """Tear the Ebb down: free its representatives, through their ``teardown()`` or ``close()``, and all its data.

    When it returns that is done on all cores of this node, and a later call through any reference raises EbbError.
    A replicated Ebb's entry is gone from the Global Id Map too; the other nodes watch it, and follow. Raises EbbError
    when it was torn down before, IdMapError when the map cannot be reached: nothing was torn down then.
    """
    ebb_id = ebb_id_of(reference)
    if ebb_id < BASE_END:
        raise EbbError(f"Ebb {ebb_id} is a base Ebb: it lives as long as its node")
    current_core().check_not_torn_down(ebb_id)
    _on_core_0(_destroy, ebb_id)


def _publish(ebb_id: int, root: "Root") -> None:
    _on_core_0(_set_root, ebb_id, root)
    local_id_map.set(ebb_id, root)


def _fault(core: Core, ebb_id: int) -> object:
    """Make a representative from the root in the Local Id Map, or else from the one that core 0 has or makes."""
    if ebb_id < BASE_END:
        raise EbbError(f"no Ebb with id {ebb_id} on this node: it is a base Ebb that was not booted here")
    local = core.representative(LOCAL_ID_MAP)
    root: Root | None = local.find(ebb_id)
    if root is None:
        root = _on_core_0(_get_root, ebb_id)
        if root is None:
            raise EbbError(f"no Ebb with id {ebb_id} on this node, nor in the Global Id Map")
        core.check_not_torn_down(ebb_id)  # while this event was blocked
        local.set(ebb_id, root)
    return root.representative(core, ebb_id)


# What is asked of core 0


def _on_core_0(function: Callable[..., Any], *arguments: Any) -> Any:
    if current_core().number == 0:
        return function(*arguments)
    return core_links.call(0, function, *arguments).block()


def _set_root(ebb_id: int, root: "Root") -> None:
    node_ebbs.set_root(ebb_id, root)


def _get_root(ebb_id: int) -> "Root | None":
    root: Root | None = node_ebbs.get_root(ebb_id)
    return root


def _create_replicated(ebb_id: int, root: type["ReplicatedRoot"], data: bytes) -> None:
    node_ebbs.create_replicated(ebb_id, root, data)


def _destroy(ebb_id: int) -> None:
    node_ebbs.destroy(ebb_id)


# Shared Ebbs


class _SharedRoot(Root):
    def __init__(self, home: int) -> None:
        self.home = home

    def representative(self, core: Core, ebb_id: int) -> object:
        if core.number == self.home:
            raise EbbError(f"the shared Ebb {ebb_id} is being made: it cannot be called yet")
        return _Proxy(ebb_id, self.home)


class _Proxy:
    """A shared Ebb on a core that is not its home."""

    def __init__(self, ebb_id: int, home: int) -> None:
        self._ebb_id = ebb_id
        self._home = home

    def teardown(self) -> None:
        """What ``destroy`` calls on each core: nothing here, the representative has its own."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):  # Python itself asks every object for some of these
            raise AttributeError(f"{name!r} of a shared Ebb can be used on its own core only (core {self._home})")
        return partial(_call_home, self._home, self._ebb_id, name)


def _call_home(home: int, ebb_id: int, name: str, *arguments: Any, **named: Any) -> Any:
    return core_links.call(home, _call_here, ebb_id, name, arguments, named).block()


def _call_here(ebb_id: int, name: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return getattr(EbbRef(ebb_id), name)(*arguments, **named)
