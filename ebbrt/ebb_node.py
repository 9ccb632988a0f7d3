"""What core 0 keeps of its node's Ebbs: their roots, and a watch on each replicated one (see ``ebb_kinds``).

The Global Id Map holds for a replicated Ebb the name of its root's class and the data to make it from. The class is
looked up among the modules that this node has imported: what another node wrote never chooses the code to load.

Teardown of a replicated Ebb is the deletion of that entry. Each node that uses the Ebb watches its entry, from before
it reads it, so that none can miss the deletion; nobody keeps a list of nodes, and no node must be alive for it.
"""

import sys
from functools import partial
from typing import Any

import msgpack

from ebbrt.ebb import CORE_LINKS, GLOBAL_ID_MAP, Core, core_links, current_core, global_id_map, local_id_map
from ebbrt.ebb_ids import EbbError
from ebbrt.future import when_all
from ebbrt.once import Once


class Root:
    """What an Ebb's representatives on one node have in common. Must be picklable, when the node has several cores."""

    def representative(self, core: Core, ebb_id: int) -> object:
        """A representative for ``core``; called once for each core, in an event, which may block."""
        raise NotImplementedError


class ReplicatedRoot(Root):
    """The root of a replicated Ebb: its class is called with the bytes that were put into the Global Id Map."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class NodeEbbs:
    """The roots of one node's Ebbs, on its core 0. All methods run in events, and may block them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._fetching = Once()
        self._watches: dict[int, Any] = {}  # of the replicated Ebbs in use on this node
        self.created = 0
        self.fetched = 0
        self.torn_down = 0

    def set_root(self, ebb_id: int, root: Root) -> None:
        """Take the root of a new Ebb. Raises EbbError when the id has been used."""
        self._check_new(ebb_id)
        local_id_map.set(ebb_id, root)
        self.created += 1

    def get_root(self, ebb_id: int) -> Root | None:
        """The Ebb's root, made from the Global Id Map if need be, once; None when nobody knows the Ebb."""
        self._core.check_not_torn_down(ebb_id)
        root: Root | None = local_id_map.find(ebb_id)
        if root is None and self._has_global_id_map():
            root = self._fetching.run(ebb_id, partial(self._fetch, ebb_id))
        return root

    def create_replicated(self, ebb_id: int, root: type[ReplicatedRoot], data: bytes) -> None:
        """Put what a new Ebb is made from into the Global Id Map. Raises EbbError, IdMapError."""
        self._check_new(ebb_id)
        entry = _pack_entry(root, data)
        self._watch(ebb_id)
        try:
            if not global_id_map.compare_and_set(ebb_id, None, entry).block():
                raise EbbError(f"the Global Id Map has an Ebb {ebb_id} already")
            local_id_map.set(ebb_id, root(data))
        except BaseException:
            self._unwatch(ebb_id)
            raise
        self.created += 1

    def destroy(self, ebb_id: int) -> None:
        """Tear the Ebb down on this node, and in the Global Id Map when it is, or may be, replicated."""
        self._core.check_not_torn_down(ebb_id)
        root = local_id_map.find(ebb_id)
        if (root is None or isinstance(root, ReplicatedRoot)) and self._has_global_id_map():
            global_id_map.delete(ebb_id).block()
        self._tear_down_node(ebb_id)

    def statistics(self) -> dict[str, int]:
        """Ebbs made here, made from the Global Id Map, torn down; and replicated ones in use."""
        return {
            "created": self.created,
            "fetched": self.fetched,
            "torn_down": self.torn_down,
            "watched": len(self._watches),
        }

    def _has_global_id_map(self) -> bool:
        return self._core.representative(GLOBAL_ID_MAP) is not None or GLOBAL_ID_MAP in self._core.faults

    def _check_new(self, ebb_id: int) -> None:
        self._core.check_not_torn_down(ebb_id)
        if local_id_map.find(ebb_id) is not None or self._core.representative(ebb_id) is not None:
            raise EbbError(f"this node has an Ebb {ebb_id} already")

    def _fetch(self, ebb_id: int) -> Root | None:
        self._watch(ebb_id)
        try:
            entry = global_id_map.get(ebb_id).block()
            self._core.check_not_torn_down(ebb_id)  # while this event was blocked
            root = None if entry is None else _make_root(ebb_id, entry)
        except BaseException:
            self._unwatch(ebb_id)
            raise
        if root is None:
            self._unwatch(ebb_id)
        else:
            local_id_map.set(ebb_id, root)
            self.fetched += 1
        return root

    def _watch(self, ebb_id: int) -> None:
        self._watches[ebb_id] = global_id_map.watch(ebb_id, partial(self._entry_changed, ebb_id))

    def _unwatch(self, ebb_id: int) -> None:
        watch = self._watches.pop(ebb_id, None)
        if watch is not None:
            watch.stop()

    def _entry_changed(self, ebb_id: int, entry: bytes | None) -> None:
        if entry is None and ebb_id in self._watches:
            self._tear_down_node(ebb_id)

    def _tear_down_node(self, ebb_id: int) -> None:
        """Free what the Ebb has on each core. This core is first: it gives nobody the root again."""
        self._unwatch(ebb_id)
        self.torn_down += 1
        tear_down_here(ebb_id)
        if self._core.representative(CORE_LINKS) is not None:
            others = range(1, core_links.count)
            when_all([core_links.call(core, tear_down_here, ebb_id) for core in others]).block()


def tear_down_here(ebb_id: int) -> None:
    """Free what the Ebb has on the current core."""
    local_id_map.remove(ebb_id)
    current_core().tear_down(ebb_id)


def _pack_entry(root: type[ReplicatedRoot], data: bytes) -> bytes:
    if root.__module__ == "__main__" or "<locals>" in root.__qualname__:
        raise EbbError(f"other nodes cannot find {root.__qualname__}: define it in a module that they import, by name")
    packed: bytes = msgpack.packb([f"{root.__module__}:{root.__qualname__}", data])
    return packed


def _make_root(ebb_id: int, entry: bytes) -> ReplicatedRoot:
    try:
        name, data = msgpack.unpackb(entry)
        module_name, _, class_name = name.partition(":")
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise EbbError(f"what the Global Id Map has for Ebb {ebb_id} is not a replicated Ebb's: {error}") from error
    module = sys.modules.get(module_name)
    if module is None:
        raise EbbError(f"Ebb {ebb_id} needs the module {module_name}: have this node import it when it boots")
    root = getattr(module, class_name, None)
    if not isinstance(root, type) or not issubclass(root, ReplicatedRoot) or not isinstance(data, bytes):
        raise EbbError(f"Ebb {ebb_id} needs {name}, which is not a ReplicatedRoot here")
    return root(data)
