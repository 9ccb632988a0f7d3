"""Recovering from loss: entering and leaving, and taking it back when nothing had been lost.

A connection is OPEN while all goes well. What RACK (``stack.tcp.rack``), or without SACK the third duplicate
acknowledgment (NewReno, RFC 6582), finds to be lost takes it to RECOVERY, where PRR (``stack.tcp.prr``) meters what is
sent; a retransmission timeout takes it to LOSS, where all that is not known to have arrived is sent again from a
window of one segment on; a mark of congestion (ECN, RFC 3168) to REDUCED. Each lasts until what was in flight at its
beginning is acknowledged. ``output`` sends what ``stack.tcp.sent`` has marked as lost before anything new.

A reduction is *undone* when it turns out that the originals had arrived: by F-RTO (RFC 5682), because bytes that
were never sent again are acknowledged; by Eifel (RFC 3522), because the acknowledgment echoes a timestamp from before
the retransmission; or because D-SACKs (RFC 3708) say that all that was sent again came twice.

``acknowledgment_arrives`` comes here only when there are records of what is in flight, or something is wrong: never
for a request and its reply.
"""

from ebbrt.constants import FOREVER
from stack.tcp.constants import (
    DUPLICATE_THRESHOLD,
    HALF32,
    LOSS,
    MASK32,
    MILLISECOND,
    OPEN,
    RECOVERY,
    REDUCED,
)
from stack.tcp.losses import Losses
from stack.tcp.rack import probe_answered, rack_delivered, rack_detect, rack_duplicate, rack_recovered
from stack.tcp.segment import Segment
from stack.tcp.sent import Sent
from stack.tcp.sequence import seq_le, seq_lt
from stack.tcp.size_probe import only_probe_lost, probe_acknowledged, probe_timed_out
from stack.tcp.tcb import Tcb


def take_acknowledgment(connection: Tcb, segment: Segment, count: int, flight: int, duplicate: bool, now: int) -> int:
    """An acknowledgment of ``count`` new bytes, of ``flight`` that were outstanding: the round trip it shows, or 0.

    duplicate: it is one as RFC 5681 section 2 defines it. SND.UNA and the send queue have moved already.
    """
    sent = connection.sent
    assert sent is not None
    outstanding = flight - min(sent.sacked_bytes, flight)
    sent.begin(now, connection.rtt.least, _answered(connection, segment, now))
    if count:
        sent.acknowledge(connection.snd_una)
    dsack = connection.sack and segment.sack_blocks != 0 and _take_blocks(connection, segment, sent)
    rtt = 0 if sent.ambiguous else sent.rtt
    losses = connection.losses
    if losses is None:
        if count and sent.sacked_bytes == 0 and not dsack:
            connection.congestion.acknowledged(count, flight, rtt, now)
            return rtt
        losses = connection.trouble()
    if losses.size_probe and seq_le(losses.size_probe_end, connection.snd_una):
        probe_acknowledged(connection, losses, now)
    lost = sent.lost_bytes
    if connection.sack:
        _by_time(connection, losses, sent, segment, flight, duplicate and segment.sack_blocks == 0, dsack, now)
    else:
        _by_number(connection, losses, sent, count, flight, duplicate)
    if losses.may_undo and losses.resent:
        _take_back(connection, losses, sent, segment, count, now)
    if connection.recovery_state == LOSS and losses.frto:
        _doubt_timeout(connection, losses, sent, count, duplicate, now)
    if connection.recovery_state != OPEN and seq_le(losses.recover, connection.snd_una):
        _leave(connection, losses, now)
    elif count and connection.recovery_state != RECOVERY and connection.recovery_state != REDUCED:
        if connection.recovery_state == LOSS:
            count = min(count, connection.snd_mss)  # much of it had arrived before: RFC 3465 section 2.3, L = 1
        connection.congestion.acknowledged(count, flight, rtt, now)
    _meter(connection, losses, sent, flight, outstanding, count != 0 and sent.lost_bytes <= lost, now)
    return rtt


def retransmission_timeout(connection: Tcb, now: int) -> None:
    """The retransmission timer ran out: RFC 6298 section 5, RFC 5681 section 3.1, RFC 5682 section 3.1 step 1."""
    losses = connection.trouble()
    sent = connection.records()
    state = connection.recovery_state
    first = state in (OPEN, REDUCED) or seq_le(losses.recover, connection.snd_una)
    if losses.size_probe:
        probe_timed_out(connection, losses, now)
    connection.congestion.timeout(connection.flight(), first, now)
    losses.frto = first or (state == LOSS and connection.retries == 1)
    losses.timed_out_at = connection.timestamp(now)
    losses.send_new = False
    losses.probing = False
    losses.duplicate_acks = 0
    if not connection.sack:
        sent.no_duplicates(sent.sacked_bytes)
    sent.lose_all()
    if first:
        _remember(connection, losses)
    connection.cwr_due = connection.ecn
    losses.recover = connection.snd_max
    connection.recovery_state = LOSS


