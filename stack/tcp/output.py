"""Sending: what may go now (RFC 9293 sections 3.8.6, 3.7.4), how a segment is built, and which timer then runs.

``output`` is called after whatever may have changed the answer: an acknowledgment, more data, a timer. It sends as
many segments as the peer's window, the congestion window, Nagle's algorithm and the avoidance of silly windows allow.
The bytes of a segment are views of the application's own buffers; the headers go into the headroom of the first, or
into a small buffer chained in front of it.
"""

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf, allocate
from stack.tcp.constants import (
    ACK,
    CHALLENGE_INTERVAL,
    CHECKSUM_OFFSET,
    CWR,
    DELAYED_ACK_TIME,
    ECE,
    ECT_0,
    ESTABLISHED,
    FIN,
    HEADER_LENGTH,
    MASK32,
    MEMORY_PER_WINDOW,
    MOST_PIECES,
    OPTIONS_MOST,
    PROTOCOL_TCP,
    PSH,
    RECOVERY,
    RST,
    SACK_BLOCK_LENGTH,
    SACK_HEAD_LENGTH,
    SYN,
    SYN_OPTIONS_MOST,
    SYN_RECEIVED,
    SYN_SENT,
    TIMER_HANDSHAKE,
    TIMER_KEEPALIVE,
    TIMER_NONE,
    TIMER_PERSIST,
    TIMER_PROBE,
    TIMER_RETRANSMIT,
    TIMESTAMPS_LENGTH,
)
from stack.tcp.ecn import ecn_for_syn
from stack.tcp.engine import Engine
from stack.tcp.losses import Losses
from stack.tcp.pacing import has_sent, may_send, paced_burst
from stack.tcp.path_mtu import follow_path
from stack.tcp.quick_acks import data_sent
from stack.tcp.segment import Segment
from stack.tcp.sent import Sent
from stack.tcp.sequence import seq_lt
from stack.tcp.size_probe import next_probe, probe_sent
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm, arm_delayed_ack, arm_for_flight, disarm
from stack.wire.tcp import (
    write_fast_open,
    write_mss,
    write_sack,
    write_sack_block,
    write_sack_permitted,
    write_sack_permitted_and_timestamps,
    write_timestamps,
    write_window_scale,
)


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
    _send(connection, chain, length, flags, sequence, ecn_bits, now)


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
    _send(connection, chain, payload, flags, sequence, 0, now)


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


def send_ack(connection: Tcb, now: int) -> None:
    """Send an ACK without data."""
    _send(connection, None, 0, ACK, connection.snd_nxt, 0, now)


def send_keepalive(connection: Tcb, now: int) -> None:
    """Ask whether the peer is there: what it has had already, and no data, so it must answer (section 3.8.4)."""
    _send(connection, None, 0, ACK, (connection.snd_una - 1) & MASK32, 0, now)


def send_challenge_ack(connection: Tcb, now: int) -> None:
    """Answer an unacceptable segment with where we are, not too often (RFC 5961 section 7; RFC 9293 3.10.7.4)."""
    if now < connection.challenge_after:
        return
    connection.challenge_after = now + CHALLENGE_INTERVAL
    connection.engine.counters.challenge_acks += 1
    send_ack(connection, now)


