"""SEGMENT ARRIVES: RFC 9293 section 3.10.7, one function for each of its steps.

``segment_arrives`` checks the segment, finds its connection and chooses by state. For a connection that is open the
steps are: the sequence number (with PAWS, RFC 7323 section 5), RST, SYN, ACK, the text, FIN. A step that finds a
reason to stop counts it. What is due afterwards (replies, acknowledgments) leaves in one ``output`` at the end.
Nothing a peer sends raises; an exception that an application raises in an upcall goes through to the caller.
"""

from ebbrt.iobuf import IOBuf
from stack.tcp.acknowledgment import acceptable, acknowledgment_arrives, our_fin_acknowledged, tell_room
from stack.tcp.autotune import window_arrived
from stack.tcp.constants import (
    ACK,
    CLOSED,
    DROP_AFTER_END,
    DROP_AFTER_FIN,
    DROP_BAD_ADDRESS,
    DROP_BLIND_RESET,
    DROP_DUPLICATE,
    DROP_NO_ACK,
    DROP_NO_CONNECTION,
    DROP_NO_TIMESTAMP,
    DROP_OLD_TIMESTAMP,
    DROP_OUT_OF_WINDOW,
    DROP_REASSEMBLY_FULL,
    DROP_RECEIVE_MEMORY,
    DROP_UNEXPECTED_SYN,
    ESTABLISHED,
    FIN,
    FIN_WAIT_1,
    FIN_WAIT_2,
    MASK32,
    PAWS_IDLE,
    PROTOCOL_TCP,
    RST,
    SYN,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    TIME_WAIT_TIME,
    TIMER_TIME_WAIT,
)
from stack.tcp.delivery import deliver, tell_peer_closed
from stack.tcp.ecn import marked_arrives
from stack.tcp.engine import Engine
from stack.tcp.handshake import brings_cookie, early_reset, listen_arrives, syn_sent_arrives
from stack.tcp.lifecycle import end, enter_time_wait, transition
from stack.tcp.output import output
from stack.tcp.quick_acks import data_arrives, peer_waits
from stack.tcp.reassembly import last_piece
from stack.tcp.segment import Segment
from stack.tcp.segment_output import send_challenge_ack, send_reset_for, send_syn
from stack.tcp.sequence import seq_le, seq_lt
from stack.tcp.state import RECEIVE_FIN
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm, await_fin
from stack.transport import Received


def segment_arrives(
    engine: Engine,
    segment: Segment,
    packet: IOBuf,
    length: int,
    received: Received,
    now: int,
) -> None:
    """Take one packet of TCP; ``segment`` is the engine's scratch."""
    engine.counters.segments_received += 1
    wrong = segment.read(engine, packet, length, received)
    if wrong >= 0:
        engine.counters.drop(wrong)
        return
    connection = engine.connections.find(
        received.destination_high,
        received.destination_low,
        segment.destination_port,
        received.source_high,
        received.source_low,
        segment.source_port,
    )
    if connection is None:
        if engine.ip.steering is None or not _hand_over(engine, segment, packet, now):
            _no_connection(engine, segment, now)
        segment.payload = None
        return
    assert isinstance(connection, Tcb)
    if connection.state == SYN_SENT:
        if syn_sent_arrives(connection, segment, now) and connection.state != CLOSED:
            connection.last_received = now
            segment.sequence = (segment.sequence + 1) & MASK32  # behind the SYN
            _text_and_fin(connection, segment, now)
            output(connection, now)
    else:
        _open_arrives(connection, segment, now)
    segment.payload = None


def _hand_over(engine: Engine, segment: Segment, packet: IOBuf, now: int) -> bool:
    """On a node of several cores: whether the segment is no business of this core (``stack.steering``).

    It may be another's; or it came late, after the end of its connection on this core or on one before (``ended``).
    """
    if segment.destination_port in engine.listeners:
        control = segment.flags & (SYN | ACK | RST)
        if control == SYN or (control == ACK and brings_cookie(engine, segment, now)):
            return False
    steering = engine.ip.steering
    assert steering is not None
    late = steering.was_late(packet) or engine.ended.knows(segment, engine.ip.received)  # type: ignore[union-attr]
    if steering.pass_on(PROTOCOL_TCP, segment.destination_port, packet, late):
        engine.counters.handed_over += 1
    elif late:
        engine.counters.drop(DROP_AFTER_END)
    else:
        return False
    segment.payload = None
    return True


