"""RACK-TLP (RFC 8985): what is lost, judged by time, and a probe for when nothing comes back to judge by.

RACK: a segment is lost when one that was sent later has arrived, and enough time has gone by to allow for reordering.
Until there is that much, the reordering timer waits. TLP: when the end of a flight is lost nothing later can arrive.
So after about two round trips without an acknowledgment something is sent, new data or the last segment once more,
and the answer to that shows what is missing, long before a retransmission timeout would give up the whole window.

Both need SACK. The records are in ``stack.tcp.sent``, what is remembered in ``stack.tcp.losses``, and what follows
from a loss in ``stack.tcp.recovery``.
"""

from stack.tcp.constants import (
    DUPLICATE_THRESHOLD,
    MASK32,
    OPEN,
    REORDER_PERSIST,
    TIMER_REORDER,
    TIMER_RETRANSMIT,
)
from stack.tcp.losses import Losses
from stack.tcp.output import resend_last, transmit
from stack.tcp.sent import Sent
from stack.tcp.sequence import seq_lt
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm


def rack_delivered(losses: Losses, sent: Sent) -> None:
    """Section 6.2, steps 2 and 3: what the acknowledgment under way says of time and order."""
    if sent.reordered:
        losses.reordering_seen = True
    time = sent.newest_time
    if time < 0 or time < losses.rack_time:
        return
    losses.rack_rtt = sent.rtt
    if time > losses.rack_time or seq_lt(losses.rack_end, sent.newest_end):
        losses.rack_time = time
        losses.rack_end = sent.newest_end


def rack_duplicate(connection: Tcb, losses: Losses) -> None:
    """Step 4, with a D-SACK: something was sent again in vain, so the window was too short; once in a round trip."""
    if losses.in_dsack_round and seq_lt(connection.snd_una, losses.dsack_round):
        return
    losses.in_dsack_round = True
    losses.dsack_round = connection.snd_nxt
    losses.window_multiplier += 1
    losses.window_persist = REORDER_PERSIST


def rack_recovered(losses: Losses) -> None:
    """Step 4, when a recovery ends: after 16 of them without a D-SACK the window is what it was."""
    if losses.window_persist:
        losses.window_persist -= 1
        if losses.window_persist == 0:
            losses.window_multiplier = 1


def reordering_window(connection: Tcb, losses: Losses, sent: Sent) -> int:
    """Step 4, RACK_update_reo_wnd: how much later than a round trip a segment may still arrive."""
    if not losses.reordering_seen:
        if connection.recovery_state != OPEN or sent.sacked_segments >= DUPLICATE_THRESHOLD:
            return 0
    return min(losses.window_multiplier * (connection.rtt.least // 4), connection.rtt.srtt)


def rack_detect(connection: Tcb, losses: Losses, now: int) -> None:
    """Step 5: mark what is lost now, and have the timer look at the rest again."""
    sent = connection.sent
    if sent is None or losses.rack_time < 0 or not connection.sack:
        return
    wait = losses.rack_rtt + reordering_window(connection, losses, sent)
    lost = sent.lost_bytes
    latest = sent.lose_older(losses.rack_time, losses.rack_end, now - wait)
    connection.engine.counters.rack_lost_bytes += sent.lost_bytes - lost
    if latest >= 0:
        arm(connection, TIMER_REORDER, latest + wait)


def probe_loss(connection: Tcb, losses: Losses, now: int) -> None:
    """Section 7.3: the probe timer has run out; send one segment, though the congestion window be full."""
    connection.engine.counters.loss_probes += 1
    in_flight = (connection.snd_nxt - connection.snd_una) & MASK32
    room = connection.snd_wnd - in_flight if connection.snd_wnd > in_flight else 0
    length = min(connection.queue.length - connection.queue.sent, connection.snd_mss)
    losses.probe_resent = length == 0 or length > room
    if losses.probe_resent:
        resend_last(connection, now)
    else:
        transmit(connection, length, now)
    losses.probing = True
    losses.probe_end = connection.snd_nxt
    arm(connection, TIMER_RETRANSMIT, now + connection.rtt.rto)


def probe_answered(
    connection: Tcb, losses: Losses, acknowledgment: int, duplicate: bool, dsack_end: int, dsack: bool
) -> bool:
    """Section 7.4.2: whether the answer to a probe says that the probe itself has mended a loss.

    duplicate: the acknowledgment says nothing new at all.
    """
    if not losses.probing or seq_lt(acknowledgment, losses.probe_end):
        return False
    if not losses.probe_resent or (dsack and dsack_end == losses.probe_end):
        losses.probing = False
    elif acknowledgment != losses.probe_end:
        losses.probing = False
        return True
    elif duplicate:
        losses.probing = False  # both have arrived
    return False
