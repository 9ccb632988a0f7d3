"""Arming a connection's timers. Each has two: the main timer, one thing at a time, and the delayed ACK's deadline.

One enum for the main timer means that no two of its kinds can run at once: a connection that retransmits does not
probe a zero window, and one in TIME-WAIT does neither. What happens when a deadline comes is in ``stack.tcp.expiry``.
"""

from ebbrt.constants import FOREVER
from stack.tcp.constants import TIMER_FIN_WAIT_2, TIMER_NONE
from stack.tcp.tcb import Tcb


def arm(connection: Tcb, timer: int, deadline: int) -> None:
    """Let the main timer be one of the TIMER_ kinds, due at ``deadline``."""
    connection.timer = timer
    connection.timer_deadline = deadline
    if deadline < connection.heap_deadline:
        connection.heap_deadline = deadline
        connection.engine.timers.schedule(deadline, connection)


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
    if deadline < connection.heap_deadline:
        connection.heap_deadline = deadline
        connection.engine.timers.schedule(deadline, connection)
