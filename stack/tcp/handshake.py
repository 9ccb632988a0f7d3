"""Opening: a SYN for a listener (RFC 9293 section 3.10.7.2), an answer to our SYN (3.10.7.3), being established."""

from stack.tcp.congestion import NewReno
from stack.tcp.connection import Connection
from stack.tcp.constants import (
    ACK,
    CLOSED,
    DEFAULT_MSS,
    DROP_BACKLOG_FULL,
    DROP_BAD_ADDRESS,
    DROP_BLIND_RESET,
    DROP_NO_CONNECTION,
    DROP_UNACCEPTABLE_HANDSHAKE,
    LEAST_MSS,
    MASK32,
    RST,
    SYN,
    TIMER_HANDSHAKE,
    TIMESTAMPS_LENGTH,
)
from stack.tcp.delivery import tell_connected
from stack.tcp.engine import Engine, Listener
from stack.tcp.lifecycle import end, passive_open, transition
from stack.tcp.output import send_reset, send_reset_for, send_syn
from stack.tcp.segment import Segment
from stack.tcp.sequence import seq_le, seq_lt
from stack.tcp.state import ACTIVE_OPEN, CLOSE, RECEIVE_SYN, SYN_ACKNOWLEDGED
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm, disarm


def listen_arrives(engine: Engine, listener: Listener, segment: Segment, now: int) -> None:
    """Section 3.10.7.2: a segment for a port on which someone listens, from a peer we know nothing of."""
    if segment.flags & RST:
        engine.counters.drop(DROP_NO_CONNECTION)
        return
    if segment.flags & ACK:
        engine.counters.drop(DROP_NO_CONNECTION)
        send_reset_for(engine, segment, now)
        return
    if not segment.flags & SYN:
        engine.counters.drop(DROP_NO_CONNECTION)
        return
    if segment.source_port == 0:
        engine.counters.drop(DROP_BAD_ADDRESS)
        return
    if listener.pending >= listener.backlog:
        engine.counters.drop(DROP_BACKLOG_FULL)  # the peer sends its SYN again
        return
    connection = Connection(engine, engine.ip.path_back(), segment.source_port, segment.destination_port, now)
    engine.connections.insert(connection)
    engine.counters.passive_opens += 1
    listener.pending += 1
    connection.listener = listener
    passive_open(connection)
    _take_syn(connection, segment, now)
    transition(connection, RECEIVE_SYN)
    send_syn(connection, now)
    arm(connection, TIMER_HANDSHAKE, now + connection.rtt.rto)


def open_actively(connection: Connection, now: int) -> None:
    """The OPEN call (section 3.10.1): send SYN; to no host at all it is in vain (RFC 1122 section 4.2.3.10)."""
    connection.engine.connections.insert(connection)
    connection.engine.counters.active_opens += 1
    transition(connection, ACTIVE_OPEN)
    if not connection.path.leads_to_host():
        end(connection, "unreachable")
        return
    send_syn(connection, now)
    arm(connection, TIMER_HANDSHAKE, now + connection.rtt.rto)


def syn_sent_arrives(connection: Tcb, segment: Segment, now: int) -> bool:
    """Section 3.10.7.3. Whether the connection is now established, and the segment's data is to be looked at."""
    engine = connection.engine
    acknowledged = False
    if segment.flags & ACK:
        if segment.acknowledgment != connection.snd_nxt:
            engine.counters.drop(DROP_UNACCEPTABLE_HANDSHAKE)
            send_reset_for(engine, segment, now)
            return False
        acknowledged = True
    if segment.flags & RST:
        if acknowledged:
            engine.counters.resets_received += 1
            end(connection, "refused")
        else:
            engine.counters.drop(DROP_BLIND_RESET)
        return False
    if not segment.flags & SYN:
        engine.counters.drop(DROP_UNACCEPTABLE_HANDSHAKE)
        return False
    _take_syn(connection, segment, now)
    if acknowledged:
        _take_window(connection, segment, 0)
        establish(connection, segment, now)
        connection.ack_now = True
        return True
    transition(connection, RECEIVE_SYN)  # simultaneous open
    send_syn(connection, now)
    arm(connection, TIMER_HANDSHAKE, now + connection.rtt.rto)
    return False


def syn_received_acknowledged(connection: Tcb, segment: Segment, now: int) -> bool:
    """Section 3.10.7.4, fifth, SYN-RECEIVED: whether the segment acknowledges our SYN, and so completes it."""
    if not (seq_lt(connection.snd_una, segment.acknowledgment) and seq_le(segment.acknowledgment, connection.snd_nxt)):
        connection.engine.counters.drop(DROP_UNACCEPTABLE_HANDSHAKE)
        send_reset_for(connection.engine, segment, now)
        return False
    _take_window(connection, segment, connection.snd_wnd_shift)
    establish(connection, segment, now)
    return True


def establish(connection: Tcb, segment: Segment, now: int) -> None:
    """Our SYN is acknowledged: the connection is open. A passive one gets its handler from ``accept``."""
    if connection.retries == 0:
        connection.rtt.sample(now - connection.last_send)
    connection.snd_una = segment.acknowledgment
    connection.congestion = NewReno(connection.snd_mss, connection.iss, connection.retries > 0)
    connection.retries = 0
    disarm(connection)
    transition(connection, SYN_ACKNOWLEDGED)
    connection.engine.counters.established += 1
    if connection.fin_queued:
        transition(connection, CLOSE)
    listener = connection.listener
    if listener is not None:
        connection.listener = None
        listener.pending -= 1
        try:
            handler = listener.accept(connection)
        except BaseException:
            send_reset(connection, now)  # nobody would ever close it
            end(connection, "aborted")
            raise
        if connection.state == CLOSED:
            return  # ``accept`` has aborted it, and the handler never was one
        connection.handler = handler
        handler.connection = connection
    tell_connected(connection)


def _take_syn(connection: Tcb, segment: Segment, now: int) -> None:
    """What the peer's SYN tells: its initial sequence number and its options."""
    connection.irs = segment.sequence
    connection.rcv_nxt = (segment.sequence + 1) & MASK32
    connection.rcv_adv = connection.rcv_acked = connection.rcv_nxt
    connection.snd_wnd = segment.window  # never scaled in a SYN
    connection.timestamps = connection.timestamps and segment.has_timestamps
    if connection.timestamps:
        connection.ts_recent = segment.timestamp_value
        connection.ts_recent_time = now
    connection.window_scaling = connection.window_scaling and segment.window_scale >= 0
    if connection.window_scaling:
        connection.snd_wnd_shift = segment.window_scale
    else:
        connection.rcv_wnd_shift = 0
    mss = max(min(segment.mss or DEFAULT_MSS, connection.our_mss()), LEAST_MSS)  # before the subtraction: unsigned
    connection.snd_mss = mss - TIMESTAMPS_LENGTH if connection.timestamps else mss


def _take_window(connection: Tcb, segment: Segment, shift: int) -> None:
    """The first window from the segment that completes the handshake."""
    connection.snd_wnd = segment.window << shift
    connection.snd_wl1 = segment.sequence
    connection.snd_wl2 = segment.acknowledgment
    connection.max_snd_wnd = max(connection.max_snd_wnd, connection.snd_wnd)
