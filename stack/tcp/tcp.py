"""TCP as the rest of the stack sees it: segments in, deadlines out, ports to listen on, connections to open.

Sans I/O: the time comes in with every call, packets leave through IP, and randomness and secrets were given. Read
``state`` for what a connection goes through, ``tcb`` for what it is, then ``input`` and ``output``.
"""

import random
from collections.abc import Callable

from ebbrt.clock import Clock
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.network import AddressInUseError, TcpConnection, TcpHandler
from ebbrt.tcp_settings import TcpSettings
from stack.internet import Internet
from stack.tcp.connection import Connection
from stack.tcp.constants import (
    DROP_NAMES,
    FAST_OPEN_BLINDLY,
    FIRST_EPHEMERAL_PORT,
    HEADER_LENGTH,
    LAST_EPHEMERAL_PORT,
    PROTOCOL_TCP,
    STATE_NAMES,
)
from stack.tcp.ended import EndedConnections
from stack.tcp.engine import Engine, Listener
from stack.tcp.expiry import poll
from stack.tcp.handshake import open_actively
from stack.tcp.icmp_errors import icmp_error_arrives
from stack.tcp.input import segment_arrives
from stack.tcp.isn import flow_bytes
from stack.tcp.lookups import DEFAULT_LOOKUP
from stack.tcp.ports import EphemeralPorts
from stack.tcp.segment import Segment
from stack.transport import IcmpError, Path, Received, Transport