def _no_connection(engine: Engine, segment: Segment, now: int) -> None:
    """Sections 3.10.7.1 and 3.10.7.2: a listener's business, or nobody's."""
    if segment.source_port == 0:
        engine.counters.drop(DROP_BAD_ADDRESS)  # nobody can be answered there (RFC 6335 section 6)
        return
    listener = engine.listeners.get(segment.destination_port)
    if listener is not None:
        connection = listen_arrives(engine, listener, segment, now)
        if connection is not None:
            _open_arrives(connection, segment, now)
        return
    engine.counters.drop(DROP_NO_CONNECTION)
    send_reset_for(engine, segment, now)


def _open_arrives(connection: Tcb, segment: Segment, now: int) -> None:
    """Section 3.10.7.4: every other state."""
    if connection.state == TIME_WAIT and _reopens(connection, segment):
        engine = connection.engine
        end(connection, "closed")
        _no_connection(engine, segment, now)
        return
    if not _check_sequence(connection, segment, now):
        return
    if segment.flags & RST:
        _reset_arrives(connection, segment, now)
        return
    if segment.flags & SYN:
        connection.engine.counters.drop(DROP_UNEXPECTED_SYN)
        send_challenge_ack(connection, now)  # RFC 5961 section 4
        return
    if not segment.flags & ACK:
        connection.engine.counters.drop(DROP_NO_ACK)
        return
    if not acknowledgment_arrives(connection, segment, now):
        return
    if connection.state != ESTABLISHED and our_fin_acknowledged(connection, now) and connection.state == CLOSED:
        return
    _text_and_fin(connection, segment, now)
    if connection.window_seen < connection.send_buffer:
        tell_room(connection, now)
    output(connection, now)


def _reopens(connection: Tcb, segment: Segment) -> bool:
    """Whether a SYN may open a new incarnation of a connection in TIME-WAIT (section 3.6.1, RFC 6191).

    Its sequence number, or better its timestamp, must be beyond all that the old one had.
    """
    if segment.flags & (SYN | ACK | RST | FIN) != SYN:
        return False
    if connection.timestamps and segment.has_timestamps and segment.timestamp_value != connection.ts_recent:
        return seq_lt(connection.ts_recent, segment.timestamp_value)
    return seq_lt(connection.rcv_nxt, segment.sequence)


def _check_sequence(connection: Tcb, segment: Segment, now: int) -> bool:
    """First: the segment must be one of this connection's (PAWS) and touch the receive window."""
    if connection.timestamps and not segment.flags & RST:
        if not segment.has_timestamps:
            connection.engine.counters.drop(DROP_NO_TIMESTAMP)  # RFC 7323 section 3.2
            return False
        if seq_lt(segment.timestamp_value, connection.ts_recent) and now - connection.ts_recent_time < PAWS_IDLE:
            connection.engine.counters.drop(DROP_OLD_TIMESTAMP)
            _answer_unacceptable(connection, segment, now)
            return False
    window = (connection.rcv_adv - connection.rcv_nxt) & MASK32
    offset = (segment.sequence - connection.rcv_nxt) & MASK32
    space = segment.space()
    # Acceptable: it begins in the window, or ends in it, or it is where we are (with no window: but for its text).
    if not (offset < window or offset == 0 or (space > 0 and (offset + space - 1) & MASK32 < window)):
        _not_acceptable(connection, segment, now)
        return False
    return True