def reordering_timeout(connection: Tcb, now: int) -> None:
    """The reordering timer ran out: what is still missing is lost (RFC 8985 section 6.3)."""
    losses = connection.losses
    sent = connection.sent
    if losses is None or sent is None:
        return
    flight = connection.flight()
    sent.begin(now, connection.rtt.least, FOREVER)
    rack_detect(connection, losses, now)
    _meter(connection, losses, sent, flight, flight - min(sent.sacked_bytes, flight), False, now)


def congestion_marked(connection: Tcb, now: int) -> None:
    """The peer echoes a mark: reduce as for a loss, once for each window (RFC 3168 section 6.1.2)."""
    if connection.snd_una == connection.snd_max:
        return  # of what was in flight nothing is left
    losses = connection.trouble()
    if connection.recovery_state == OPEN:
        connection.engine.counters.ecn_reductions += 1
        _reduce_at_once(connection, losses, connection.flight(), now)


def _answered(connection: Tcb, segment: Segment, now: int) -> int:
    """The latest time at which the segment that is being answered can have been sent; FOREVER: it does not say."""
    if not connection.timestamps or segment.timestamp_echo == 0:
        return FOREVER
    age = (connection.timestamp(now) - segment.timestamp_echo) & MASK32
    if age >= HALF32:
        return FOREVER
    return (now // MILLISECOND - age + 1) * MILLISECOND - 1


def _take_blocks(connection: Tcb, segment: Segment, sent: Sent) -> bool:
    """Mark what the blocks say; whether the first is a D-SACK. One that cannot be true is ignored.

    A block reports bytes that are in flight: none before SEG.ACK, none that were not sent. Only the first, and only to
    say that they came twice, may report bytes that are acknowledged, or that the second reports (RFC 2883 section 4),
    and no older ones than a window.
    """
    blocks = connection.engine.options.sack
    counters = connection.engine.counters
    una = connection.snd_una
    dsack = False
    for index in range(segment.sack_blocks):
        left = blocks[2 * index]
        right = blocks[2 * index + 1]
        if not seq_lt(left, right) or seq_lt(connection.snd_max, right):
            counters.sack_blocks_ignored += 1
            continue
        if index == 0 and _is_dsack(connection, segment, left, right):
            dsack = True
            counters.dsacks_received += 1
            _came_twice(connection, left, right)
        elif seq_lt(left, una) or seq_lt(sent.end, right) or sent.count == 0:
            counters.sack_blocks_ignored += 1
        else:
            counters.sack_blocks_received += 1
            sent.sack(left, right, connection.snd_mss)
    return dsack


def _is_dsack(connection: Tcb, segment: Segment, left: int, right: int) -> bool:
    if seq_lt(left, segment.acknowledgment):
        oldest = (segment.acknowledgment - connection.max_snd_wnd) & MASK32
        return seq_le(right, segment.acknowledgment) and seq_le(oldest, left)
    if segment.sack_blocks < 2:
        return False
    blocks = connection.engine.options.sack
    return seq_le(blocks[2], left) and seq_le(right, blocks[3])


def _came_twice(connection: Tcb, left: int, right: int) -> None:
    """[left, right) arrived twice: of what was sent again since the reduction, that much was in vain."""
    losses = connection.losses
    if losses is None or not losses.may_undo or seq_lt(left, losses.undo_from):
        return
    losses.undo_bytes -= min((right - left) & MASK32, losses.undo_bytes)


def _by_time(
    connection: Tcb, losses: Losses, sent: Sent, segment: Segment, flight: int, nothing: bool, dsack: bool, now: int
) -> None:
    """With SACK: what RACK concludes, and what the answer to a probe says; ``nothing``: it says nothing new."""
    rack_delivered(losses, sent)
    if dsack:
        rack_duplicate(connection, losses)
    if losses.probing:
        right = connection.engine.options.sack[1]
        if probe_answered(connection, losses, segment.acknowledgment, nothing, right, dsack):
            connection.engine.counters.probe_recoveries += 1
            if connection.recovery_state == OPEN:
                _reduce_at_once(connection, losses, flight, now)
    rack_detect(connection, losses, now)


def _by_number(connection: Tcb, losses: Losses, sent: Sent, count: int, flight: int, duplicate: bool) -> None:
    """Without SACK: three duplicate acknowledgments, or a partial one in recovery (RFC 6582 section 3.2).

    A duplicate stands for a segment that has left the network, so the first two let a new one each be sent: limited
    transmit (RFC 3042).
    """
    mss = connection.snd_mss
    state = connection.recovery_state
    if state == LOSS:
        return
    if count == 0:
        if duplicate:
            losses.duplicate_acks += 1
            sent.duplicate(mss, flight)
            if losses.duplicate_acks == DUPLICATE_THRESHOLD and state != RECOVERY:
                if seq_lt(losses.recover, connection.snd_una):  # else these may be of what a timeout sent again
                    sent.lose_first(mss)
    elif state == RECOVERY and seq_lt(connection.snd_una, losses.recover):
        left = connection.flight()
        most = left - mss if left > mss else 0  # the first of the rest is missing: duplicates cannot stand for it
        gone = count - min(count, mss)
        sent.no_duplicates(max(gone, sent.sacked_bytes - most if sent.sacked_bytes > most else 0))
        sent.lose_first(mss)
    else:
        sent.no_duplicates(flight)
        losses.duplicate_acks = 0
        if seq_lt(losses.recover, connection.snd_una):
            losses.recover = (connection.snd_una - 1) & MASK32  # so that it is never half the space behind


def _take_back(connection: Tcb, losses: Losses, sent: Sent, segment: Segment, count: int, now: int) -> None:
    """Undo the reduction, if all that was sent again came twice, or if the acknowledgment answers the original."""
    counters = connection.engine.counters
    if losses.undo_bytes == 0:
        counters.undone_by_dsack += 1
    elif (
        count
        and connection.recovery_state != OPEN
        and connection.timestamps
        and segment.timestamp_echo
        and seq_lt(segment.timestamp_echo, losses.resent_at)
    ):
        counters.undone_by_timestamps += 1
    else:
        return
    _undo(connection, losses, sent, now)


def _doubt_timeout(connection: Tcb, losses: Losses, sent: Sent, count: int, duplicate: bool, now: int) -> None:
    """F-RTO: the acknowledgments after a timeout tell whether it was spurious (RFC 5682 sections 2.1 and 3.1).

    It was if they acknowledge bytes that were sent only once. The first one, if it acknowledges what was sent again,
    lets new data be sent (step 2b), so that the next can tell; a duplicate ends the doubt.
    """
    losses.send_new = False
    if sent.original and seq_le(sent.original_end, losses.recover):
        connection.engine.counters.undone_by_frto += 1
        _undo(connection, losses, sent, now)
    elif count and losses.recover == connection.snd_max and connection.queue.length > connection.queue.sent:
        losses.send_new = True
    elif count or duplicate or sent.delivered:
        losses.frto = False


def _undo(connection: Tcb, losses: Losses, sent: Sent, now: int) -> None:
    """Nothing was lost: back to the windows before."""
    sent.keep_all()
    connection.congestion.undo(now)
    connection.recovery_state = OPEN
    losses.may_undo = False
    losses.frto = False
    losses.send_new = False
    losses.duplicate_acks = 0


def _remember(connection: Tcb, losses: Losses) -> None:
    """A reduction begins that may turn out to be a mistake."""
    losses.may_undo = True
    losses.undo_from = connection.snd_una
    losses.undo_bytes = 0
    losses.resent = False


def _enter(connection: Tcb, losses: Losses, flight: int, outstanding: int, now: int) -> None:
    """Something is lost: reduce, unless that has been done in this window already, and let PRR meter."""
    connection.engine.counters.fast_retransmits += 1
    if connection.recovery_state == OPEN:
        connection.congestion.reduce(flight, now)
        _remember(connection, losses)
    connection.cwr_due = connection.ecn
    losses.recover = connection.snd_max
    losses.probing = False
    losses.size_probe = 0  # if it was lost as well, that says nothing of its length (RFC 4821 section 7.6.4)
    losses.prr.start(outstanding, connection.congestion.ssthresh)
    connection.recovery_state = RECOVERY


def _leave(connection: Tcb, losses: Losses, now: int) -> None:
    """What was in flight at the beginning has arrived."""
    if connection.recovery_state == RECOVERY:
        connection.congestion.leave_recovery(now)
    if connection.recovery_state != REDUCED:
        rack_recovered(losses)
    connection.recovery_state = OPEN
    losses.frto = False
    losses.send_new = False
    losses.duplicate_acks = 0


def _meter(connection: Tcb, losses: Losses, sent: Sent, flight: int, outstanding: int, safe: bool, now: int) -> None:
    """Enter recovery if something is lost; in it, the window is what PRR says."""
    state = connection.recovery_state
    entering = sent.lost_bytes != 0 and state in (OPEN, REDUCED)
    if entering and losses.size_probe:
        entering = not only_probe_lost(connection, losses, sent, now)
    if entering:
        _enter(connection, losses, flight, outstanding, now)
    if entering or (state == RECOVERY and sent.delivered):
        window = losses.prr.window(sent.delivered, connection.pipe(), connection.snd_mss, safe and not entering)
        connection.congestion.cwnd = window


def _reduce_at_once(connection: Tcb, losses: Losses, flight: int, now: int) -> None:
    """A loss that is mended already, or a mark: nothing is to be sent again."""
    connection.congestion.reduce(flight, now)
    connection.congestion.leave_recovery(now)
    connection.cwr_due = connection.ecn
    losses.recover = connection.snd_max
    losses.probing = False
    losses.may_undo = False
    connection.recovery_state = REDUCED
