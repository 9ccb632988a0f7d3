"""Opening: a SYN for a listener (RFC 9293 section 3.10.7.2), an answer to our SYN (3.10.7.3), being established.

A listener whose backlog is full goes on answering SYNs, with cookies (``stack.tcp.syn_cookies``).
"""

from ebbrt.iobuf import allocate
from stack.tcp.autotune import begin as begin_tuning
from stack.tcp.connection import Connection
from stack.tcp.constants import (
    ACK,
    CHECKSUM_OFFSET,
    CLOSED,
    DEFAULT_MSS,
    DROP_BAD_COOKIE,
    DROP_BLIND_RESET,
    DROP_NO_CONNECTION,
    DROP_UNACCEPTABLE_HANDSHAKE,
    FAST_OPEN_SERVER,
    FAST_OPEN_TRUSTING,
    FIN,
    HEADER_LENGTH,
    LEAST_MSS,
    MASK32,
    MILLISECOND,
    PROTOCOL_TCP,
    RST,
    SYN,
    SYN_OPTIONS_MOST,
    TIMER_HANDSHAKE,
)
from stack.tcp.delivery import deliver, tell_connected
from stack.tcp.ecn import ecn_of_syn
from stack.tcp.engine import Engine, Listener
from stack.tcp.fast_open import FastOpen, FastOpenQueue, server_cookie
from stack.tcp.isn import flow_bytes, initial_numbers
from stack.tcp.lifecycle import end, passive_open, transition
from stack.tcp.output import output
from stack.tcp.path_mtu import adapt_to_path
from stack.tcp.segment import Segment
from stack.tcp.segment_output import send_reset, send_reset_for, send_syn
from stack.tcp.sequence import seq_le, seq_lt
from stack.tcp.state import ACTIVE_OPEN, CLOSE, RECEIVE_SYN, SYN_ACKNOWLEDGED
from stack.tcp.syn_cookies import sack_of, window_scale_of, with_options
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm, disarm
from stack.wire.tcp import (
    write_mss,
    write_sack_permitted_and_timestamps,
    write_timestamps,
    write_window_scale,
)


def listen_arrives(engine: Engine, listener: Listener, segment: Segment, now: int) -> Tcb | None:
    """Section 3.10.7.2: a segment for a port on which someone listens, from a peer we know nothing of.

    The connection that the segment is now to be given to, if it is the ACK of a cookie.
    """
    if segment.flags & RST:
        engine.counters.drop(DROP_NO_CONNECTION)
        return None
    if segment.flags & ACK:
        if not segment.flags & SYN and engine.cookies.outstanding(now):
            return _cookie_arrives(engine, listener, segment, now)
        engine.counters.drop(DROP_NO_CONNECTION)
        send_reset_for(engine, segment, now)
        return None
    if not segment.flags & SYN:
        engine.counters.drop(DROP_NO_CONNECTION)
        return None
    if segment.flags & FIN:
        engine.counters.drop(DROP_UNACCEPTABLE_HANDSHAKE)  # nobody opens and closes at once; Linux is silent as well
        return None
    if listener.pending >= listener.backlog:
        _answer_with_cookie(engine, listener, segment, now)
        return None
    connection = _receive_syn(engine, listener, segment, now)
    if (
        listener.fast_open.limit
        and engine.fast_open & FAST_OPEN_SERVER
        and _takes_early(engine, listener.fast_open, connection, segment, now)
    ):
        _open_early(engine, listener, listener.fast_open, connection, segment, now)
        return None
    send_syn(connection, now)
    arm(connection, TIMER_HANDSHAKE, now + connection.rtt.rto)
    return None


