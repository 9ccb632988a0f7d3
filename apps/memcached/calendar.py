"""Which keys expire when, so that the dead are found without looking at the living.

Sets of keys by the second at which they expire, and a heap of those seconds. A key is in at most one set and leaves it
when its item does, so nothing stale is kept, whatever a client stores and deletes.
"""

import heapq


class Calendar:
    """Keys by the second (since the epoch) at which they expire."""

    def __init__(self) -> None:
        self._keys: dict[int, set[bytes]] = {}
        self._seconds: list[int] = []  # a heap; a second whose keys have all gone may still stand in it

    def add(self, second: int, key: bytes) -> None:
        """Let ``key`` expire then; it is not in the calendar."""
        keys = self._keys.get(second)
        if keys is None:
            keys = self._keys[second] = set()
            if len(self._seconds) > 2 * len(self._keys) + 64:
                self._seconds = list(self._keys)
                heapq.heapify(self._seconds)
            else:
                heapq.heappush(self._seconds, second)
        keys.add(key)

    def remove(self, second: int, key: bytes) -> None:
        """Forget a key that was to expire then, if it has not been taken."""
        keys = self._keys.get(second)
        if keys is not None:
            keys.discard(key)
            if not keys:
                del self._keys[second]

    def take_due(self, now: int) -> bytes | None:
        """Take out a key whose second has come; None when there is none."""
        while self._seconds and self._seconds[0] <= now:
            keys = self._keys.get(self._seconds[0])
            if keys is None:
                heapq.heappop(self._seconds)
                continue
            key = keys.pop()
            if not keys:
                del self._keys[self._seconds[0]]
            return key
        return None
