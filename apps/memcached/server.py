"""memcached as an application: listens, makes a session for each connection, and shows what it counted.

It sees ``ebbrt.network`` and ``ebbrt.iobuf`` only, so it runs on a node's own stack and on kernel sockets alike
(paper section 4.2). The way of a request: ``session`` (the stream), ``commands``, ``store`` (the table); on a node of
several cores ``shards`` hands it to the core its key belongs to.
"""

from apps.memcached import statistics
from apps.memcached.commands import Commands
from apps.memcached.session import Core
from apps.memcached.shards import ShardedCommands, Shards
from apps.memcached.store import Store
from ebbrt.clock import Clock
from ebbrt.cores import CoreLinks
from ebbrt.iobuf import allocate
from ebbrt.memory import MemoryAllocator
from ebbrt.network import NetworkManager, TcpConnection, TcpHandler

SCRATCH = 512  # bytes: header, extras and key of the longest request that is taken apart


class Memcached:
    """A server of memcached's binary protocol, on one core; or one core's part of it, when ``links`` are given.

    memory_limit: bytes of this core's node memory, beyond which the items used least recently are given up.
    wall_clock: nanoseconds since the epoch at the zero of ``clock``, for expiry at an absolute time.
    Raises MemoryError when node memory is too small for it.
    """

    def __init__(
        self,
        network: NetworkManager,
        allocator: MemoryAllocator,
        clock: Clock,
        memory_limit: int,
        wall_clock: int,
        port: int = 11211,
        links: CoreLinks | None = None,
    ) -> None:
        scratch = allocate(allocator, SCRATCH)
        if scratch is None:
            raise MemoryError("no node memory left for memcached")
        self._network = network
        self._port = port
        self._core = Core(Store(allocator, clock, memory_limit, wall_clock), scratch)
        self._shards = Shards(self._core, links) if links is not None and links.count > 1 else None

    def start(self) -> None:
        """Listen, and give items up when node memory runs out. Raises AddressInUseError when the port is taken."""
        self._network.listen(self._port, self._accept)
        self._core.store.allocator.reclaimer = self._core.store.reclaim

    def _accept(self, connection: TcpConnection) -> TcpHandler:
        session = Commands(self._core) if self._shards is None else ShardedCommands(self._core, self._shards)
        session.connection = connection
        self._core.sessions.add(session)
        self._core.accepted += 1
        self._core.opened += 1
        return session

    def statistics(self) -> dict[str, object]:
        """Sessions open, opened and closed; protocol errors and refusals by reason; the store's counters."""
        core = self._core
        store = core.store
        return {
            "sessions": {
                "open": len(core.sessions),
                "opened": core.accepted,
                "closed": core.accepted - len(core.sessions),
            },
            "problems": dict(core.problems),
            "items": store.size(),
            "bytes": store.bytes,
            **statistics.counters(core),
            **(self._shards.statistics() if self._shards is not None else {}),
        }
