"""What an acknowledgment says (RFC 9293 section 3.10.7.4, fifth): progress, loss, or nothing; and the window."""

from stack.tcp.autotune import send_limit, send_room
from stack.tcp.constants import (
    CLOSING,
    DROP_ACK_OUT_OF_RANGE,
    DROP_UNACCEPTABLE_HANDSHAKE,
    ECE,
    FIN,
    FIN_WAIT_1,
    LAST_ACK,
    LOSS,
    MASK32,
    MILLISECOND,
    OPEN,
    PAWS_IDLE,
    SYN_RECEIVED,
    TIMER_PERSIST,
    TIMER_PROBE,
    TIMER_REORDER,
)
from stack.tcp.delivery import tell_closed, tell_window_opened
from stack.tcp.handshake import syn_received_acknowledged
from stack.tcp.lifecycle import enter_time_wait, forget, transition
from stack.tcp.output import output
from stack.tcp.recovery import congestion_marked, take_acknowledgment
from stack.tcp.segment import Segment
from stack.tcp.segment_output import send_challenge_ack, send_reset_for
from stack.tcp.sequence import seq_le, seq_lt
from stack.tcp.state import FIN_ACKNOWLEDGED
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm_for_flight, await_fin, disarm


def acceptable(connection: Tcb, ack: int) -> bool:
    """Whether SEG.ACK may be the peer's: of something sent, and no older than a window (RFC 5961 section 5.2).

    In SYN-RECEIVED it must acknowledge our SYN. No segment with another changes anything of the connection.
    """
    if seq_lt(connection.snd_max, ack):
        return False
    if connection.state == SYN_RECEIVED:
        return seq_lt(connection.iss, ack)
    return seq_le((connection.snd_una - connection.max_snd_wnd) & MASK32, ack)


def acknowledgment_arrives(connection: Tcb, segment: Segment, now: int) -> bool:
    """Take SEG.ACK and SEG.WND; False when the segment is to be dropped, or when nothing is left of the connection.

    This is where the last check is made; what else the header tells (that the peer lives, its timestamp) is taken
    behind it, and not before.
    """
    ack = segment.acknowledgment
    if not acceptable(connection, ack):
        _refuse(connection, segment, now)
        return False
    connection.last_received = now
    connection.segments_received += 1
    if connection.timestamps and segment.has_timestamps and seq_le(segment.sequence, connection.rcv_acked):
        if seq_le(connection.ts_recent, segment.timestamp_value) or now - connection.ts_recent_time >= PAWS_IDLE:
            connection.ts_recent = segment.timestamp_value  # RFC 7323 section 4.3
            connection.ts_recent_time = now
    if connection.state == SYN_RECEIVED:
        early = connection.is_early()
        syn_received_acknowledged(connection, segment, now)
        if not early:
            return True
    if seq_lt(ack, connection.snd_una):
        if segment.sack_blocks:
            _no_progress(connection, segment, now)
        return True  # it was overtaken by another, which told more
    if connection.timer == TIMER_PERSIST:
        connection.retries = 0  # the peer lives, though it takes nothing
    if connection.ecn and segment.flags & ECE:
        congestion_marked(connection, now)
    if seq_lt(connection.snd_una, ack):
        _progress(connection, segment, now)
    elif connection.snd_max != ack or segment.sack_blocks:
        _no_progress(connection, segment, now)
    if seq_le(connection.snd_wl1, segment.sequence):
        connection.snd_wl1 = segment.sequence
        connection.snd_wnd = segment.window << connection.snd_wnd_shift
        if connection.snd_wnd > connection.max_snd_wnd:
            connection.max_snd_wnd = connection.snd_wnd
    return True


def _refuse(connection: Tcb, segment: Segment, now: int) -> None:
    """An unacceptable acknowledgment: tell the peer where we are, or that there is no such connection."""
    counters = connection.engine.counters
    if connection.state == SYN_RECEIVED:
        counters.drop(DROP_UNACCEPTABLE_HANDSHAKE)
        send_reset_for(connection.engine, segment, now)
    else:
        counters.drop(DROP_ACK_OUT_OF_RANGE)
        send_challenge_ack(connection, now)


