"""Probing for the path's MTU with segments that carry data (RFC 4821 section 7, RFC 8899 section 5).

After a black hole was found (``stack.tcp.path_mtu``) the path has a search (``stack.path_search``), and connections
probe: one segment that is longer than the others, of data that is to be sent anyway. If it is acknowledged, the path
takes that much, for all who use it. If it is lost, and nothing else is, its length was the reason: that is no sign of
congestion, the window stays, and the data is sent again in segments of the size that is known to pass.

``output`` asks here whether to probe; ``stack.tcp.recovery`` says what became of it. The one probe that a connection
has under way is in its ``Losses``. RFC 8899's states are: BASE, after a black hole was found; SEARCHING, while
``next_size`` has one; SEARCH_COMPLETE, when it has none, until ``Path.mtu_expires``, its PMTU_RAISE_TIMER.
"""

from stack.tcp.constants import ESTABLISHED, HEADER_LENGTH, MASK32, OPEN, PROBE_FOLLOWERS, TIMESTAMPS_LENGTH
from stack.tcp.losses import Losses
from stack.tcp.sent import Sent
from stack.tcp.sequence import seq_lt
from stack.tcp.tcb import Tcb


def next_probe(connection: Tcb, now: int) -> int:
    """The payload of the probe that is to be sent next; 0: none. The path is being searched (RFC 4821 section 7.4).

    ``output`` has sent again what was lost. Enough must follow the probe that its loss is found without a timeout.
    """
    path = connection.path
    search = path.search
    assert search is not None
    if now < search.next_at or connection.state < ESTABLISHED or not _all_is_well(connection, now):
        return 0
    headers = path.header_length + HEADER_LENGTH
    most = connection.peer_mss + headers
    size = search.next_size(path.mtu, most, path.link_mtu())
    if size == 0:
        if path.mtu == path.link_mtu():
            path.restore_mtu()
        elif search.ceiling <= most:
            search.next_at = path.mtu_expires
        return 0
    length = size - headers - (TIMESTAMPS_LENGTH if connection.timestamps else 0)
    needed = length + PROBE_FOLLOWERS * connection.snd_mss
    unsent = connection.queue.length - connection.queue.sent
    if unsent < needed or connection.congestion.cwnd < needed or connection.snd_wnd < needed:
        return 0
    return length


def probe_sent(connection: Tcb, start: int, now: int) -> None:
    """A probe from ``start`` to SND.NXT is on its way; none, if the data lay in too many pieces for a long segment."""
    path = connection.path
    search = path.search
    assert search is not None
    search.tried(now)
    payload = (connection.snd_nxt - start) & MASK32
    if payload <= connection.snd_mss:
        return
    losses = connection.trouble()
    losses.size_probe = payload + path.mtu - connection.snd_mss
    losses.size_probe_start = start
    losses.size_probe_end = connection.snd_nxt
    losses.size_probe_lost = False
    connection.engine.counters.path_probes += 1


def probe_acknowledged(connection: Tcb, losses: Losses, now: int) -> None:
    """All of the probe is acknowledged: if not because it was sent again, it has arrived (section 7.6.1)."""
    path = connection.path
    size = losses.size_probe
    losses.size_probe = 0
    if losses.size_probe_lost or path.search is None or size <= path.mtu:
        return
    connection.engine.counters.path_mtu_raised += 1
    path.search.passed(now)
    path.raise_mtu(size, now)


def only_probe_lost(connection: Tcb, losses: Losses, sent: Sent, now: int) -> bool:
    """Something is lost: whether it is the probe and nothing else, which then is all to be sent again (7.6.2)."""
    if not sent.lost_once_within(losses.size_probe_start, losses.size_probe_end):
        return False
    if not losses.size_probe_lost:
        losses.size_probe_lost = True
        losses.probing = False  # should a loss probe have been its end: that has mended nothing
        sent.lose_within(losses.size_probe_start, losses.size_probe_end)
        _failed(connection, losses, now)
    return True


def probe_timed_out(connection: Tcb, losses: Losses, now: int) -> None:
    """The retransmission timer ran out; it was the probe's fault if that is what is missing (7.6.3)."""
    if connection.snd_una == losses.size_probe_start and not losses.size_probe_lost:
        _failed(connection, losses, now)
    losses.size_probe = 0


def _failed(connection: Tcb, losses: Losses, now: int) -> None:
    connection.engine.counters.path_probes_lost += 1
    if connection.path.search is not None:
        connection.path.search.failed(losses.size_probe, now)


def _all_is_well(connection: Tcb, now: int) -> bool:
    """Nothing is out of order or being sent again; no probe is under way, and this is no start after idling."""
    if connection.recovery_state != OPEN or connection.snd_nxt != connection.snd_max:
        return False
    if connection.losses is not None and connection.losses.size_probe:
        return False
    if connection.sent is not None and connection.sent.sacked_bytes:
        return False
    return seq_lt(connection.snd_una, connection.snd_nxt) or now - connection.last_send <= connection.rtt.rto
