"""Arming a connection's timers. Each has three: the main timer, one thing at a time, the delayed ACK's, and pacing's.

One enum for the main timer means that no two of its kinds can run at once: a connection that retransmits does not
probe a zero window, and one in TIME-WAIT does neither. Three of the kinds are for what is in flight; of these the
first to be due is armed, and the retransmission timer when that has run out. What happens when a deadline comes is in
``stack.tcp.expiry``.
"""

from ebbrt.constants import FOREVER
from stack.tcp.constants import (
    INITIAL_RTO,
    LEAST_PROBE_TIME,
    MOST_ACK_DELAY,
    OPEN,
    TIMER_FIN_WAIT_2,
    TIMER_NONE,
    TIMER_PROBE,
    TIMER_RETRANSMIT,
)
from stack.tcp.tcb import Tcb


def arm(connection: Tcb, timer: int, deadline: int) -> None:
    """Let the main timer be one of the TIMER_ kinds, due at ``deadline``."""
    connection.timer = timer
    connection.timer_deadline = deadline
    _schedule(connection, deadline)


def arm_for_flight(connection: Tcb, now: int) -> None:
    """Something is in flight: wait for its acknowledgment (RFC 6298 section 5), or probe before (RFC 8985 7.2)."""
    timeout = connection.rtt.rto
    timer = TIMER_RETRANSMIT
    if connection.sack and connection.recovery_state == OPEN and connection.retries == 0 and _may_probe(connection):
        wait = max(2 * connection.rtt.srtt, LEAST_PROBE_TIME) if connection.rtt.srtt else INITIAL_RTO
        if connection.flight() <= connection.snd_mss:
            wait += MOST_ACK_DELAY
        timeout = min(wait, timeout)
        timer = TIMER_PROBE
    arm(connection, timer, now + timeout)


def _may_probe(connection: Tcb) -> bool:
    """One probe at a time, and only while nothing tells of a loss."""
    if connection.losses is not None and connection.losses.probing:
        return False
    return connection.sent is None or connection.sent.sacked_bytes == 0


def disarm(connection: Tcb) -> None:
    """The main timer waits for nothing."""
    connection.timer = TIMER_NONE
    connection.timer_deadline = FOREVER


def await_fin(connection: Tcb, now: int) -> None:
    """FIN-WAIT-2: the peer has our FIN; give it time to go on, and to send its own."""
    arm(connection, TIMER_FIN_WAIT_2, now + connection.configured.fin_wait_2_time)


def arm_delayed_ack(connection: Tcb, deadline: int) -> None:
    """An ACK is due by ``deadline``, unless it rides on data before."""
    connection.ack_deadline = deadline
    _schedule(connection, deadline)


def arm_pacing(connection: Tcb, deadline: int) -> None:
    """Something is to be sent, but not before ``deadline``."""
    connection.pace_deadline = deadline
    _schedule(connection, deadline)


def _schedule(connection: Tcb, deadline: int) -> None:
    """The connection is due at ``deadline``; one that is due earlier looks again then."""
    if deadline < connection.heap_deadline:
        connection.heap_deadline = deadline
        connection.engine.timers.schedule(deadline, connection)
