"""The size of our segments follows the path: path MTU discovery (RFC 1191, RFC 8201), and the MSS (RFC 6691).

All packets of TCP must arrive whole. A router through whose next link one does not fit says so, and how long it may
be; the ``Path`` keeps that for ten minutes, for all that use it (``stack.path_mtu``). Each connection looks, before it
sends, whether the path is still what its segments were made for, and else makes them smaller or larger. What was in
flight when the path got narrower is sent again at once, in smaller segments, and is no sign of congestion (RFC 8201
section 5.4, RFC 4821 section 7.6).

Where no such message comes (a black hole), full segments are lost again and again while small ones pass: when one has
timed out for the third time in a row, the path is taken to be narrower, in two steps (RFC 4821 section 7.7, RFC 8899
section 4.3). What lies between is then searched for by probing (``stack.tcp.size_probe``), and again every ten
minutes; a size that no probe has passed with is not used on such a path.

Such a message can be forged (RFC 5927 section 7). ``stack.tcp.icmp_errors`` has seen to it that what it quotes is in
flight; here it must name a size that is smaller than what we send.
"""

from stack.path_mtu import MIN_IPV4_MTU, MIN_IPV6_MTU
from stack.path_search import PathSearch
from stack.tcp.constants import (
    BLACK_HOLE_RETRIES,
    ESTABLISHED,
    HEADER_LENGTH,
    LEAST_MSS,
    MASK32,
    TIMESTAMPS_LENGTH,
)
from stack.tcp.tcb import Tcb


def packet_too_big(connection: Tcb, mtu: int, now: int) -> bool:
    """A segment in flight did not fit; ``mtu``: what does, or 0 when that was not said. Whether to believe it.

    While a connection is opened, only data that goes with or behind the SYN can be too long (RFC 7413).
    """
    path = connection.path
    counters = connection.engine.counters
    losses = connection.losses
    if losses is not None and losses.size_probe and (mtu == 0 or mtu >= connection.path_mtu):
        _probe_too_big(connection, losses.size_probe, mtu)
        return False
    too_early = connection.state < ESTABLISHED and not _sent_early(connection)
    if too_early or path.mtu_for(mtu, connection.path_mtu) == 0:
        counters.icmp_errors_ignored += 1
        return False
    if path.packet_too_big(mtu, connection.path_mtu, now):
        counters.path_mtu_lowered += 1
    return True


def _sent_early(connection: Tcb) -> bool:
    """Whether data has gone out on a connection that is not yet open."""
    return connection.snd_max != (connection.iss + 1) & MASK32


def _probe_too_big(connection: Tcb, size: int, mtu: int) -> None:
    """A message while a probe of ``size`` is under way: it may say where the search ends (RFC 8899 section 4.6.2).

    The probe's loss is for recovery to find; and one that names no size says nothing of what passes already.
    """
    search = connection.path.search
    if search is not None and 0 < mtu < min(size, search.ceiling):
        search.ceiling = mtu
    else:
        connection.engine.counters.icmp_errors_ignored += 1


def suspect_black_hole(connection: Tcb, now: int) -> None:
    """The retransmission timer has run out ``connection.retries`` times in a row."""
    path = connection.path
    retries = connection.retries
    if retries != BLACK_HOLE_RETRIES and retries != 2 * BLACK_HOLE_RETRIES:
        return
    if connection.flight() < connection.snd_mss:
        return
    mtu = MIN_IPV6_MTU if path.version == 6 or connection.path_mtu > MIN_IPV6_MTU else MIN_IPV4_MTU
    if mtu < path.mtu:
        path.lower_mtu(mtu, now)
        path.search = PathSearch(path.link_mtu(), now)
        connection.engine.counters.black_holes += 1


def follow_path(connection: Tcb, now: int) -> None:
    """The path has changed, or what was known of it is old."""
    path = connection.path
    if now >= path.mtu_expires and path.renew_mtu(now):
        connection.engine.counters.path_mtu_restored += 1
    narrower = path.mtu < connection.path_mtu
    adapt_to_path(connection)
    connection.congestion.mss = connection.snd_mss
    if narrower:
        if connection.losses is not None:
            connection.losses.size_probe = 0
        connection.drop_records()
        connection.snd_nxt = connection.snd_una
        connection.queue.rewind()


def adapt_to_path(connection: Tcb) -> None:
    """Make segments that the path carries, and the peer takes; options are part of them (RFC 6691 section 2)."""
    path = connection.path
    connection.path_mtu = path.mtu
    mss = max(min(connection.peer_mss, path.mtu - path.header_length - HEADER_LENGTH), LEAST_MSS)
    connection.snd_mss = mss - TIMESTAMPS_LENGTH if connection.timestamps else mss
