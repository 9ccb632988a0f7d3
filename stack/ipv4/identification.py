"""IPv4's identification field: what tells the fragments of one datagram from another's (RFC 791 section 3.2).

A packet that has DF set and is no fragment needs none (RFC 6864 section 4.1): it says 0, as Linux's resets and
replies do, and tells nobody anything. What may be cut up must not say the same again while its fragments live, and
what it says must be of no use to others. One counter for all packets tells everybody how many we send: a host that has
one lets strangers scan the ports of others through it, unseen ("idle scan"), and one that can be foreseen lets them
put fragments of theirs between ours (RFC 7739 section 3, which is about IPv6 and holds here as well). So each pair of
addresses has a counter of its own (RFC 7739 section 5.1), and what is sent is the counter under a permutation that
nobody knows without the key: 65536 datagrams to one host differ, and none says what the next one will.
"""

import random
from hashlib import blake2b

MAX_DESTINATIONS = 4096  # whose counters are kept; the oldest makes room, and later begins anew at random
ROUNDS = 4  # of a Feistel network with a pseudo-random function: enough for a pseudo-random permutation


class Identifications:
    """The numbers of one core: it has those that ``first`` to ``last`` (0 to 65535) become.

    random: seeded by the caller; says where a counter begins. secret: 1 to 64 bytes, the same for all cores of a node,
    so that no two of them send the same.
    """

    def __init__(self, random: random.Random, secret: bytes, first: int = 0, last: int = 0xFFFF) -> None:
        self._random = random
        self._secret = secret
        self._first = first
        self._count = last - first + 1
        self._counters: dict[int, int] = {}

    def next(self, source: int, destination: int) -> int:
        """That of the next datagram from ``source`` to ``destination``, IPv4 addresses, which may be cut up."""
        pair = source << 32 | destination
        counter = self._counters.get(pair)
        if counter is None:
            if len(self._counters) >= MAX_DESTINATIONS:
                del self._counters[next(iter(self._counters))]
            counter = self._random.randrange(self._count)
        self._counters[pair] = (counter + 1) % self._count
        return self._permuted(self._first + counter, pair.to_bytes(8, "big"))

    def _permuted(self, number: int, pair: bytes) -> int:
        left, right = number >> 8, number & 0xFF
        for turn in range(ROUNDS):
            block = pair + bytes((turn, right))
            mask = blake2b(block, digest_size=1, key=self._secret, person=b"identification").digest()[0]
            left, right = right, left ^ mask
        return left << 8 | right
