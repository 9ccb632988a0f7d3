"""What all connections of one stack share: IP below, the clock, the table, the timers, the counters, the defaults."""

import random
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING

from ebbrt.clock import Clock
from ebbrt.memory import MemoryAllocator
from ebbrt.network import TcpConnection, TcpHandler
from ebbrt.tcp_settings import DEFAULT_SETTINGS, TcpSettings
from stack.internet import Internet
from stack.tcp.constants import (
    CHALLENGE_INTERVAL,
    DROP_NAMES,
    ECN_ACCEPT,
    FAST_OPEN_CLIENT,
    FAST_OPEN_SERVER,
    MOST_RECEIVE_BUFFER,
    MOST_SEND_BUFFER,
    RECEIVE_BUFFER,
    SEND_BUFFER,
    STATE_NAMES,
)
from stack.tcp.fast_open import FastOpenQueue, FastOpenServers
from stack.tcp.lookups import DEFAULT_LOOKUP, connection_lookup
from stack.tcp.reassembly import Reassembly
from stack.tcp.sent import Sent
from stack.tcp.syn_cookies import SynCookies
from stack.tcp.timer_heap import TimerHeap
from stack.wire.tcp import TcpHeader, TcpOptions

if TYPE_CHECKING:
    from stack.tcp.ended import EndedConnections


class Listener:
    """An open port: ``accept`` is asked for a handler when a handshake is complete.

    ``pending`` counts the handshakes that are under way; ``backlog`` bounds them, and beyond it there are SYN cookies.
    ``fast_open``: those of them that an application has already (RFC 7413). Its connections begin with ``settings``.
    """

    def __init__(
        self,
        port: int,
        accept: Callable[[TcpConnection], TcpHandler],
        backlog: int,
        settings: TcpSettings,
        fast_open: int,
        engine: "Engine",
    ) -> None:
        self._engine = engine
        self.port = port
        self.accept = accept
        self.backlog = backlog
        self.take_settings(settings)
        self.pending = 0
        self.fast_open = FastOpenQueue(fast_open)

    def take_settings(self, settings: TcpSettings) -> None:
        """What connections begin with from now on, and what is said of it in a SYN-ACK."""
        self.settings = settings
        most = largest_receive_buffer(settings, self._engine.most_receive_buffer)
        self.window_scale = window_scale(most)
        self.syn_window = min(settings.receive_buffer or self._engine.receive_buffer, most, 0xFFFF)


class Counters:
    """What has happened, for ``Tcp.statistics``."""

    def __init__(self) -> None:
        self.segments_received = 0
        self.segments_sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.segments_retransmitted = 0
        self.fast_retransmits = 0
        self.retransmission_timeouts = 0
        self.zero_window_probes = 0
        self.duplicate_acks_received = 0
        self.out_of_order_segments = 0
        self.dsacks_sent = 0
        self.dsacks_received = 0
        self.sack_blocks_received = 0
        self.sack_blocks_ignored = 0
        self.rack_lost_bytes = 0
        self.loss_probes = 0
        self.probe_recoveries = 0
        self.undone_by_dsack = 0
        self.undone_by_frto = 0
        self.undone_by_timestamps = 0
        self.ecn_reductions = 0
        self.ecn_marks_received = 0
        self.handed_over = 0
        self.resets_sent = 0
        self.resets_received = 0
        self.challenge_acks = 0
        self.active_opens = 0
        self.passive_opens = 0
        self.fast_opens = 0
        self.fast_opens_sent = 0
        self.established = 0
        self.closed = 0
        self.time_wait_evicted = 0
        self.keepalives_sent = 0
        self.no_memory = 0
        self.icmp_errors = 0
        self.icmp_errors_ignored = 0
        self.path_mtu_lowered = 0
        self.path_mtu_restored = 0
        self.black_holes = 0
        self.path_probes = 0
        self.path_probes_lost = 0
        self.path_mtu_raised = 0
        self.drops = memoryview(bytearray(8 * len(DROP_NAMES))).cast("Q")
        self.states = memoryview(bytearray(8 * len(STATE_NAMES))).cast("Q")

    def drop(self, reason: int) -> None:
        """Count a received segment that was not used, under one of the DROP_ constants."""
        self.drops[reason] += 1


class Engine:
    """The shared part of a TCP: connections hold it, and it knows them only through its table.

    ``ended`` is there on a node of several cores only, and put there by `stack.tcp.tcp`.
    ``settings`` is what connections and listeners start with that are given none.
    ``sack``, ``timestamps`` and ``window_scaling`` say whether the options are offered, and taken when they are.
    ``fast_open``: FAST_OPEN_ constants; ``fast_open_key``: 16 bytes, of which a server's cookies are made.
    ``challenge_interval``: least time between two ACKs that answer unacceptable segments, of one connection.
    ``restart_after_idle``: whether the congestion window is begun anew then (RFC 5681 section 4.1).
    ``receive_buffer`` and ``send_buffer`` are where connections begin that are given no size, ``most_...`` how far
    they may grow.
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
        self.ip = ip
        self.allocator = allocator
        self.clock = clock
        self.random = chance
        self.secret = secret
        self.connections = connection_lookup(lookup, secret)
        self.cookies = SynCookies(secret)
        self.fast_open_servers = FastOpenServers()
        self.timers = TimerHeap()
        self.counters = Counters()
        self.listeners: dict[int, Listener] = {}
        self.spare_sent: list[Sent] = []
        self.time_wait: OrderedDict[object, None] = OrderedDict()  # oldest first
        self.ended: EndedConnections | None = None
        self.nothing_held = Reassembly()  # what connections have that hold nothing out of order, nearly all
        self.header = TcpHeader(allocator.memory)
        self.options = TcpOptions()
        self.sack = True
        self.ecn = ECN_ACCEPT
        self.timestamps = True
        self.window_scaling = True
        self.fast_open = FAST_OPEN_CLIENT | FAST_OPEN_SERVER
        self.fast_open_key = blake2b(digest_size=16, key=secret, person=b"fast open").digest()
        self.challenge_interval = CHALLENGE_INTERVAL
        self.restart_after_idle = True
        self.receive_buffer = RECEIVE_BUFFER
        self.most_receive_buffer = MOST_RECEIVE_BUFFER
        self.send_buffer = SEND_BUFFER
        self.most_send_buffer = MOST_SEND_BUFFER
        self.settings = DEFAULT_SETTINGS
        self.grown = 0  # bytes of node memory by which the buffers of all connections may have grown
        self.most_grown = allocator.memory.size // 4


def largest_receive_buffer(settings: TcpSettings, unless_set: int) -> int:
    """What the receive buffer may grow to."""
    most = settings.receive_buffer or unless_set
    return min(most, settings.window_clamp) if settings.window_clamp else most


def window_scale(size: int) -> int:
    """The shift that lets a 16-bit window field say ``size`` (RFC 7323 section 2.3)."""
    shift = 0
    while size >> shift > 0xFFFF:
        shift += 1
    return shift
