"""The one model of a link: given a frame's length and the time, one direction of it says when the frame arrives.

Nothing here does I/O, reads a clock or keeps a frame. The simulation drives it in virtual time, ``relay.py`` in real
time, so both have the same links. A frame goes, in this order,

1. into the *queue* in front of the transmitter, or, with that full, nowhere (drop-tail);
2. over the *transmitter*, a frame after the other at the rate, which takes its time for a frame that will be lost too;
3. along the *wire*: there it is lost, corrupted, duplicated, or held back so that others overtake it; all others
   arrive in their order, after delay and jitter.

Every kind of fault has a random generator of its own, made of the link's seed: a seed fixes which frames it hits, and
setting one kind does not move what another one hits.

Read first: ``settings.py``.
"""

from collections import deque
from random import Random
from typing import NamedTuple

from netlab.emulation.settings import DEFAULT_LIMIT, LinkSettings

INTACT = -1
_SECOND = 1_000_000_000  # ns
_UNLIMITED = 1 << 62


class Arrival(NamedTuple):
    """When a frame arrives, in nanoseconds, and which of its bits is then turned over (`INTACT`: none).

    Bits are counted from the first of the frame on, the most significant one of each byte first.
    """

    at: int
    flipped_bit: int


class Link:
    """One direction of a link. ``seed`` is a number or a text, such as the link's name with the direction's."""

    def __init__(self, settings: LinkSettings, seed: int | str = 0) -> None:
        self._seed = seed
        self._generators: dict[str, Random] = {}
        self._queue: deque[tuple[int, int]] = deque()  # (when its sending begins, bytes) of frames that wait
        self._queued_bytes = 0
        self._course = 0, 0, 0  # rate, delay and jitter that what follows is of
        self._free_at = 0  # when the transmitter has sent everything it was given
        self._last_arrival = 0  # of the frames that keep their order
        self._is_bad = False  # the state of Gilbert and Elliott's chain
        self._frames = 0
        self._bytes = 0
        self._arrivals = 0
        self._lost = 0
        self._lost_in_bursts = 0
        self._queue_drops = 0
        self._most_queued = 0
        self._reordered = 0
        self._duplicated = 0
        self._corrupted = 0
        self.change(settings)

    def change(self, settings: LinkSettings) -> None:
        """Be like this for the frames that enter from now on; those that entered before arrive as they would have.

        With another rate, delay or jitter the frames before and after do not wait for each other: after a shorter
        delay they may arrive out of order, and a link that was too slow by mistake is quick at once.
        """
        if (settings.rate, settings.delay, settings.jitter) != self._course:
            self._course = settings.rate, settings.delay, settings.jitter
            self._free_at = self._last_arrival = self._queued_bytes = 0
            self._queue.clear()
        self.settings = settings
        both_open = settings.limit is None and settings.limit_bytes is None
        self._limit = DEFAULT_LIMIT if both_open else _UNLIMITED if settings.limit is None else settings.limit
        self._limit_bytes = _UNLIMITED if settings.limit_bytes is None else settings.limit_bytes
        self._is_bad = self._is_bad and settings.gilbert is not None

    def clear(self) -> None:
        """Carry every frame at once, from now on."""
        self.change(LinkSettings())

    def transmit(self, length: int, now: int) -> list[Arrival]:
        """What becomes of a frame of ``length`` bytes that is sent at ``now``, in nanoseconds that never go back.

        Its arrivals: none when it is lost, two when it is duplicated.
        """
        self._frames += 1
        self._bytes += length
        sent_at = self._send(length, now)
        if sent_at is None or self._lose():
            return []
        flipped_bit = INTACT
        settings = self.settings
        if settings.corrupt and self._hits("corrupt", settings.corrupt):
            self._corrupted += 1
            flipped_bit = self._random("place").randrange(length * 8)
        arrival = Arrival(self._travel(sent_at), flipped_bit)
        self._arrivals += 1
        if settings.duplicate and self._hits("duplicate", settings.duplicate):
            self._duplicated += 1
            self._arrivals += 1
            return [arrival, arrival]
        return [arrival]

    def statistics(self) -> dict[str, int]:
        """Counts since the beginning, over all changes.

        ``frames`` and ``bytes`` entered; ``arrivals`` came out: frames, less what was lost or dropped, and duplicates.
        """
        return {
            "frames": self._frames,
            "bytes": self._bytes,
            "arrivals": self._arrivals,
            "lost": self._lost,
            "lost_in_bursts": self._lost_in_bursts,
            "queue_drops": self._queue_drops,
            "most_queued": self._most_queued,
            "reordered": self._reordered,
            "duplicated": self._duplicated,
            "corrupted": self._corrupted,
        }

    # The steps

    def _send(self, length: int, now: int) -> int | None:
        """Queue and transmitter: when the last bit of the frame has left; None when the queue has no room for it."""
        rate = self.settings.rate
        if not rate:
            return now
        begins = max(now, self._free_at)
        if begins > now and not self._enqueue(length, begins, now):
            self._queue_drops += 1
            return None
        self._free_at = begins - (-length * 8 * _SECOND // rate)  # rounded up
        return self._free_at

    def _enqueue(self, length: int, begins: int, now: int) -> bool:
        """Let it wait until ``begins``; whether there was room."""
        queue = self._queue
        while queue and queue[0][0] <= now:
            self._queued_bytes -= queue.popleft()[1]
        if len(queue) >= self._limit or self._queued_bytes + length > self._limit_bytes:
            return False
        queue.append((begins, length))
        self._queued_bytes += length
        self._most_queued = max(self._most_queued, len(queue))
        return True

    def _lose(self) -> bool:
        """Whether the frame gets lost on the wire; independently, or with the others of a burst."""
        settings = self.settings
        lost = settings.loss > 0 and self._hits("loss", settings.loss)
        self._lost += lost
        if settings.gilbert is None:
            return lost
        gilbert = settings.gilbert
        lost_in_burst = self._hits("gilbert", gilbert.one_minus_h if self._is_bad else gilbert.one_minus_k)
        if self._hits("turn", gilbert.r if self._is_bad else gilbert.p):
            self._is_bad = not self._is_bad
        self._lost_in_bursts += lost_in_burst and not lost
        return lost or lost_in_burst

    def _travel(self, sent_at: int) -> int:
        """When a frame that has left at ``sent_at`` is there: in its order, unless it is one of those held back."""
        settings = self.settings
        arrival = sent_at + settings.delay
        if settings.jitter:
            arrival += self._random("jitter").randrange(2 * settings.jitter + 1) - settings.jitter
        arrival = max(arrival, self._last_arrival)
        if settings.reorder is not None and self._hits("reorder", settings.reorder.share):
            self._reordered += 1
            return arrival + settings.reorder.by
        self._last_arrival = arrival
        return arrival

    def _hits(self, fault: str, share: float) -> bool:
        return self._random(fault).random() < share

    def _random(self, fault: str) -> Random:
        if fault not in self._generators:
            self._generators[fault] = Random(f"{self._seed}/{fault}")
        return self._generators[fault]


def flip(frame: bytearray | memoryview, bit: int) -> None:
    """Turn over the bit of ``frame`` that an `Arrival` names, or none for `INTACT`."""
    if bit != INTACT:
        frame[bit >> 3] ^= 0x80 >> (bit & 7)
