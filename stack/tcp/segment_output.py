"""What a segment says and how it is built (RFC 9293 section 3.1): with data, or for its flags alone.

When data goes, and how much of it, ``output`` decides. The headers go into the headroom of the data's first buffer,
or into a small buffer chained in front of it. Every segment but a SYN says what is due by then: the acknowledgment,
the window, SACK blocks, the echo of a congestion mark; so ``send_segment`` clears the ACK that was to be sent. The
opposite, a received segment, is ``segment``.
"""

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf, allocate
from stack.tcp.constants import (
    ACK,
    CHECKSUM_OFFSET,
    ECE,
    HEADER_LENGTH,
    MASK32,
    MEMORY_PER_WINDOW,
    MOST_PIECES,
    OPTIONS_MOST,
    PROTOCOL_TCP,
    RST,
    SACK_BLOCK_LENGTH,
    SACK_HEAD_LENGTH,
    SYN,
    SYN_OPTIONS_MOST,
    SYN_RECEIVED,
    SYN_SENT,
    TIMESTAMPS_LENGTH,
)
from stack.tcp.ecn import ecn_for_syn
from stack.tcp.engine import Engine
from stack.tcp.segment import Segment
from stack.tcp.sequence import seq_lt
from stack.tcp.tcb import Tcb
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


def send_ack(connection: Tcb, now: int) -> None:
    """Send an ACK without data."""
    send_segment(connection, None, 0, ACK, connection.snd_nxt, 0, now)


def send_keepalive(connection: Tcb, now: int) -> None:
    """Ask whether the peer is there: what it has had already, and no data, so it must answer (section 3.8.4)."""
    send_segment(connection, None, 0, ACK, (connection.snd_una - 1) & MASK32, 0, now)


def send_challenge_ack(connection: Tcb, now: int) -> None:
    """Answer an unacceptable segment with where we are, not too often (RFC 5961 section 7; RFC 9293 3.10.7.4)."""
    if now < connection.challenge_after:
        return
    connection.challenge_after = now + connection.engine.challenge_interval
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
    send_segment(connection, None, 0, RST | ACK, connection.snd_max, 0, now)


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


def send_segment(
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