def brings_cookie(engine: Engine, segment: Segment, now: int) -> bool:
    """Whether ``segment``, an ACK for a listener, acknowledges a cookie of ours."""
    return _cookie_mss(engine, segment, now) != 0


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
        ack = segment.acknowledgment
        if not (seq_lt(connection.iss, ack) and seq_le(ack, connection.snd_max)):
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
    connection.segments_received += 1
    _take_syn(connection, segment, now)
    if acknowledged:
        _take_window(connection, segment, 0)
        _learn_cookie(connection, segment)
        connection.syn_data = ack == connection.snd_max and ack != (connection.iss + 1) & MASK32
        establish(connection, segment, now)
        connection.ack_now = True
        return True
    transition(connection, RECEIVE_SYN)  # simultaneous open
    connection.fast_open = None  # a cookie in our SYN-ACK would be one for the peer (RFC 7413 section 4.1.1)
    send_syn(connection, now)
    arm(connection, TIMER_HANDSHAKE, now + connection.rtt.rto)
    return False


def syn_received_acknowledged(connection: Tcb, segment: Segment, now: int) -> None:
    """Section 3.10.7.4, fifth, SYN-RECEIVED: the segment acknowledges our SYN, and so completes the handshake."""
    _take_window(connection, segment, 0 if segment.flags & SYN else connection.snd_wnd_shift)
    establish(connection, segment, now)


def establish(connection: Tcb, segment: Segment, now: int) -> None:
    """Our SYN is acknowledged: the connection is open. A passive one gets its handler from ``accept``."""
    if connection.retries == 0 and connection.last_send:
        connection.rtt.sample(now - connection.last_send, now)
    early = connection.is_early()
    if not early:
        connection.last_send = now
        _take_acknowledgment(connection, segment)
        connection.congestion.start(connection.snd_mss, connection.retries > 0)
    connection.retries = 0
    connection.fast_open = None
    begin_tuning(connection, now)
    disarm(connection)
    transition(connection, SYN_ACKNOWLEDGED)
    connection.engine.counters.established += 1
    if connection.fin_queued:
        transition(connection, CLOSE)
    connection.last_data_received = now
    listener = connection.listener
    if listener is None:
        connection.bytes_acknowledged += 1
        tell_connected(connection)
        return
    connection.listener = None
    listener.pending -= 1
    if early:
        listener.fast_open.pending -= 1
    elif _accept(connection, listener, now):
        tell_connected(connection)


def fall_back(connection: Tcb, fast_open: FastOpen, now: int) -> None:
    """A SYN with the option was not answered: those that follow are without (RFC 7413 section 4.1.3.1)."""
    if fast_open.cookie is not None:
        fast_open.cookie = None
        connection.engine.fast_open_servers.disable(connection.path, now)


def syn_too_long(connection: Tcb, now: int) -> None:
    """Our SYN was too long for the path, because of the data in it: once, it goes again without, and at once."""
    if connection.fast_open is None or connection.retries:
        return
    connection.fast_open = None
    connection.last_send = now  # the first has not arrived: the answer is to this one
    connection.segments_retransmitted += 1
    connection.engine.counters.segments_retransmitted += 1
    send_syn(connection, now)


def early_reset(connection: Tcb, now: int) -> None:
    """The peer resets a connection that it has opened with data, before the handshake is complete."""
    listener = connection.listener
    if listener is not None:
        listener.fast_open.was_reset(now)


def _accept(connection: Tcb, listener: Listener, now: int) -> bool:
    """Let the listener give the connection its handler; False when it has none, and is no more."""
    try:
        handler = listener.accept(connection)
    except BaseException:
        send_reset(connection, now)  # nobody would ever close it
        end(connection, "aborted")
        raise
    if connection.state == CLOSED:
        return False  # ``accept`` has aborted it, and the handler never was one
    connection.handler = handler
    handler.connection = connection
    return True


def _take_acknowledgment(connection: Tcb, segment: Segment) -> None:
    """SND.UNA; of data that went with our SYN, what is not acknowledged is to be sent again."""
    connection.snd_una = connection.snd_nxt = segment.acknowledgment
    count = (segment.acknowledgment - connection.iss - 1) & MASK32
    if count:
        connection.queue.acknowledge(count)
    connection.queue.rewind()