class Tcp(Transport):
    """The TCP of one stack.

    chance: for the choice of local ports. secret: at least 16 random bytes that nobody else knows; initial sequence
    numbers and the hash of the connection table depend on them. lookup: see ``stack.tcp.lookups``.
    """

    def __init__(
        self,
        ip: Internet,
        allocator: MemoryAllocator,
        clock: Clock,
        chance: random.Random,
        secret: bytes,
        lookup: str = DEFAULT_LOOKUP,
    ) -> None:
        if not 16 <= len(secret) <= 64:
            raise ValueError(f"the secret must have 16 to 64 bytes, not {len(secret)}")
        self.engine = Engine(ip, allocator, clock, chance, secret, lookup)
        ip.register(PROTOCOL_TCP, self)
        self._segment = Segment()
        first, last = FIRST_EPHEMERAL_PORT, LAST_EPHEMERAL_PORT
        steering = ip.steering
        if steering is not None:
            self.engine.ended = EndedConnections()
            first, last = steering.own_ports(first, last)
            for port in range(first, last + 1):
                steering.claim(PROTOCOL_TCP, port)
        self.ports = EphemeralPorts(first, last, secret, chance)

    def receive_segment(self, packet: IOBuf, length: int, received: Received, now: int) -> None:
        """Take one packet from IP: a chain of exactly ``length`` bytes that starts at the TCP header."""
        segment_arrives(self.engine, self._segment, packet, length, received, now)

    def icmp_error(self, error: IcmpError, now: int) -> None:
        """A packet of ours could not be delivered."""
        icmp_error_arrives(self.engine, error, now)

    def poll(self, now: int) -> None:
        """Handle all deadlines up to ``now``."""
        poll(self.engine, now)

    def next_deadline(self) -> int:
        """When ``poll`` is to be called next: it may be early, never late; FOREVER when nothing waits."""
        return self.engine.timers.next_deadline()

    def listen(
        self,
        port: int,
        accept: Callable[[TcpConnection], TcpHandler],
        backlog: int = 1024,
        settings: TcpSettings | None = None,
        fast_open: int = 0,
    ) -> None:
        """Accept connections on ``port``; at most ``backlog`` handshakes are under way at a time.

        settings: what the connections begin with; the engine's when there are none.
        fast_open: how many connections may have data in their SYN (RFC 7413) and not yet have completed the handshake;
        0: none. The application must bear it that such data reaches it twice.
        Raises AddressInUseError when something listens there already.
        """
        if not 0 < port <= 0xFFFF:
            raise ValueError(f"{port} is not a TCP port")
        if port in self.engine.listeners:
            raise AddressInUseError(f"something listens on TCP port {port} already")
        self.engine.listeners[port] = Listener(
            port, accept, backlog, settings or self.engine.settings, fast_open, self.engine
        )
        if self.engine.ip.steering is not None:
            self.engine.ip.steering.claim(PROTOCOL_TCP, port)

    def connect(
        self,
        address: tuple[int, int],
        port: int,
        handler: TcpHandler,
        settings: TcpSettings | None = None,
        fast_open: IOBuf | None = None,
        local_port: int = 0,
    ) -> TcpConnection:
        """Open a connection to ``address`` (high, low); ``handler`` is told the outcome, perhaps before this returns.

        settings: what it begins with; the engine's when there are none.
        fast_open: the first data, to go with the SYN if the server lets us (RFC 7413), and else after the handshake.
        It may reach the peer's application twice.
        local_port: ours; 0: one that is free.
        Raises AddressInUseError when it, or every local port, is connected with that peer already.
        """
        if not 0 < port <= 0xFFFF:
            raise ValueError(f"{port} is not a TCP port")
        now = self.engine.clock.now()
        path = self.engine.ip.path(None, address)
        settings = settings or self.engine.settings
        if local_port == 0:
            local_port = self._local_port(path, port)
        elif not self._is_free(path, local_port, port):
            raise AddressInUseError(f"the local port {local_port} is in use towards port {port} of that peer")
        connection = Connection(self.engine, path, port, local_port, now, settings)
        connection.handler = handler
        handler.connection = connection
        if fast_open is not None:
            connection.queue.append(fast_open)
            mss = min(connection.our_mss(), path.mtu - path.header_length - HEADER_LENGTH)
            connection.fast_open = self.engine.fast_open_servers.begin(
                path, mss, now, bool(self.engine.fast_open & FAST_OPEN_BLINDLY)
            )
            if connection.fast_open is not None and connection.fast_open.room:
                connection.snd_mss = connection.fast_open.room  # until the server says its own
        open_actively(connection, now)
        return connection

    def statistics(self) -> dict[str, dict[str, int]]:
        """What has happened since the start, why segments were dropped, and connections by state now."""
        counters = self.engine.counters
        return {
            "segments": {
                "received": counters.segments_received,
                "sent": counters.segments_sent,
                "bytes_received": counters.bytes_received,
                "bytes_sent": counters.bytes_sent,
                "retransmitted": counters.segments_retransmitted,
                "fast_retransmits": counters.fast_retransmits,
                "retransmission_timeouts": counters.retransmission_timeouts,
                "zero_window_probes": counters.zero_window_probes,
                "keepalives_sent": counters.keepalives_sent,
                "duplicate_acks_received": counters.duplicate_acks_received,
                "out_of_order": counters.out_of_order_segments,
                "dsacks_sent": counters.dsacks_sent,
                "sack_blocks_received": counters.sack_blocks_received,
                "sack_blocks_ignored": counters.sack_blocks_ignored,
                "dsacks_received": counters.dsacks_received,
                "rack_lost_bytes": counters.rack_lost_bytes,
                "loss_probes": counters.loss_probes,
                "probe_recoveries": counters.probe_recoveries,
                "undone_by_dsack": counters.undone_by_dsack,
                "undone_by_frto": counters.undone_by_frto,
                "undone_by_timestamps": counters.undone_by_timestamps,
                "ecn_marks_received": counters.ecn_marks_received,
                "ecn_reductions": counters.ecn_reductions,
                "handed_over": counters.handed_over,
                "resets_sent": counters.resets_sent,
                "resets_received": counters.resets_received,
                "challenge_acks": counters.challenge_acks,
                "no_memory": counters.no_memory,
                "icmp_errors": counters.icmp_errors,
                "icmp_errors_ignored": counters.icmp_errors_ignored,
                "path_mtu_lowered": counters.path_mtu_lowered,
                "path_mtu_restored": counters.path_mtu_restored,
                "black_holes": counters.black_holes,
                "path_probes": counters.path_probes,
                "path_probes_lost": counters.path_probes_lost,
                "path_mtu_raised": counters.path_mtu_raised,
            },
            "connections": {
                "now": self.engine.connections.count,
                "active_opens": counters.active_opens,
                "passive_opens": counters.passive_opens,
                "established": counters.established,
                "closed": counters.closed,
                "time_wait_evicted": counters.time_wait_evicted,
                "handshakes": sum([listener.pending for listener in self.engine.listeners.values()]),
                "timers": len(self.engine.timers),
                "buffers_grown": self.engine.grown,
            },
            "syn_cookies": {
                "sent": self.engine.cookies.sent,
                "accepted": self.engine.cookies.accepted,
                "rejected": self.engine.cookies.rejected,
            },
            "fast_open": {"accepted": counters.fast_opens, "sent": counters.fast_opens_sent},
            "states": dict(zip(STATE_NAMES, counters.states, strict=True)),
            "drops": dict(zip(DROP_NAMES, counters.drops, strict=True)),
        }

    def _local_port(self, path: Path, port: int) -> int:
        """An ephemeral port that is free towards that peer, and that nobody guesses."""
        peer = flow_bytes(path.source_high, path.source_low, 0, path.destination_high, path.destination_low, port)
        for candidate in self.ports.candidates(peer):
            if self._is_free(path, candidate, port):
                return candidate
        raise AddressInUseError(f"no local port is free towards port {port} of that peer")

    def _is_free(self, path: Path, local_port: int, remote_port: int) -> bool:
        found = self.engine.connections.find(
            path.source_high, path.source_low, local_port, path.destination_high, path.destination_low, remote_port
        )
        if found is not None or local_port in self.engine.listeners:
            return False
        steering = self.engine.ip.steering
        return steering is None or not steering.is_claimed_elsewhere(PROTOCOL_TCP, local_port)
