"""Quick acknowledgments: when data is acknowledged at once although its ACK could wait (RFC 5681 section 4.2).

A sender with a small congestion window lives by the ACKs it hears. So at the beginning of a connection, after silence,
and when the peer shows that it waits for us, the next segments are each acknowledged. Where the application answers
what it receives, that would cost a frame for nothing: such a connection is in "pingpong" mode, as Linux calls it, and
its ACKs wait for the answers. Whether an ACK leaves alone is seen only in ``output``, after the upcall, so an answer
given there carries it, the first one too.

All of it is as in Linux, but that segments are not counted in pingpong mode, to cost nothing there: whoever leaves it
begins anew.
"""

from stack.tcp.constants import DELAYED_ACK_TIME, LEAST_QUICK_ACKS, MASK32, MOST_QUICK_ACKS
from stack.tcp.tcb import Tcb


def data_arrives(connection: Tcb, now: int) -> None:
    """The next segment in order, not yet counted, on a connection that is not in pingpong mode."""
    if connection.bytes_received == 0 or now - connection.last_data_received > connection.rtt.rto:
        _begin(connection)
    if connection.quick_acks:
        connection.quick_acks -= 1
        connection.ack_now = True


def data_sent(connection: Tcb, now: int) -> None:
    """Data leaves: soon after data arrived, it is an answer."""
    if connection.bytes_received and now - connection.last_data_received < DELAYED_ACK_TIME:
        connection.pingpong = True


def peer_waits(connection: Tcb) -> None:
    """The peer had no answer in time, or asks again for an acknowledgment."""
    connection.pingpong = False
    _begin(connection)


def _begin(connection: Tcb) -> None:
    """Acknowledge the next segments at once: as many as half the window holds, within bounds."""
    segments = ((connection.rcv_adv - connection.rcv_acked) & MASK32) // (2 * connection.rcv_mss)
    connection.quick_acks = max(connection.quick_acks, min(segments or LEAST_QUICK_ACKS, MOST_QUICK_ACKS))