def send_syn(connection: Tcb, now: int) -> None:
    """Send our SYN, for the first time or again; with ACK in SYN-RECEIVED."""
    engine = connection.engine
    packet = allocate(engine.allocator, HEADER_LENGTH + SYN_OPTIONS_MOST, engine.ip.headroom)
    if connection.snd_max == connection.iss:
        connection.snd_nxt = connection.snd_max = (connection.iss + 1) & MASK32
    if packet is None:
        engine.counters.no_memory += 1
        return
    flags = SYN | ACK if connection.state == SYN_RECEIVED else SYN
    flags |= ecn_for_syn(connection, flags)
    at = packet.start + HEADER_LENGTH
    at += write_mss(packet.memory, at, connection.our_mss())
    if connection.sack and connection.timestamps:
        at += write_sack_permitted_and_timestamps(packet.memory, at, connection.timestamp(now), connection.ts_recent)
    elif connection.sack:
        at += write_sack_permitted(packet.memory, at)
    elif connection.timestamps:
        at += write_timestamps(packet.memory, at, connection.timestamp(now), connection.ts_recent)
    if connection.window_scaling:
        at += write_window_scale(packet.memory, at, connection.rcv_wnd_shift)
    length = 0
    if connection.fast_open is not None:
        if connection.fast_open.cookie is not None:
            at += write_fast_open(packet.memory, at, connection.fast_open.cookie)
        length = _add_syn_data(connection, packet)
    packet.trim_end(packet.length - (at - packet.start))
    window = min(connection.receive_buffer, 0xFFFF)  # never scaled in a SYN
    connection.rcv_adv = (connection.rcv_nxt + window) & MASK32
    connection.rcv_acked = connection.rcv_nxt
    _finish(connection, packet, packet.length, length, flags, connection.iss, window, 0, now)


def _add_syn_data(connection: Tcb, packet: IOBuf) -> int:
    """Chain to our SYN, when it is sent for the first time, what is queued and fits; its length (RFC 7413)."""
    queue = connection.queue
    fast_open = connection.fast_open
    assert fast_open is not None
    if connection.state != SYN_SENT or connection.retries or not fast_open.room or not queue.length:
        return 0
    packet.next = queue.cut(min(fast_open.room, queue.length), MOST_PIECES - 1)
    connection.snd_nxt = connection.snd_max = (connection.iss + 1 + queue.cut_length) & MASK32
    connection.engine.counters.fast_opens_sent += 1
    connection.engine.counters.bytes_sent += queue.cut_length
    return queue.cut_length


def send_reset(connection: Tcb, now: int) -> None:
    """Tell the peer that the connection is no more."""
    connection.engine.counters.resets_sent += 1
    _send(connection, None, 0, RST | ACK, connection.snd_max, 0, now)


def send_reset_for(engine: Engine, segment: Segment, now: int) -> None:
    """Answer a segment that belongs to no connection, so that its sender gives up (section 3.10.7.1)."""
    if segment.flags & RST:
        return
    packet = allocate(engine.allocator, HEADER_LENGTH, engine.ip.headroom)
    if packet is None:
        engine.counters.no_memory += 1
        return
    sequence = 0
    acknowledgment = (segment.sequence + segment.space()) & MASK32
    flags = RST | ACK
    if segment.flags & ACK:
        sequence = segment.acknowledgment
        acknowledgment = 0
        flags = RST
    engine.header.at(packet.memory, packet.start)
    engine.header.write(
        segment.destination_port, segment.source_port, sequence, acknowledgment, HEADER_LENGTH, flags, 0
    )
    engine.counters.resets_sent += 1
    engine.counters.segments_sent += 1
    engine.ip.reply_path().send(packet, HEADER_LENGTH, PROTOCOL_TCP, CHECKSUM_OFFSET, 0, 0, now)