def _learn_cookie(connection: Tcb, segment: Segment) -> None:
    """A SYN-ACK may bring the cookie that our SYN asked for."""
    engine = connection.engine
    if engine.options.fast_open_length > 0 and connection.fast_open is not None:
        cookie = engine.options.fast_open_cookie(engine.header.memory)
        engine.fast_open_servers.remember(connection.path, cookie, segment.mss or DEFAULT_MSS)


def _takes_early(engine: Engine, queue: FastOpenQueue, connection: Connection, segment: Segment, now: int) -> bool:
    """Whether a SYN brings a cookie of ours, and data, which the application is to have now; or it gets a cookie."""
    length = engine.options.fast_open_length
    if engine.fast_open & FAST_OPEN_TRUSTING and segment.length != 0:
        return queue.has_room(now)
    if length < 0:
        return False
    cookie = server_cookie(engine.fast_open_key, connection.path)
    if length == 0 or engine.options.fast_open_cookie(engine.header.memory) != cookie:
        connection.fast_open = FastOpen(cookie, 0, False)
        return False
    return segment.length != 0 and queue.has_room(now)


def _open_early(
    engine: Engine, listener: Listener, queue: FastOpenQueue, connection: Connection, segment: Segment, now: int
) -> None:
    """Give the application the data of a SYN (RFC 7413 section 4.2.2), and send its answers behind our SYN-ACK."""
    queue.pending += 1
    engine.counters.fast_opens += 1
    engine.counters.bytes_received += segment.length
    connection.fast_open = FastOpen(None, 0, True)
    data = segment.payload
    segment.payload = None
    assert data is not None
    connection.rcv_nxt = (connection.rcv_nxt + segment.length) & MASK32
    connection.syn_data = True
    send_syn(connection, now)
    arm(connection, TIMER_HANDSHAKE, now + connection.rtt.rto)
    connection.snd_una = connection.snd_nxt  # the SYN's acknowledgment is the handshake's business
    connection.max_snd_wnd = connection.snd_wnd
    connection.congestion.start(connection.snd_mss, False)
    if _accept(connection, listener, now):
        tell_connected(connection)
        if connection.state != CLOSED:
            deliver(connection, data)
        output(connection, now)


def _receive_syn(engine: Engine, listener: Listener, segment: Segment, now: int) -> Connection:
    """A new connection in SYN-RECEIVED, which the SYN ``segment`` makes."""
    connection = Connection(
        engine, engine.ip.path_back(), segment.source_port, segment.destination_port, now, listener.settings
    )
    engine.connections.insert(connection)
    engine.counters.passive_opens += 1
    listener.pending += 1
    connection.segments_received = 1
    connection.listener = listener
    passive_open(connection)
    _take_syn(connection, segment, now)
    transition(connection, RECEIVE_SYN)
    return connection