def _not_acceptable(connection: Tcb, segment: Segment, now: int) -> None:
    """A segment outside the window: an old duplicate, a probe of a window that is closed, or somebody's guess.

    It is answered whatever it acknowledges, but leaves a trace only if that can be true.
    """
    counters = connection.engine.counters
    if segment.flags & RST:
        counters.drop(DROP_BLIND_RESET)
        return
    if connection.state == SYN_RECEIVED and segment.flags & SYN and segment.sequence == connection.irs:
        if segment.flags & ACK:
            _crossed(connection, segment, now)
        else:
            counters.drop(DROP_DUPLICATE)
            send_syn(connection, now)  # the peer did not hear our answer
        return
    believed = segment.flags & ACK != 0 and acceptable(connection, segment.acknowledgment)
    if segment.space() and seq_lt(segment.sequence, connection.rcv_nxt):
        counters.drop(DROP_DUPLICATE)
        if segment.length and believed and connection.state > SYN_RECEIVED:
            old = (connection.rcv_nxt - segment.sequence) & MASK32  # what lies behind was not kept
            end = (segment.sequence + min(old, segment.length)) & MASK32
            connection.own_reassembly().duplicate(segment.sequence, end)
            peer_waits(connection)
    else:
        counters.drop(DROP_OUT_OF_WINDOW)
    if believed and connection.state == TIME_WAIT and _is_last_fin(connection, segment):
        arm(connection, TIMER_TIME_WAIT, now + TIME_WAIT_TIME)  # the peer missed our last ACK
    _answer_unacceptable(connection, segment, now)


def _is_last_fin(connection: Tcb, segment: Segment) -> bool:
    """Whether it is the peer's FIN once more: nothing of the peer's lies behind it."""
    return segment.flags & FIN != 0 and (segment.sequence + segment.space()) & MASK32 == connection.rcv_nxt


def _crossed(connection: Tcb, segment: Segment, now: int) -> None:
    """SYNs have crossed, and the peer's SYN-ACK acknowledges ours: the connection is open (section 3.5, Figure 7).

    The answer is an ACK and not our SYN-ACK once more: both sides would send theirs for ever.
    """
    if acknowledgment_arrives(connection, segment, now):
        connection.ack_now = True
        output(connection, now)


def _answer_unacceptable(connection: Tcb, segment: Segment, now: int) -> None:
    """Tell the peer where we are: at once when it sent something that needs an answer, else not too often.

    The limit on answers to empty segments keeps two ends that disagree from acknowledging each other for ever. A SYN
    is only challenged, wherever it lies (RFC 5961 section 4.2).
    """
    if segment.space() and not segment.flags & SYN and connection.state > SYN_RECEIVED:
        connection.ack_now = True
        output(connection, now)
    else:
        send_challenge_ack(connection, now)


def _reset_arrives(connection: Tcb, segment: Segment, now: int) -> None:
    """Second: RST counts only with exactly the next sequence number; else the peer is asked again (RFC 5961)."""
    counters = connection.engine.counters
    if segment.sequence != connection.rcv_nxt:
        counters.drop(DROP_BLIND_RESET)
        send_challenge_ack(connection, now)
        return
    if connection.state == TIME_WAIT:
        counters.drop(DROP_BLIND_RESET)  # a reset must not cut TIME-WAIT short (RFC 1337)
        return
    counters.resets_received += 1
    if connection.engine.ended is not None:
        connection.engine.ended.add(connection)
    if connection.is_early():
        early_reset(connection, now)
        end(connection, "reset")
    else:
        end(connection, "refused" if connection.state == SYN_RECEIVED else "reset")


def _text_and_fin(connection: Tcb, segment: Segment, now: int) -> None:
    """Seventh and eighth."""
    if segment.length == 0 and not segment.flags & FIN:
        return
    if connection.state != ESTABLISHED and connection.state != FIN_WAIT_1 and connection.state != FIN_WAIT_2:
        if segment.length:
            connection.engine.counters.drop(DROP_AFTER_FIN)
        connection.ack_now = True
        return
    rcv_nxt = connection.rcv_nxt
    fin = segment.flags & FIN != 0
    fin_sequence = (segment.sequence + segment.length) & MASK32
    if fin and seq_lt(connection.rcv_nxt, fin_sequence) and not _in_window(connection, fin_sequence):
        fin = False
    if segment.length:
        connection.data_segments_received += 1
        _text(connection, segment, now)
    if connection.state == CLOSED:
        return
    if connection.state == FIN_WAIT_2 and connection.rcv_nxt != rcv_nxt:
        await_fin(connection, now)  # only what is new is a sign that the peer still has something to say
    if fin and connection.rcv_nxt != fin_sequence:
        connection.fin_out_of_order = True
        connection.fin_sequence = fin_sequence
        connection.ack_now = True
    elif fin or (connection.fin_out_of_order and connection.rcv_nxt == connection.fin_sequence):
        _fin(connection, now)


