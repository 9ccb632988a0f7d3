"""The ways there are to find a segment's connection, by the names that a node's owner chooses them by."""

from stack.tcp.connection_list import ConnectionList
from stack.tcp.connections import Connections, ConnectionTable

LOOKUPS: dict[str, type[Connections]] = {"table": ConnectionTable, "list": ConnectionList}
DEFAULT_LOOKUP = "table"


def connection_lookup(name: str, seed: bytes) -> Connections:
    """A new one, with nothing in it; ValueError for a name there is not."""
    lookup = LOOKUPS.get(name)
    if lookup is None:
        raise ValueError(f"no connection look-up {name!r}: there are {', '.join(sorted(LOOKUPS))}")
    return lookup(seed)