def _answer_with_cookie(engine: Engine, listener: Listener, segment: Segment, now: int) -> None:
    """Send the SYN-ACK that the SYN ``segment`` would get from a connection, and remember nothing."""
    packet = allocate(engine.allocator, HEADER_LENGTH + SYN_OPTIONS_MOST, engine.ip.headroom)
    if packet is None:
        engine.counters.no_memory += 1
        return
    path = engine.ip.reply_path()
    flow = _flow_of(engine, segment)
    at = packet.start + HEADER_LENGTH
    at += write_mss(packet.memory, at, path.link_mtu() - path.header_length - HEADER_LENGTH)
    if engine.timestamps and segment.has_timestamps:
        clock = (now // MILLISECOND + initial_numbers(engine.secret, flow, now)[1]) & MASK32
        sack = engine.sack and segment.sack_permitted
        clock = with_options(clock, segment.window_scale, sack)
        if sack:
            at += write_sack_permitted_and_timestamps(packet.memory, at, clock, segment.timestamp_value)
        else:
            at += write_timestamps(packet.memory, at, clock, segment.timestamp_value)
        if segment.window_scale >= 0:
            at += write_window_scale(packet.memory, at, listener.window_scale)
    packet.trim_end(packet.length - (at - packet.start))
    engine.header.at(packet.memory, packet.start)
    engine.header.write(
        segment.destination_port,
        segment.source_port,
        engine.cookies.make(flow, segment.sequence, segment.mss or DEFAULT_MSS, now),
        (segment.sequence + 1) & MASK32,
        packet.length,
        SYN | ACK,
        listener.syn_window,
    )
    engine.counters.segments_sent += 1
    path.send(packet, packet.length, PROTOCOL_TCP, CHECKSUM_OFFSET, 0, 0, now)


def _cookie_arrives(engine: Engine, listener: Listener, segment: Segment, now: int) -> Tcb | None:
    """An ACK while cookies are out: the connection that its SYN would have made, if it brings one back.

    Any other is dropped without an answer. It may be data of a peer whose ACK with the cookie was lost: a reset would
    end a connection that the next retransmission opens.
    """
    mss = _cookie_mss(engine, segment, now)
    if mss == 0:
        engine.cookies.rejected += 1
        engine.counters.drop(DROP_BAD_COOKIE)
        return None
    engine.cookies.accept()
    if segment.has_timestamps:
        segment.recall_syn(mss, window_scale_of(segment.timestamp_echo), sack_of(segment.timestamp_echo))
    else:
        segment.recall_syn(mss, -1, False)
    connection = _receive_syn(engine, listener, segment, now)
    segment.sequence = connection.rcv_nxt
    connection.begin_at((segment.acknowledgment - 1) & MASK32)
    connection.rcv_adv = (connection.rcv_nxt + listener.syn_window) & MASK32
    connection.last_send = 0  # it is not known when: no round trip was measured
    return connection


def _cookie_mss(engine: Engine, segment: Segment, now: int) -> int:
    """The maximum segment size in the cookie that ``segment`` acknowledges; 0 without one."""
    peer_sequence = (segment.sequence - 1) & MASK32
    cookie = (segment.acknowledgment - 1) & MASK32
    return engine.cookies.check(_flow_of(engine, segment), peer_sequence, cookie, now)


def _flow_of(engine: Engine, segment: Segment) -> bytes:
    received = engine.ip.received
    return flow_bytes(
        received.destination_high,
        received.destination_low,
        segment.destination_port,
        received.source_high,
        received.source_low,
        segment.source_port,
    )


def _take_syn(connection: Tcb, segment: Segment, now: int) -> None:
    """What the peer's SYN tells: its initial sequence number and its options."""
    window = connection.rcv_adv - connection.rcv_nxt  # of our own SYN, if there was one
    connection.irs = segment.sequence
    connection.rcv_nxt = connection.rcv_acked = (segment.sequence + 1) & MASK32
    connection.rcv_adv = (connection.rcv_nxt + window) & MASK32
    connection.snd_wnd = segment.window  # never scaled in a SYN
    connection.timestamps = connection.timestamps and segment.has_timestamps
    if connection.timestamps:
        connection.ts_recent = segment.timestamp_value
        connection.ts_recent_time = now
    ecn_of_syn(connection, segment)
    connection.sack = connection.sack and segment.sack_permitted
    connection.window_scaling = connection.window_scaling and segment.window_scale >= 0
    if connection.window_scaling:
        connection.snd_wnd_shift = segment.window_scale
    else:
        connection.rcv_wnd_shift = 0
    connection.peer_mss = max(min(segment.mss or DEFAULT_MSS, connection.our_mss()), LEAST_MSS)
    adapt_to_path(connection)


def _take_window(connection: Tcb, segment: Segment, shift: int) -> None:
    """The first window from the segment that completes the handshake."""
    connection.snd_wnd = segment.window << shift
    connection.snd_wl1 = segment.sequence
    connection.max_snd_wnd = max(connection.max_snd_wnd, connection.snd_wnd)
