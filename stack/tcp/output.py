"""Sending: what may go now (RFC 9293 sections 3.8.6, 3.7.4), and which timer then runs.

``output`` is called after whatever may have changed the answer: an acknowledgment, more data, a timer. It sends as
many segments as the peer's window, the congestion window, Nagle's algorithm and the avoidance of silly windows allow;
what is lost goes first. The bytes of a segment are views of the application's own buffers; ``segment_output`` puts
the headers before them.
"""

from ebbrt.constants import FOREVER
from stack.tcp.constants import (
    ACK,
    CWR,
    DELAYED_ACK_TIME,
    ECT_0,
    ESTABLISHED,
    FIN,
    MASK32,
    MOST_PIECES,
    PSH,
    RECOVERY,
    TIMER_HANDSHAKE,
    TIMER_KEEPALIVE,
    TIMER_NONE,
    TIMER_PERSIST,
    TIMER_PROBE,
    TIMER_RETRANSMIT,
)
from stack.tcp.losses import Losses
from stack.tcp.pacing import has_sent, may_send, paced_burst
from stack.tcp.path_mtu import follow_path
from stack.tcp.quick_acks import data_sent
from stack.tcp.segment_output import send_ack, send_segment
from stack.tcp.sent import Sent
from stack.tcp.sequence import seq_lt
from stack.tcp.size_probe import next_probe, probe_sent
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm, arm_delayed_ack, arm_for_flight, disarm


def output(connection: Tcb, now: int) -> None:
    """Send all that may be sent now, then an ACK if one is still due, and set the timers."""
    if connection.state < ESTABLISHED and not connection.is_early():
        return
    path = connection.path
    if path.mtu != connection.path_mtu or now >= path.mtu_expires:
        follow_path(connection, now)
    sent_before = connection.snd_nxt
    if connection.sent is None or connection.sent.lost_bytes == 0 or _resend_lost(connection, now):
        if path.search is None or _probe_path(connection, now):
            while _send_next(connection, now):
                pass
    if connection.ack_now:
        send_ack(connection, now)
    elif connection.ack_delayed and connection.ack_deadline == FOREVER:
        arm_delayed_ack(connection, now + DELAYED_ACK_TIME)
    _set_timer(connection, sent_before, now)


def _probe_path(connection: Tcb, now: int) -> bool:
    """Send a probe of the path's MTU if it is time for one; whether more may be sent, or the probe waits for room.

    While it is sent, the path is as wide as the probe says: it is one full segment, which nobody cuts.
    """
    length = next_probe(connection, now)
    if length == 0 or (connection.pacing and not may_send(connection, now)):
        return True
    window = min(connection.congestion.cwnd, connection.snd_wnd)
    if window < ((connection.snd_nxt - connection.snd_una) & MASK32) + length:
        return False
    path = connection.path
    mss = connection.snd_mss
    mtu = path.mtu
    start = connection.snd_nxt
    connection.records()  # of a probe there must be one
    path.mtu = mtu + length - mss
    connection.snd_mss = length
    transmit(connection, length, now)
    path.mtu = mtu
    connection.snd_mss = mss
    probe_sent(connection, start, now)
    return True


