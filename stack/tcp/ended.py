"""The connections that have just ended on a core of a node of several, for segments of theirs that come late.

The device notes which core answers a flow only after the peer has had the answer, so the peer's next segment may still
go to another core's queue, and what the peer sends then overtakes it. When that is the end of the connection, the late
segment, handed over at last, finds none. One core would have taken it in order and said nothing; so such a segment is
dropped, and not answered with a reset. Only one that says nothing new is: all it takes of sequence space was received
before the end. Whatever a connection has not had is still answered with a reset.
"""

from stack.tcp.constants import MASK32, RST, SYN
from stack.tcp.segment import Segment
from stack.tcp.sequence import seq_le
from stack.tcp.tcb import Tcb
from stack.transport import Received

MOST = 1024  # about what queues hold when many connections end at once; beyond, the oldest is forgotten


class EndedConnections:
    """Who was connected, and up to where the peer's sequence numbers were received."""

    def __init__(self) -> None:
        self._ended: dict[tuple[int, ...], int] = {}

    def add(self, connection: Tcb) -> None:
        """The peer has acknowledged all, our FIN included, or has reset it: it needs no answer any more."""
        key = connection.key()
        self._ended.pop(key, None)  # the youngest is the last
        self._ended[key] = connection.rcv_nxt
        if len(self._ended) > MOST:
            del self._ended[next(iter(self._ended))]

    def knows(self, segment: Segment, received: Received) -> bool:
        """Whether the segment is of such a connection, and all that it says had been received."""
        end = self._ended.get(
            (
                received.destination_high,
                received.destination_low,
                segment.destination_port,
                received.source_high,
                received.source_low,
                segment.source_port,
            )
        )
        if end is None or segment.flags & (SYN | RST):
            return False
        return seq_le((segment.sequence + segment.space()) & MASK32, end)
