"""The transmission control block: everything the engine knows about one connection (RFC 9293 section 3.3.1).

Data and the few one-line facts about it; what is done with it is in the modules that are named after the doing:
``input`` and ``acknowledgment``, ``output``, ``delivery``, ``timers``, ``lifecycle``. The application's interface is
``stack.tcp.connection``, which is this class with methods. The fields have the RFC's names.
"""

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf
from ebbrt.network import TcpHandler
from stack.tcp.connections import Flow
from stack.tcp.constants import (
    CLOSED,
    DEFAULT_MSS,
    HEADER_LENGTH,
    MASK32,
    MEMORY_PER_WINDOW,
    MILLISECOND,
    TIMER_NONE,
)
from stack.tcp.controllers import congestion_controller
from stack.tcp.engine import Engine, Listener
from stack.tcp.isn import flow_bytes, initial_numbers
from stack.tcp.reassembly import Reassembly
from stack.tcp.rtt import RoundTripEstimator
from stack.tcp.send_queue import SendQueue
from stack.transport import Path

NO_HANDLER = TcpHandler()  # what a connection points to before it has a handler, and after the last upcall


class Tcb(Flow):
    """One connection. Sequence numbers are 32-bit, times nanoseconds, windows bytes."""

    def __init__(self, engine: Engine, path: Path, remote_port: int, local_port: int, now: int) -> None:
        Flow.__init__(self, path, remote_port, local_port)
        self.engine = engine
        self.handler = NO_HANDLER
        self.listener: Listener | None = None  # whose backlog counts this handshake
        self.state = CLOSED
        self.nagle = engine.nagle
        self.delayed_ack = engine.delayed_ack
        self.send_buffer = engine.send_buffer

        flow = flow_bytes(
            path.source_high,
            path.source_low,
            local_port,
            path.destination_high,
            path.destination_low,
            remote_port,
        )
        self.iss, self.timestamp_offset = initial_numbers(engine.secret, flow, now)
        self.snd_una = self.iss  # oldest unacknowledged
        self.snd_nxt = self.iss  # next to send; goes back to snd_una when everything is to be sent again
        self.snd_max = self.iss  # next that was never sent
        self.snd_wnd = 0
        self.snd_wl1 = 0
        self.snd_wl2 = 0
        self.max_snd_wnd = 0  # the largest window the peer ever offered (sender's silly window avoidance)
        self.snd_wnd_shift = 0
        self.snd_mss = DEFAULT_MSS  # most payload bytes in a segment we send, options already taken off
        self.queue = SendQueue()
        self.fin_queued = False  # close() was called, and its FIN, which follows the queue, is not acknowledged
        self.rtt = RoundTripEstimator()
        self.rtt_sequence = 0  # the acknowledgment that ends the measurement under way
        self.rtt_start = 0  # 0: none under way
        self.congestion = congestion_controller(engine.congestion_control, DEFAULT_MSS)
        self.congestion.recover = self.iss
        self.last_send = now

        self.irs = 0
        self.rcv_nxt = 0
        self.rcv_adv = 0  # the right edge of the window the peer was told
        self.rcv_acked = 0  # the last acknowledgment sent (RFC 7323's Last.ACK.sent)
        self.receive_buffer = engine.receive_buffer
        self.receive_memory = MEMORY_PER_WINDOW * engine.receive_buffer
        self.rcv_wnd_shift = engine.window_scale()
        self.rcv_mss = DEFAULT_MSS  # the largest segment seen, at most our MSS: what counts as a full one
        self.reassembly = Reassembly()
        self.fin_out_of_order = False
        self.fin_sequence = 0  # of a FIN behind a hole
        self.ack_now = False
        self.ack_delayed = False
        self.challenge_after = 0  # no challenge ACK before that time

        self.window_scaling = True  # offered by us; after the handshake: agreed
        self.sack = engine.sack  # offered by us; after the handshake: agreed
        self.timestamps = True
        self.ts_recent = 0
        self.ts_recent_time = now

        self.held: IOBuf | None = None  # received in order, not yet delivered: paused, or in the midst of an upcall
        self.held_last: IOBuf | None = None
        self.held_pinned = 0
        self.paused = False
        self.in_upcall = False
        self.peer_closed_due = False
        self.closed_reason = ""  # the upcall that waits for held data to be delivered
        self.window_seen = MASK32  # what send_window() last said, when that was less than all

        self.timer = TIMER_NONE
        self.timer_deadline = FOREVER
        self.ack_deadline = FOREVER  # the delayed ACK
        self.heap_deadline = FOREVER  # of this connection's entry in the heap
        self.retries = 0  # retransmissions, or probes, since the peer last acknowledged anything
        self.probes = 0  # since the window closed: the backoff of probing

    def begin_at(self, iss: int) -> None:
        """Let ``iss`` be our initial sequence number, which the peer has seen, instead of the one made for us."""
        self.iss = self.snd_una = self.congestion.recover = iss
        self.snd_nxt = self.snd_max = (iss + 1) & MASK32

    def our_mss(self) -> int:
        """The maximum segment size we tell the peer: what fits our own link (RFC 6691: options not counted)."""
        return self.path.mtu - self.path.header_length - HEADER_LENGTH

    def flight(self) -> int:
        """Bytes sent and not acknowledged; a SYN or FIN counts as one."""
        return (self.snd_max - self.snd_una) & MASK32

    def fin_sent(self) -> bool:
        """Whether our FIN lies before snd_nxt."""
        return self.fin_queued and ((self.snd_nxt - self.snd_una) & MASK32) > self.queue.length

    def timestamp(self, now: int) -> int:
        """Our timestamp clock: milliseconds from an offset of the connection's own (RFC 7323 sections 5.4, 7.1)."""
        return (now // MILLISECOND + self.timestamp_offset) & MASK32