def _send_next(connection: Tcb, now: int) -> bool:
    """Send one segment (or several at once, for the device to cut) if one may go; False when none may."""
    queue = connection.queue
    unsent = queue.length - queue.sent
    if unsent == 0 and not connection.fin_queued:
        return False
    fin = connection.fin_queued and not connection.fin_sent()
    if unsent == 0 and not fin:
        return False
    in_flight = (connection.snd_nxt - connection.snd_una) & MASK32
    if in_flight == 0 and connection.flight() == 0 and now - connection.last_send > connection.rtt.rto:
        if connection.engine.restart_after_idle:
            connection.congestion.restart(now - connection.last_send, now)
    if connection.pacing and not may_send(connection, now):
        return False
    pipe = in_flight if connection.sent is None else connection.pipe()
    room = connection.congestion.cwnd - pipe if connection.congestion.cwnd > pipe else 0
    room = min(room, connection.snd_wnd - in_flight if connection.snd_wnd > in_flight else 0)
    length = min(unsent, room)
    mss = connection.snd_mss
    if length >= mss:
        most = connection.path.largest_segment // mss * mss
        if connection.pacing:
            most = min(most, paced_burst(connection) // mss * mss)
        if length > max(most, mss):
            length = max(most, mss)
        elif length % mss and (length < unsent or (not fin and (connection.cork or _nagle_holds(connection)))):
            length -= length % mss  # the rest waits: for more window, or (Nagle) for an acknowledgment
    elif not _small_may_go(connection, length, unsent, in_flight, fin):
        return False
    transmit(connection, length, now)
    return True


def _small_may_go(connection: Tcb, length: int, unsent: int, in_flight: int, fin: bool) -> bool:
    """Whether to send less than a full segment."""
    if length == 0:
        return unsent == 0 and fin and in_flight < connection.snd_wnd
    if connection.snd_nxt != connection.snd_max:
        return True  # it is sent again
    if length == unsent:  # Nagle, RFC 9293 section 3.7.4
        if connection.cork:
            return fin
        return fin or not _nagle_holds(connection)
    return 2 * length >= connection.max_snd_wnd  # sender's silly window avoidance, section 3.8.6.2.1


def _nagle_holds(connection: Tcb) -> bool:
    """Nagle's algorithm as Minshall changed it, and as Linux has it (section 3.7.4).

    A short segment waits only while another short one is unacknowledged, not for full ones: the end of a long answer
    leaves at once, and there is still no more than one short segment in a round trip.
    """
    return connection.nagle and seq_lt(connection.snd_una, connection.snd_sml)


def transmit(connection: Tcb, length: int, now: int) -> None:
    """Send the next ``length`` bytes behind snd_nxt, with FIN when they are the last; 0: the FIN alone."""
    queue = connection.queue
    chain = None
    if length:
        chain = queue.cut(length, MOST_PIECES)
        length = queue.cut_length
    flags = ACK
    space = length
    if queue.sent == queue.length:
        if length:
            flags |= PSH
        if connection.fin_queued:
            flags |= FIN
            space += 1
    sequence = connection.snd_nxt
    following = (sequence + space) & MASK32
    ecn_bits = 0
    if connection.ecn and length and sequence == connection.snd_max and connection.snd_wnd:
        ecn_bits = ECT_0  # new data, and no probe of a closed window (RFC 3168 sections 6.1.5, 6.1.6)
        if connection.cwr_due:
            connection.cwr_due = False
            flags |= CWR
    if connection.sent is not None or sequence != connection.snd_una or sequence != connection.snd_max:
        connection.records().append(following, now, sequence != connection.snd_max)
    connection.snd_nxt = following
    if seq_lt(connection.snd_max, following):
        connection.snd_max = following
        if connection.nagle and length % connection.snd_mss:
            connection.snd_sml = following
    else:
        connection.engine.counters.segments_retransmitted += 1
        connection.segments_retransmitted += 1
    if connection.recovery_state == RECOVERY and connection.losses is not None:
        connection.losses.prr.sent(length)
    connection.last_send = now
    if length and not connection.pingpong:
        data_sent(connection, now)
    connection.engine.counters.bytes_sent += length
    if connection.pacing:
        has_sent(connection, length, now)
    send_segment(connection, chain, length, flags, sequence, ecn_bits, now)


def _resend_lost(connection: Tcb, now: int) -> bool:
    """Send again what is lost, as far as the congestion window allows; whether there is room for new data as well.

    Of the peer's window only the first byte may lie outside: it was in it when it was sent, and may be a probe now.
    """
    sent = connection.sent
    losses = connection.losses
    assert sent is not None
    assert losses is not None
    if losses.send_new:
        return True
    mss = connection.snd_mss
    most = max(connection.path.largest_segment // mss * mss, mss)
    if connection.pacing:
        most = max(min(most, paced_burst(connection) // mss * mss), mss)
    while sent.lost_bytes:
        if connection.pacing and not may_send(connection, now):
            return False
        offset = (sent.lost_start() - connection.snd_una) & MASK32
        pipe = connection.pipe()
        room = connection.congestion.cwnd - pipe if connection.congestion.cwnd > pipe else 0
        length = sent.lost_length(min(max(room // mss * mss, mss), most))
        if length > room or (offset and offset + length > connection.snd_wnd):
            return False
        _resend(connection, sent, losses, length, now)
    return True


def resend_last(connection: Tcb, now: int) -> None:
    """Send the last segment again, as a probe."""
    sent = connection.records()
    losses = connection.losses
    assert losses is not None
    if sent.count and sent.lost_bytes == 0:
        sent.lose_last(connection.snd_mss)
        _resend(connection, sent, losses, sent.lost_length(connection.snd_mss), now)


def _resend(connection: Tcb, sent: Sent, losses: Losses, length: int, now: int) -> None:
    """Send the first ``length`` bytes that are lost again; the FIN counts as one, behind the queue."""
    queue = connection.queue
    sequence = sent.lost_start()
    offset = (sequence - connection.snd_una) & MASK32
    payload = min(length, queue.length - offset if queue.length > offset else 0)
    chain = None
    flags = ACK
    if payload:
        chain = queue.cut_again(offset, payload, MOST_PIECES)
        if queue.cut_length < payload:
            length = queue.cut_length
        payload = queue.cut_length
    if offset + payload == queue.length:
        if payload:
            flags |= PSH
        if length > payload:
            flags |= FIN
    sent.resend(length, now)
    if losses.may_undo:
        losses.undo_bytes += length
        if not losses.resent:
            losses.resent = True
            losses.resent_at = connection.timestamp(now)
    if connection.recovery_state == RECOVERY:
        losses.prr.sent(length)
    connection.last_send = now
    connection.segments_retransmitted += 1
    connection.engine.counters.segments_retransmitted += 1
    connection.engine.counters.bytes_sent += payload
    if connection.pacing:
        has_sent(connection, payload, now)
    send_segment(connection, chain, payload, flags, sequence, 0, now)


def probe(connection: Tcb, now: int) -> None:
    """Ask a peer with a closed window to repeat it: one byte beyond the window, or the FIN (section 3.8.6.1).

    With a window too small to be worth filling (silly window avoidance), what fits goes after all.
    """
    connection.engine.counters.zero_window_probes += 1
    unsent = connection.queue.length - connection.queue.sent
    if connection.snd_wnd and unsent:
        transmit(connection, min(unsent, connection.snd_wnd, connection.snd_mss), now)
        return
    transmit(connection, min(unsent, 1), now)
    connection.drop_records()
    connection.snd_nxt = connection.snd_una  # a probe is not in flight: it may well be refused
    connection.queue.rewind()


def _set_timer(connection: Tcb, sent_before: int, now: int) -> None:
    """Retransmit while something is in flight; probe while there is something to send that may not go.

    sent_before: snd_nxt before this output; a loss probe waits from the last of the flight on.
    """
    if connection.timer == TIMER_HANDSHAKE:
        return
    if connection.snd_nxt != connection.snd_una:
        if not TIMER_RETRANSMIT <= connection.timer <= TIMER_PROBE or (
            connection.timer == TIMER_PROBE and connection.snd_nxt != sent_before
        ):
            arm_for_flight(connection, now)
    elif connection.queue.length or connection.fin_queued:
        if connection.timer != TIMER_PERSIST and connection.pace_deadline == FOREVER:
            connection.probes = 0
            arm(connection, TIMER_PERSIST, now + connection.rtt.rto)
    elif connection.timer >= TIMER_RETRANSMIT and connection.timer <= TIMER_PERSIST:
        disarm(connection)
    if connection.keepalive and connection.timer == TIMER_NONE:
        connection.probes = 0
        arm(connection, TIMER_KEEPALIVE, connection.last_received + connection.configured.keepalive_idle)
