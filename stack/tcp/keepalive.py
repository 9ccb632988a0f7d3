"""Is the peer still there? Asking one that says nothing (RFC 9293 section 3.8.4), and how long to wait for answers.

Keepalive is off unless the application wants it. It is the main timer's business while nothing else is: a connection
with something in flight, or with a window to probe, hears soon enough whether the peer lives. The timer is not armed
again by what arrives; when it runs out, it looks when something last did.

A peer that no longer acknowledges is given up after a number of retransmissions, or, when the application set a user
timeout, once it has got no further for that long. With a user timeout even a peer that answers is given up if it keeps
its window closed.
"""

from ebbrt.constants import FOREVER
from stack.tcp.constants import TIMER_KEEPALIVE
from stack.tcp.lifecycle import end
from stack.tcp.segment_output import send_keepalive, send_reset
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm


def keepalive_timeout(connection: Tcb, now: int) -> None:
    """Nothing was in flight for a while: ask, or wait on because the peer has said something, or give it up."""
    settings = connection.configured
    due = connection.last_received + settings.keepalive_idle
    if now < due:
        connection.probes = 0
        arm(connection, TIMER_KEEPALIVE, due)
        return
    if _is_gone(connection, now):
        send_reset(connection, now)
        end(connection, "timeout")
        return
    connection.probes += 1
    connection.engine.counters.keepalives_sent += 1
    send_keepalive(connection, now)
    arm(connection, TIMER_KEEPALIVE, now + settings.keepalive_interval)


def gives_up(connection: Tcb, most: int, now: int) -> bool:
    """R2 of RFC 9293 section 3.8.3: whether ``retries`` were too many, or the user timeout has come."""
    if connection.user_timeout:
        return now - connection.stalled_since >= connection.user_timeout
    return connection.retries > most


def patience(connection: Tcb) -> int:
    """When the user timeout comes for a connection that gets nowhere: no timer may be later. FOREVER without one."""
    return connection.stalled_since + connection.user_timeout if connection.user_timeout else FOREVER


def _is_gone(connection: Tcb, now: int) -> bool:
    """Whether enough questions have had no answer."""
    if connection.user_timeout and connection.probes:
        return now - connection.last_received >= connection.user_timeout
    return connection.probes >= connection.configured.keepalive_probes
