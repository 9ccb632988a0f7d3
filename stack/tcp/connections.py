"""The table in which a received segment finds its connection: a hash table keyed with a secret.

Buckets hold chains that run through the connections themselves; the table doubles when there are as many connections
as buckets, so that a look-up costs the same at ten connections and at a hundred thousand. The hash is seeded, so that
a peer who chooses addresses and ports cannot choose buckets.
"""

from collections.abc import Iterator

from ebbrt.network import TcpConnection

LEAST_BUCKETS = 64


class Flow(TcpConnection):
    """Who is connected with whom: what the table knows of a connection, whose base class this is."""

    def __init__(self, remote_address: int, remote_port: int, local_port: int) -> None:
        self.remote_address = remote_address
        self.remote_port = remote_port
        self.local_port = local_port
        self.hash_next: Flow | None = None


class ConnectionTable:
    """Connections by remote address, remote port and local port. ``seed``: 8 secret bytes or more."""

    def __init__(self, seed: bytes) -> None:
        self.count = 0
        self._seed = int.from_bytes(seed[:8], "big") | 1
        self._mask = LEAST_BUCKETS - 1
        self._buckets: list[Flow | None] = [None] * LEAST_BUCKETS

    def find(self, remote_address: int, remote_port: int, local_port: int) -> Flow | None:
        """The connection of that four-tuple (there is one local address), or None."""
        flow = self._buckets[self._hash(remote_address, remote_port, local_port) & self._mask]
        while flow is not None:
            if (
                flow.remote_port == remote_port
                and flow.remote_address == remote_address
                and flow.local_port == local_port
            ):
                return flow
            flow = flow.hash_next
        return None

    def insert(self, flow: Flow) -> None:
        """Add a connection that is not in the table."""
        if self.count > self._mask:
            self._grow()
        self._link(flow)
        self.count += 1

    def remove(self, flow: Flow) -> None:
        """Take a connection out; one that is not in the table is left alone."""
        index = self._hash(flow.remote_address, flow.remote_port, flow.local_port) & self._mask
        previous = None
        current = self._buckets[index]
        while current is not None and current is not flow:
            previous = current
            current = current.hash_next
        if current is None:
            return
        if previous is None:
            self._buckets[index] = flow.hash_next
        else:
            previous.hash_next = flow.hash_next
        flow.hash_next = None
        self.count -= 1

    def __iter__(self) -> Iterator[Flow]:
        return iter(self._all())

    def _all(self) -> list[Flow]:
        flows = []
        for bucket in self._buckets:
            flow = bucket
            while flow is not None:
                flows.append(flow)
                flow = flow.hash_next
        return flows

    def _grow(self) -> None:
        flows = self._all()
        self._mask = 2 * self._mask + 1
        self._buckets = [None] * (self._mask + 1)
        for flow in flows:
            self._link(flow)

    def _link(self, flow: Flow) -> None:
        index = self._hash(flow.remote_address, flow.remote_port, flow.local_port) & self._mask
        flow.hash_next = self._buckets[index]
        self._buckets[index] = flow

    def _hash(self, remote_address: int, remote_port: int, local_port: int) -> int:
        """Two multiplications mix address and ports with the seed; the upper bits are the good ones."""
        mixed = (remote_address << 32 | remote_port << 16 | local_port) ^ self._seed
        mixed = (mixed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed ^= mixed >> 32
        mixed = (mixed * self._seed) & 0xFFFFFFFFFFFFFFFF
        return mixed >> 32
