"""Which local port a connection of ours gets: RFC 6056's double hash (section 3.3.4), with random steps (3.3.5).

Towards one peer and port the ports follow each other from a start that only we can compute, so that one is used again
as late as possible, and its old connection is long past TIME-WAIT at the peer. Towards different peers the sequences
share one of 64 counters, chosen by a second hash: who watches the ports we use towards himself learns neither those
towards others nor how many connections we open. The steps are random, so that the next one is a guess even for those
who saw the last.
"""

import random
from collections.abc import Iterator
from hashlib import blake2b

COUNTERS = 64
MOST_STEP = 8  # the reuse of a port comes so much earlier, at most


class EphemeralPorts:
    """The ports from ``first`` to ``last``. chance: seeded by the caller. secret: 16 to 64 bytes."""

    def __init__(self, first: int, last: int, secret: bytes, chance: random.Random) -> None:
        self._first = first
        self._count = last - first + 1
        self._secret = secret
        self._random = chance
        self._counters = [chance.randrange(self._count) for _ in range(COUNTERS)]

    def candidates(self, peer: bytes) -> Iterator[int]:
        """Every port once, in the order to try them. peer: our address, the peer's, and its port."""
        digest = blake2b(peer, digest_size=8, key=self._secret, person=b"ports").digest()
        index = digest[7] % COUNTERS
        self._counters[index] = (self._counters[index] + self._random.randint(1, MOST_STEP)) % self._count
        start = int.from_bytes(digest[:7], "big") + self._counters[index]
        for number in range(self._count):
            if number:
                self._counters[index] = (self._counters[index] + 1) % self._count
            yield self._first + (start + number) % self._count