def our_fin_acknowledged(connection: Tcb, now: int) -> bool:
    """Whether all we ever send is acknowledged, FIN included; if so, take the states on. After ``_progress``."""
    if connection.fin_queued or connection.snd_una != connection.snd_max:
        return False
    if connection.state == FIN_WAIT_1:
        transition(connection, FIN_ACKNOWLEDGED)
        await_fin(connection, now)
    elif connection.state == CLOSING:
        transition(connection, FIN_ACKNOWLEDGED)
        enter_time_wait(connection, now)
    elif connection.state == LAST_ACK:
        transition(connection, FIN_ACKNOWLEDGED)
        if connection.engine.ended is not None:
            connection.engine.ended.add(connection)
        forget(connection)
        tell_closed(connection, "closed")
    return True


def tell_room(connection: Tcb, now: int) -> None:
    """The application saw a window smaller than the buffer: tell it when at least half is free, and more than then."""
    if connection.most_unsent:
        output(connection, now)  # what goes now makes room
    room = send_room(connection)
    if room > connection.window_seen and 2 * room >= send_limit(connection):
        connection.window_seen = MASK32
        tell_window_opened(connection)


def _progress(connection: Tcb, segment: Segment, now: int) -> None:
    """SND.UNA moves: drop what is acknowledged, measure, open the congestion window, and set the timer."""
    ack = segment.acknowledgment
    flight = connection.flight()
    count = (ack - connection.snd_una) & MASK32
    connection.bytes_acknowledged += count
    untroubled = connection.sent is None and connection.recovery_state == OPEN and segment.sack_blocks == 0
    if not untroubled:
        connection.records()  # while it can still be told what is in flight
    if count > connection.queue.length:
        connection.queue.acknowledge(connection.queue.length)
        connection.fin_queued = False  # there is nothing but the FIN behind the queue
    else:
        connection.queue.acknowledge(count)
    connection.snd_una = ack
    if seq_lt(connection.snd_nxt, ack):
        connection.snd_nxt = ack
    retries = connection.retries
    connection.retries = 0
    connection.probes = 0
    disarm(connection)
    if untroubled:
        rtt = now - connection.last_send if retries == 0 else 0
        connection.congestion.acknowledged(count, flight, rtt, now)
    else:
        rtt = take_acknowledgment(connection, segment, count, flight, False, now)
        losses = connection.losses
        # What a loss probe has mended is told by the next acknowledgment (RFC 8985 section 7.4.2): it comes here too.
        if connection.snd_una == connection.snd_nxt and (losses is None or not losses.probing):
            connection.drop_records()
    _measure(connection, segment, rtt, retries, now)
    if connection.snd_una != connection.snd_max and connection.timer != TIMER_REORDER:
        arm_for_flight(connection, now)  # RFC 6298 (5.3)


def _measure(connection: Tcb, segment: Segment, rtt: int, retries: int, now: int) -> None:
    """One sample for each round trip, by the clock; after a retransmission by the echoed timestamp."""
    losses = connection.losses
    if rtt == 0 and losses is not None and (retries or connection.recovery_state == LOSS) and connection.timestamps:
        # Karn's ambiguity does not arise: the echo tells which transmission was answered (RFC 7323 section 4). It must
        # be one since the timeout: if the original has arrived, and its ACK was lost, the wait would be measured.
        if seq_le(losses.timed_out_at, segment.timestamp_echo):
            rtt = ((connection.timestamp(now) - segment.timestamp_echo) & MASK32) * MILLISECOND
    if rtt == 0:
        return
    if seq_lt(connection.rtt_sequence, segment.acknowledgment):
        connection.rtt_sequence = connection.snd_nxt
        connection.rtt.sample(rtt, now)
    else:
        connection.rtt.measured(rtt, now)


def _no_progress(connection: Tcb, segment: Segment, now: int) -> None:
    """SND.UNA stays. Selective acknowledgments may tell of a loss, and so may a duplicate (RFC 5681 section 2)."""
    if connection.timer == TIMER_PERSIST:
        return  # the answer to a probe
    duplicate = (
        segment.acknowledgment == connection.snd_una
        and connection.snd_una != connection.snd_max
        and segment.length == 0
        and not segment.flags & FIN
        and segment.window << connection.snd_wnd_shift == connection.snd_wnd
    )
    if duplicate:
        connection.engine.counters.duplicate_acks_received += 1
    if duplicate or segment.sack_blocks:
        connection.records()
        take_acknowledgment(connection, segment, 0, connection.flight(), duplicate, now)
        if connection.snd_una == connection.snd_nxt:
            connection.drop_records()
        elif connection.timer == TIMER_PROBE:
            arm_for_flight(connection, now)  # there may be no more need to probe
