"""Explicit congestion notification (RFC 3168): routers mark packets instead of dropping them.

Both ends agree in the SYNs. From then on data goes out as capable of being marked (ECT), but for retransmissions and
probes. A receiver of a mark (CE) says so in every ACK (ECE), until the sender says that it has slowed down (CWR), in
the first new data after its reduction (``stack.tcp.recovery``).
"""

from stack.tcp.constants import ACK, CE, CWR, ECE, ECN_MASK, ECN_OFF, SYN
from stack.tcp.segment import Segment
from stack.tcp.tcb import Tcb


def ecn_of_syn(connection: Tcb, segment: Segment) -> None:
    """The peer's SYN or SYN-ACK: whether ECN is agreed (section 6.1.1)."""
    asked = segment.flags & (ECE | CWR)
    if segment.flags & ACK:
        connection.ecn = connection.ecn_offer and asked == ECE
    else:
        connection.ecn = connection.engine.ecn != ECN_OFF and asked == ECE | CWR


def ecn_for_syn(connection: Tcb, flags: int) -> int:
    """What the flags of our SYN or SYN-ACK are to have besides.

    A SYN that was not answered is repeated without: something on the way may drop what it does not know (6.1.1.1).
    """
    if flags & ACK:
        return ECE if connection.ecn else 0
    if connection.retries:
        connection.ecn_offer = False
    return ECE | CWR if flags & SYN and connection.ecn_offer else 0


def marked_arrives(connection: Tcb, segment: Segment) -> None:
    """Data has arrived: note whether it is marked, and whether the peer has heard of earlier marks (6.1.3)."""
    if segment.flags & CWR:
        connection.ecn_echo = False
    if segment.traffic_class & ECN_MASK == CE:
        connection.engine.counters.ecn_marks_received += 1
        connection.ecn_echo = True
        connection.ack_now = True
