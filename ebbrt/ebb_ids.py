"""Ebb ids: numbers of at most 63 bits that name one Ebb in the whole application, and are never used for another.

    0 .. 255                the base Ebbs (``ebbrt.ebb``)
    256 .. 2**15 - 1        well known: those an application numbers itself
    2**15 .. 2**16 - 1      by name (``named_id``): the same on every node without asking
    node * 2**40 + ...      made by the Ebb Allocator of that node; of these, bits 32 to 39 say which core made it

So each core of each node hands out ids without asking anybody. The front-end is node 0 (paper section 3.1.2).
"""

import zlib

BASE_END = 256
WELL_KNOWN_END = 1 << 15
NAMED_END = 1 << 16
NODE_SHIFT = 40
CORE_SHIFT = 32
IDS_PER_CORE = 1 << CORE_SHIFT
CORES = 1 << (NODE_SHIFT - CORE_SHIFT)
NODES = 1 << (63 - NODE_SHIFT)


class EbbError(LookupError):
    """An Ebb that nobody can build here, or that was torn down; or an id that cannot be had."""


_names: dict[int, str] = {}  # of the named ids given out in this process


def named_id(name: str) -> int:
    """The id of the Ebb called ``name``: the same in every process.

    Raises EbbError when another name that this process uses gives the same id.
    """
    ebb_id = WELL_KNOWN_END + zlib.crc32(name.encode()) % (NAMED_END - WELL_KNOWN_END)
    taken = _names.setdefault(ebb_id, name)
    if taken != name:
        raise EbbError(f"the Ebb names {taken!r} and {name!r} give the same id ({ebb_id}): rename one of them")
    return ebb_id


class EbbAllocator:
    """Hands out ids from one core's part of its node's range."""

    def __init__(self, node_number: int = 0, core_number: int = 0) -> None:
        if not 0 <= node_number < NODES or not 0 <= core_number < CORES:
            raise EbbError(
                f"no Ebb ids for core {core_number} of node {node_number}: "
                f"there are ids for {CORES} cores on each of {NODES} nodes"
            )
        start = (node_number << NODE_SHIFT) + (core_number << CORE_SHIFT)
        self._next = max(start, NAMED_END)
        self._end = start + IDS_PER_CORE

    def allocate(self) -> int:
        """An id nobody else has, nor had. Raises EbbError when the core's range is used up."""
        if self._next == self._end:
            raise EbbError(f"all {IDS_PER_CORE} Ebb ids of this core have been used: they are not used again")
        self._next += 1
        return self._next - 1
