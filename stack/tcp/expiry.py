"""What happens when a connection's deadline comes: the delayed ACK, pacing, and the main timer's kinds."""

from ebbrt.constants import FOREVER
from stack.tcp.constants import (
    CLOSED,
    MOST_RETRANSMISSIONS,
    MOST_RTO,
    MOST_SYN_ACK_RETRANSMISSIONS,
    MOST_SYN_RETRANSMISSIONS,
    OPEN,
    SPARE_TIMERS,
    SYN_SENT,
    TIMER_FIN_WAIT_2,
    TIMER_HANDSHAKE,
    TIMER_KEEPALIVE,
    TIMER_NONE,
    TIMER_PERSIST,
    TIMER_PROBE,
    TIMER_REORDER,
    TIMER_RETRANSMIT,
    TIMER_TIME_WAIT,
)
from stack.tcp.engine import Engine
from stack.tcp.handshake import fall_back
from stack.tcp.keepalive import gives_up, keepalive_timeout, patience
from stack.tcp.lifecycle import end, give_up
from stack.tcp.output import output, probe
from stack.tcp.path_mtu import suspect_black_hole
from stack.tcp.quick_acks import peer_waits
from stack.tcp.rack import probe_loss
from stack.tcp.recovery import reordering_timeout, retransmission_timeout
from stack.tcp.segment_output import send_ack, send_syn
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm, disarm


def poll(engine: Engine, now: int) -> None:
    """Handle every deadline up to ``now``."""
    timers = engine.timers
    if len(timers) > 2 * engine.connections.count + SPARE_TIMERS:
        timers.prune(_is_current)  # an entry keeps its connection in memory, for up to a minute after its end
    while True:
        deadline = timers.next_deadline()
        if deadline > now:
            return
        connection = timers.pop()
        assert isinstance(connection, Tcb)
        if connection.heap_deadline != deadline:
            continue  # it has an earlier entry, or had one
        connection.heap_deadline = FOREVER
        if connection.state != CLOSED:
            expire(connection, now)
        if connection.state != CLOSED:
            _reschedule(connection)


def _is_current(deadline: int, item: object) -> bool:
    """Whether this is the entry its connection counts on."""
    assert isinstance(item, Tcb)
    return item.state != CLOSED and item.heap_deadline == deadline


def expire(connection: Tcb, now: int) -> None:
    """Do what is due."""
    if connection.ack_deadline <= now:
        connection.ack_deadline = FOREVER
        if connection.pingpong:
            peer_waits(connection)
        send_ack(connection, now)
    if connection.pace_deadline <= now:
        connection.pace_deadline = FOREVER
        output(connection, now)
    if connection.timer_deadline > now:
        return
    timer = connection.timer
    disarm(connection)
    if timer == TIMER_RETRANSMIT:
        _retransmission_timeout(connection, now)
    elif timer == TIMER_PROBE:
        _probe_timeout(connection, now)
    elif timer == TIMER_REORDER:
        reordering_timeout(connection, now)
        output(connection, now)
    elif timer == TIMER_PERSIST:
        _persist_timeout(connection, now)
    elif timer == TIMER_HANDSHAKE:
        _handshake_timeout(connection, now)
    elif timer == TIMER_FIN_WAIT_2:
        end(connection, "timeout")
    elif timer == TIMER_KEEPALIVE:
        keepalive_timeout(connection, now)
    elif timer == TIMER_TIME_WAIT:
        end(connection, "closed")
    else:
        assert timer == TIMER_NONE


def _reschedule(connection: Tcb) -> None:
    """Put the connection back into the heap, for the earlier of its deadlines."""
    deadline = min(connection.timer_deadline, connection.ack_deadline, connection.pace_deadline)
    if deadline < connection.heap_deadline:
        connection.heap_deadline = deadline
        connection.engine.timers.schedule(deadline, connection)


def _retransmission_timeout(connection: Tcb, now: int) -> None:
    """Nothing was acknowledged for one RTO: send it all again, slowly (RFC 6298 section 5, RFC 5681 section 3.1)."""
    connection.engine.counters.retransmission_timeouts += 1
    connection.retries += 1
    if connection.retries == 1:
        connection.stalled_since = now - connection.rtt.rto
    if gives_up(connection, MOST_RETRANSMISSIONS, now):
        give_up(connection)
        return
    suspect_black_hole(connection, now)
    connection.rtt.back_off(connection.user_timeout)
    retransmission_timeout(connection, now)
    if connection.snd_wnd == 0:
        # The peer has taken its window back: what it does not have is to be sent again, when it opens.
        connection.drop_records()
        connection.recovery_state = OPEN
        connection.snd_nxt = connection.snd_una
        connection.queue.rewind()
    output(connection, now)
    if connection.timer_deadline > patience(connection):
        arm(connection, TIMER_RETRANSMIT, patience(connection))


def _probe_timeout(connection: Tcb, now: int) -> None:
    """Two round trips without an acknowledgment: send something that makes the peer tell what it lacks."""
    probe_loss(connection, connection.trouble(), now)


def _persist_timeout(connection: Tcb, now: int) -> None:
    """Probe a closed window, at growing intervals, as long as the peer answers (RFC 9293 section 3.8.6.1)."""
    connection.retries += 1
    if connection.probes == 0:
        connection.stalled_since = now - connection.rtt.rto
    if gives_up(connection, MOST_RETRANSMISSIONS, now):
        give_up(connection)
        return
    probe(connection, now)
    if connection.snd_nxt != connection.snd_una:
        output(connection, now)  # it was more than a probe, and is now in flight
        return
    connection.probes = min(connection.probes + 1, 16)
    interval = min(connection.rtt.rto << connection.probes, MOST_RTO)
    arm(connection, TIMER_PERSIST, min(now + interval, patience(connection)))


def _handshake_timeout(connection: Tcb, now: int) -> None:
    """Our SYN was not answered: send it again, or give up."""
    connection.retries += 1
    most = MOST_SYN_ACK_RETRANSMISSIONS
    if connection.state == SYN_SENT:
        most = connection.configured.syn_retransmissions or MOST_SYN_RETRANSMISSIONS
    if gives_up(connection, most, now):
        give_up(connection)
        return
    connection.engine.counters.segments_retransmitted += 1
    connection.segments_retransmitted += 1
    connection.rtt.back_off(connection.user_timeout)
    if connection.state == SYN_SENT and connection.fast_open is not None:
        fall_back(connection, connection.fast_open, now)
    send_syn(connection, now)
    arm(connection, TIMER_HANDSHAKE, min(now + connection.rtt.rto, patience(connection)))
