"""How large a connection's buffers are: both follow what the connection can use, within what the node can spare.

Receiving (dynamic right-sizing, as in Linux): the window must be twice what arrives in one round trip, or the peer
waits for it. The sender in slow start doubles in each round trip, so the window has to be ahead by as much. This is
looked at once for each window of data that has arrived, never for each packet: connections that carry little pay
nothing. The receiver's own estimate of the round trip comes from the echoes of our timestamps; without those, from how
long a window took to arrive, which is at least a round trip.

Sending: room for two congestion windows, one in flight and one to be ready when that is acknowledged. It is looked at
when the application asks how much it may send.

What all connections of a node have grown by together is bounded (``Engine.most_grown``). A size that the application
set stays as it is. Buffers do not shrink: what is offered cannot be taken back (RFC 9293 section 3.8.6).
"""

from stack.tcp.constants import HALF32, MASK32, MEMORY_PER_WINDOW, MILLISECOND, SEGMENTS_AHEAD
from stack.tcp.tcb import Tcb


def begin(connection: Tcb, now: int) -> None:
    """The connection is open: the window scale is agreed, and the first window begins."""
    most = 0xFFFF << connection.rcv_wnd_shift
    connection.limit_receive_buffer(most)
    connection.tune_at = (connection.rcv_nxt + connection.receive_buffer) & MASK32
    connection.tune_since = now


def window_arrived(connection: Tcb, sequence: int, echo: int, now: int) -> None:
    """The next segment begins behind ``tune_at``, at ``sequence``: a window has arrived since ``tune_since``.

    echo: the timestamp that it echoes, 0 without one.
    """
    count = connection.receive_buffer + ((sequence - connection.tune_at) & MASK32)
    elapsed = now - connection.tune_since
    _measure_round_trip(connection, echo, elapsed, now)
    if elapsed > 0:
        connection.rcv_space = count * min(connection.rcv_rtt, elapsed) // elapsed
    if connection.receive_buffer < connection.most_receive_buffer and connection.held is None:
        wanted = min(2 * connection.rcv_space + SEGMENTS_AHEAD * connection.rcv_mss, connection.most_receive_buffer)
        if wanted > connection.receive_buffer:
            if _may_grow(connection, MEMORY_PER_WINDOW * (wanted - connection.receive_buffer)):
                connection.set_receive_buffer(wanted)
    connection.tune_at = (sequence + connection.receive_buffer) & MASK32
    connection.tune_since = now


def send_limit(connection: Tcb) -> int:
    """What is full when ``send_room`` is nothing: the send buffer, or what may wait unsent, if that is less."""
    wanted = min(2 * connection.congestion.cwnd, connection.most_send_buffer)
    if wanted > connection.send_buffer and _may_grow(connection, wanted - connection.send_buffer):
        connection.send_buffer = wanted
    if connection.most_unsent:
        return min(connection.most_unsent, connection.send_buffer)
    return connection.send_buffer


def send_room(connection: Tcb) -> int:
    """How many bytes the application may queue."""
    limit = send_limit(connection)
    queue = connection.queue
    if connection.most_unsent:
        unsent = queue.length - queue.sent
        limit = min(limit - unsent if limit > unsent else 0, connection.send_buffer)
    return min(limit, connection.send_buffer - queue.length) if connection.send_buffer > queue.length else 0


def give_back(connection: Tcb) -> None:
    """The connection has ended: others may grow."""
    connection.engine.grown -= connection.grown
    connection.grown = 0


def _measure_round_trip(connection: Tcb, echo: int, elapsed: int, now: int) -> None:
    """The receiver's round trip: smoothed echoes of our timestamps, else the least time that a window took."""
    if connection.timestamps and echo:
        ticks = (connection.timestamp(now) - echo) & MASK32
        if ticks < HALF32:
            sample = max(ticks, 1) * MILLISECOND
            if connection.rcv_rtt:
                connection.rcv_rtt += (sample - connection.rcv_rtt) >> 3
            else:
                connection.rcv_rtt = sample
            return
    if connection.rcv_rtt == 0 or elapsed < connection.rcv_rtt:
        connection.rcv_rtt = elapsed


def _may_grow(connection: Tcb, by: int) -> bool:
    """Whether there is node memory to spare for ``by`` more bytes of buffer; they are then the connection's."""
    engine = connection.engine
    if engine.grown + by > engine.most_grown:
        return False
    engine.grown += by
    connection.grown += by
    return True