def _in_window(connection: Tcb, sequence: int) -> bool:
    return seq_lt(sequence, connection.rcv_adv)


def _text(connection: Tcb, segment: Segment, now: int) -> None:
    """Seventh: cut the payload to the window; deliver it when it is next, else keep it for later."""
    chain = segment.payload
    segment.payload = None
    assert chain is not None
    sequence = segment.sequence
    length = segment.length
    counters = connection.engine.counters
    if connection.ecn:
        marked_arrives(connection, segment)
    if seq_lt(sequence, connection.rcv_nxt):
        old = (connection.rcv_nxt - sequence) & MASK32
        connection.ack_now = True
        connection.own_reassembly().duplicate(sequence, (sequence + min(old, length)) & MASK32)
        if old >= length:
            counters.drop(DROP_DUPLICATE)
            return
        rest = chain.advance_chain(old)
        assert rest is not None
        chain = rest
        sequence = connection.rcv_nxt
        length -= old
    window = (connection.rcv_adv - sequence) & MASK32
    if length > window:
        connection.ack_now = True
        if window == 0:
            counters.drop(DROP_OUT_OF_WINDOW)
            peer_waits(connection)
            return
        chain.truncate_chain(window)
        length = window
    if length > connection.rcv_mss:
        connection.rcv_mss = min(length, connection.our_mss())
    if sequence == connection.rcv_nxt:
        if seq_le(connection.tune_at, sequence):
            window_arrived(connection, sequence, segment.timestamp_echo, now)
        _in_order(connection, chain, length, now)
    else:
        counters.out_of_order_segments += 1
        connection.ack_now = True  # a duplicate ACK tells the peer of the hole (RFC 5681 section 4.2)
        pinned = connection.held_pinned + connection.reassembly.pinned + chain.pinned()
        # A quarter stays free: else these would close the window for the very segment that fills the hole.
        if pinned > connection.receive_memory // 4 * 3 or not connection.own_reassembly().insert(
            sequence, length, chain
        ):
            counters.drop(DROP_REASSEMBLY_FULL)


def _in_order(connection: Tcb, chain: IOBuf, length: int, now: int) -> None:
    """The next bytes: deliver them, with all that they join up with."""
    if connection.held is not None and connection.held_pinned + chain.pinned() > connection.receive_memory:
        connection.engine.counters.drop(DROP_RECEIVE_MEMORY)
        connection.ack_now = True
        return
    if not connection.pingpong:
        data_arrives(connection, now)
    connection.last_data_received = now
    connection.rcv_nxt = (connection.rcv_nxt + length) & MASK32
    connection.bytes_received += length
    connection.engine.counters.bytes_received += length
    if not connection.reassembly.is_empty():
        connection.ack_now = True
        _join_reassembled(connection, chain)
    # RFC 9293 asks for an ACK of every second full segment at least; Linux senders probe for a loss (RFC 8985) after
    # two round trips with two segments unacknowledged, full or not, so every second segment it is.
    unacknowledged = (connection.rcv_nxt - connection.rcv_acked) & MASK32
    if connection.ack_delayed or not connection.delayed_ack or unacknowledged >= 2 * connection.rcv_mss:
        connection.ack_now = True
    connection.ack_delayed = True
    deliver(connection, chain)


def _join_reassembled(connection: Tcb, chain: IOBuf) -> None:
    """Append to ``chain``, which ends at rcv_nxt, what had arrived before its time."""
    last = last_piece(chain)
    found = connection.reassembly.take(connection.rcv_nxt)
    while found is not None:
        last.next = found.chain
        last = found.last
        length = (found.end - connection.rcv_nxt) & MASK32
        connection.bytes_received += length
        connection.engine.counters.bytes_received += length
        connection.rcv_nxt = found.end
        found = connection.reassembly.take(connection.rcv_nxt)


def _fin(connection: Tcb, now: int) -> None:
    """Eighth: the peer has sent all it will."""
    connection.rcv_nxt = (connection.rcv_nxt + 1) & MASK32
    connection.ack_now = True
    connection.fin_out_of_order = False
    connection.reassembly.clear()
    transition(connection, RECEIVE_FIN)
    tell_peer_closed(connection)
    if connection.state == TIME_WAIT:
        enter_time_wait(connection, now)
