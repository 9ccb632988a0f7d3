"""How a received segment finds its connection: ``Connections``, and what a stack uses, a hash table with a secret.

Buckets hold chains that run through the connections themselves; the table doubles when there are as many connections
as buckets, so that a look-up costs the same at ten connections and at a hundred thousand. The hash is seeded, so that
a peer who chooses addresses and ports cannot choose buckets. ``stack.tcp.connection_list`` is the other way, for
comparison.
"""

from collections.abc import Iterator

from ebbrt.network import TcpConnection
from stack.transport import Path

LEAST_BUCKETS = 64
GOLDEN = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio: odd, and its bits look random
MASK64 = 0xFFFFFFFFFFFFFFFF


class Flow(TcpConnection):
    """Who is connected with whom: what the table knows of a connection, whose base class this is.

    path: the way to the peer, which has both addresses.
    """

    def __init__(self, path: Path, remote_port: int, local_port: int) -> None:
        self.path = path
        self.remote_port = remote_port
        self.local_port = local_port
        self.following: Flow | None = None  # in its bucket of the table, or in the list

    def key(self) -> tuple[int, ...]:
        """What no other connection has in common with it."""
        path = self.path
        return (
            path.source_high,
            path.source_low,
            self.local_port,
            path.destination_high,
            path.destination_low,
            self.remote_port,
        )


def joins(path: Path, local_high: int, local_low: int, remote_high: int, remote_low: int) -> bool:
    """Whether a path is between those addresses; what most differ in comes first."""
    return (
        path.destination_low == remote_low
        and path.destination_high == remote_high
        and path.source_low == local_low
        and path.source_high == local_high
    )


class Connections:
    """All connections of a stack, by both addresses and ports. ``seed``: 8 secret bytes or more."""

    def __init__(self, seed: bytes) -> None:
        self.count = 0

    def find(
        self,
        local_high: int,
        local_low: int,
        local_port: int,
        remote_high: int,
        remote_low: int,
        remote_port: int,
    ) -> Flow | None:
        """The connection between those addresses and ports, or None."""
        raise NotImplementedError

    def insert(self, flow: Flow) -> None:
        """Add a connection that is not there yet."""
        raise NotImplementedError

    def remove(self, flow: Flow) -> None:
        """Take a connection out; one that is not there is left alone."""
        raise NotImplementedError

    def flows(self) -> list[Flow]:
        """All of them."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Flow]:
        return iter(self.flows())


class ConnectionTable(Connections):
    """The hash table."""

    def __init__(self, seed: bytes) -> None:
        Connections.__init__(self, seed)
        self._seed = int.from_bytes(seed[:8], "big") | 1
        self._mask = LEAST_BUCKETS - 1
        self._buckets: list[Flow | None] = [None] * LEAST_BUCKETS

    def find(
        self,
        local_high: int,
        local_low: int,
        local_port: int,
        remote_high: int,
        remote_low: int,
        remote_port: int,
    ) -> Flow | None:
        """See Connections."""
        flow = self._buckets[self._hash(remote_high, remote_low, remote_port, local_port) & self._mask]
        while flow is not None:
            if (
                flow.remote_port == remote_port
                and flow.local_port == local_port
                and joins(flow.path, local_high, local_low, remote_high, remote_low)
            ):
                return flow
            flow = flow.following
        return None

    def insert(self, flow: Flow) -> None:
        """See Connections."""
        if self.count > self._mask:
            self._grow()
        self._link(flow)
        self.count += 1

    def remove(self, flow: Flow) -> None:
        """See Connections."""
        index = self._index(flow)
        previous = None
        current = self._buckets[index]
        while current is not None and current is not flow:
            previous = current
            current = current.following
        if current is None:
            return
        if previous is None:
            self._buckets[index] = flow.following
        else:
            previous.following = flow.following
        flow.following = None
        self.count -= 1

    def flows(self) -> list[Flow]:
        """See Connections."""
        flows = []
        for bucket in self._buckets:
            flow = bucket
            while flow is not None:
                flows.append(flow)
                flow = flow.following
        return flows

    def _grow(self) -> None:
        flows = self.flows()
        self._mask = 2 * self._mask + 1
        self._buckets = [None] * (self._mask + 1)
        for flow in flows:
            self._link(flow)

    def _link(self, flow: Flow) -> None:
        index = self._index(flow)
        flow.following = self._buckets[index]
        self._buckets[index] = flow

    def _index(self, flow: Flow) -> int:
        """Its bucket."""
        path = flow.path
        return self._hash(path.destination_high, path.destination_low, flow.remote_port, flow.local_port) & self._mask

    def _hash(self, remote_high: int, remote_low: int, remote_port: int, local_port: int) -> int:
        """Multiplications mix the remote address and the ports with the seed; the upper bits are the good ones."""
        mixed = ((remote_high ^ self._seed) * GOLDEN) & MASK64
        mixed = ((mixed ^ mixed >> 32 ^ remote_low) * GOLDEN) & MASK64
        mixed ^= mixed >> 32 ^ (remote_port << 16 | local_port)
        mixed = (mixed * GOLDEN) & MASK64
        mixed ^= mixed >> 32
        mixed = (mixed * self._seed) & MASK64
        return mixed >> 32