def receive_window(connection: Tcb) -> int:
    """RCV.WND: how much the peer may send now.

    It is what the memory not yet pinned allows, so that a paused application closes it. Its right edge moves by a
    full segment or not at all (receiver's silly window avoidance, section 3.8.6.2.2), and never back, except when
    the memory is used up.
    """
    pinned = connection.held_pinned + connection.reassembly.pinned
    if pinned >= connection.receive_memory:
        return 0
    current = (connection.rcv_adv - connection.rcv_nxt) & MASK32
    wanted = min((connection.receive_memory - pinned) // MEMORY_PER_WINDOW, connection.receive_buffer)
    if wanted >= current + min(connection.receive_buffer // 2, connection.rcv_mss):
        return wanted
    return current


def _send(
    connection: Tcb, chain: IOBuf | None, length: int, flags: int, sequence: int, ecn_bits: int, now: int
) -> None:
    """Put a header before ``length`` bytes of payload and hand the segment to IP."""
    if connection.ecn_echo and not flags & RST:
        flags |= ECE
    engine = connection.engine
    headroom = connection.path.headroom
    header_length = HEADER_LENGTH + (TIMESTAMPS_LENGTH if connection.timestamps else 0)
    sack_blocks = 0
    withheld = False
    if connection.reassembly.to_report and connection.sack and not flags & RST:
        sack_blocks = _sack_blocks(connection, length)
        if sack_blocks:
            header_length += SACK_HEAD_LENGTH + SACK_BLOCK_LENGTH * sack_blocks
        else:
            withheld = connection.ack_now  # an ACK without data follows, which has room for it
    if chain is not None and chain.headroom() >= headroom + header_length:
        chain.retreat(header_length)
        packet = chain
    else:
        header = allocate(engine.allocator, header_length, headroom)
        if header is None:
            engine.counters.no_memory += 1  # lost, as on a wire
            return
        header.next = chain
        packet = header
    if connection.timestamps:
        write_timestamps(packet.memory, packet.start + HEADER_LENGTH, connection.timestamp(now), connection.ts_recent)
    if sack_blocks:
        _write_sack(connection, packet, sack_blocks)
    window = receive_window(connection) >> connection.rcv_wnd_shift
    if window > 0xFFFF:
        window = 0xFFFF
    edge = (connection.rcv_nxt + (window << connection.rcv_wnd_shift)) & MASK32
    if seq_lt(connection.rcv_adv, edge) or window == 0:
        connection.rcv_adv = edge
    connection.rcv_acked = connection.rcv_nxt
    connection.ack_now = withheld
    connection.ack_delayed = False
    connection.ack_deadline = FOREVER
    _finish(connection, packet, header_length, length, flags, sequence, window, ecn_bits, now)


def _sack_blocks(connection: Tcb, length: int) -> int:
    """How many blocks to report beside ``length`` bytes of payload: none on a full segment, which may not grow."""
    space = OPTIONS_MOST - (TIMESTAMPS_LENGTH if connection.timestamps else 0)
    if length:
        space = min(space, connection.snd_mss - length if connection.snd_mss > length else 0)
    if space < SACK_HEAD_LENGTH + SACK_BLOCK_LENGTH:
        return 0
    return min((space - SACK_HEAD_LENGTH) // SACK_BLOCK_LENGTH, connection.reassembly.reports())


def _write_sack(connection: Tcb, packet: IOBuf, blocks: int) -> None:
    """Write the first ``blocks`` of what is to be reported, behind the timestamps (RFC 2018 section 4, RFC 2883)."""
    reassembly = connection.reassembly
    at = packet.start + HEADER_LENGTH + (TIMESTAMPS_LENGTH if connection.timestamps else 0)
    at += write_sack(packet.memory, at, blocks)
    if reassembly.duplicate_start != reassembly.duplicate_end:
        connection.engine.counters.dsacks_sent += 1
    for index in range(blocks):
        at += write_sack_block(packet.memory, at, reassembly.report_start(index), reassembly.report_end(index))
    reassembly.reported()


def _finish(
    connection: Tcb,
    packet: IOBuf,
    header_length: int,
    length: int,
    flags: int,
    sequence: int,
    window: int,
    ecn_bits: int,
    now: int,
) -> None:
    """Write the fixed header into ``packet``, whose options are in place, and send it."""
    engine = connection.engine
    acknowledgment = connection.rcv_nxt if flags & ACK else 0
    engine.header.at(packet.memory, packet.start)
    engine.header.write(
        connection.local_port, connection.remote_port, sequence, acknowledgment, header_length, flags, window
    )
    engine.counters.segments_sent += 1
    connection.segments_sent += 1
    if length:
        connection.data_segments_sent += 1
    connection.path.send(
        packet,
        header_length + length,
        PROTOCOL_TCP,
        CHECKSUM_OFFSET,
        connection.snd_mss if length > connection.snd_mss else 0,
        connection.traffic_class | ecn_bits,
        now,
    )


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
