"""The transmission control block: everything the engine knows about one connection (RFC 9293 section 3.3.1).

Data and the few one-line facts about it; what is done with it is in the modules that are named after the doing:
``input`` and ``acknowledgment``, ``output`` and ``segment_output``, ``delivery``, ``timers``, ``lifecycle``. The
application's interface is ``stack.tcp.connection``, which is this class with methods. The fields have the RFC's names.
"""

from ebbrt.constants import FOREVER
from ebbrt.iobuf import IOBuf
from ebbrt.network import TcpHandler
from ebbrt.tcp_settings import TcpSettings
from stack.tcp.connections import Flow
from stack.tcp.constants import (
    CLOSED,
    DEFAULT_MSS,
    ECN_REQUEST,
    HEADER_LENGTH,
    MASK32,
    MEMORY_PER_WINDOW,
    MILLISECOND,
    MOST_SPARE_RECORDS,
    OPEN,
    SPARE_RECORDS,
    SYN_RECEIVED,
    TIMER_NONE,
)
from stack.tcp.controllers import congestion_controller
from stack.tcp.engine import Engine, Listener, largest_receive_buffer, window_scale
from stack.tcp.fast_open import FastOpen
from stack.tcp.isn import flow_bytes, initial_numbers
from stack.tcp.losses import Losses
from stack.tcp.reassembly import Reassembly
from stack.tcp.rtt import RoundTripEstimator
from stack.tcp.send_queue import SendQueue
from stack.tcp.sent import Sent
from stack.transport import Path

NO_HANDLER = TcpHandler()  # what a connection points to before it has a handler, and after the last upcall


class Tcb(Flow):
    """One connection. Sequence numbers are 32-bit, times nanoseconds, windows bytes."""

    def __init__(
        self, engine: Engine, path: Path, remote_port: int, local_port: int, now: int, settings: TcpSettings
    ) -> None:
        Flow.__init__(self, path, remote_port, local_port)
        self.engine = engine
        self.handler = NO_HANDLER
        self.listener: Listener | None = None  # whose backlog counts this handshake
        self.fast_open: FastOpen | None = None  # while it is being opened with it
        self.syn_data = False  # data in a SYN was acknowledged by the SYN-ACK (RFC 7413)
        self.state = CLOSED
        self.send_buffer = engine.send_buffer
        self.receive_buffer = engine.receive_buffer
        self.take_settings(settings)

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
        self.snd_wl1 = 0  # there is no snd_wl2: an acknowledgment before snd_una tells nothing of the window
        self.max_snd_wnd = 0  # the largest window the peer ever offered (sender's silly window avoidance)
        self.snd_wnd_shift = 0
        self.snd_sml = self.iss  # the end of the last segment sent that was not a full one, in Nagle's algorithm
        self.snd_mss = DEFAULT_MSS  # most payload bytes in a segment we send, options already taken off
        self.peer_mss = DEFAULT_MSS  # most that the peer takes, and our first link; options not taken off
        self.path_mtu = path.mtu  # what snd_mss was made for: see stack.tcp.path_mtu
        self.queue = SendQueue()
        self.fin_queued = False  # close() was called, and its FIN, which follows the queue, is not acknowledged
        self.rtt = RoundTripEstimator()
        self.rtt_sequence = self.iss  # what is acknowledged beyond it measures the round trip again
        self.congestion = congestion_controller(settings.congestion_control, DEFAULT_MSS)
        self.sent: Sent | None = None  # records of what is in flight, if that is more than one segment
        self.losses: Losses | None = None  # made when something is first lost
        self.recovery_state = OPEN
        self.pace_next = 0  # when pacing lets the next segment go
        self.last_send = now  # of a SYN, data or FIN

        self.irs = 0
        self.rcv_nxt = 0
        self.rcv_adv = 0  # the right edge of the window the peer was told
        self.rcv_acked = 0  # the last acknowledgment sent (RFC 7323's Last.ACK.sent)
        self.rcv_wnd_shift = window_scale(self.most_receive_buffer)
        self.tune_at = 0  # behind that sequence number, see whether the receive buffer should grow
        self.tune_since = now
        self.rcv_rtt = 0  # the receiver's estimate of the round trip; 0: none yet
        self.rcv_space = 0  # bytes that arrived in such a time, when it was last looked at
        self.grown = 0  # bytes by which both buffers have, which are counted in the engine
        self.rcv_mss = DEFAULT_MSS  # the largest segment seen, at most our MSS: what counts as a full one
        self.reassembly = engine.nothing_held
        self.fin_out_of_order = False
        self.fin_sequence = 0  # of a FIN behind a hole
        self.ack_now = False
        self.ack_delayed = False
        self.quick_acks = 0  # how many segments to come are acknowledged at once
        self.pingpong = False  # the application answers what it receives: ACKs wait for the answers
        self.last_data_received = now  # in order
        self.challenge_after = 0  # no challenge ACK before that time

        self.window_scaling = engine.window_scaling  # offered by us; after the handshake: agreed
        self.ecn_offer = engine.ecn == ECN_REQUEST
        self.ecn = False  # agreed
        self.ecn_echo = False  # a mark has arrived, and the peer has not yet said that it knows
        self.cwr_due = False  # we have slowed down, and have not yet told
        self.sack = engine.sack  # offered by us; after the handshake: agreed
        self.timestamps = engine.timestamps
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
        self.pace_deadline = FOREVER  # pacing
        self.heap_deadline = FOREVER  # of this connection's entry in the heap
        self.retries = 0  # retransmissions, or probes, since the peer last acknowledged anything
        self.unreachable = False  # somebody says so, and the peer has not acknowledged anything since
        self.unreachable_at = 0  # snd_una at that time
        self.probes = 0  # since the window closed: the backoff of probing; or questions whether the peer is there
        # What has become of it so far, for ``stack.tcp.info``. Payload is counted in bytes, once.
        self.bytes_acknowledged = 0
        self.bytes_received = 0
        self.segments_sent = 0
        self.segments_received = 0
        self.data_segments_sent = 0
        self.data_segments_received = 0
        self.segments_retransmitted = 0
        self.last_received = now  # an acceptable segment, with an acceptable acknowledgment
        self.stalled_since = now  # while retransmitting or probing: when the peer last got on

    def own_reassembly(self) -> Reassembly:
        """The connection's own, to be written to: until there is something out of order, it shares an empty one."""
        if self.reassembly is self.engine.nothing_held:
            self.reassembly = Reassembly()
        return self.reassembly

    def take_settings(self, settings: TcpSettings) -> None:
        """Take over what sending and receiving look at; ``stack.tcp.settings`` sees to what follows from a change."""
        self.configured = settings
        self.nagle = settings.nagle
        self.corked = settings.cork
        self.cork = settings.cork  # and nothing has pushed what it holds back since the last ``send``
        self.delayed_ack = settings.delayed_ack
        self.pacing = settings.pacing
        self.most_rate = settings.most_rate
        self.keepalive = settings.keepalive
        self.user_timeout = settings.user_timeout
        self.traffic_class = settings.diffserv << 2
        self.most_segment = settings.most_segment
        self.most_unsent = settings.most_unsent
        # A size that was set is the size for good; one that was not is where autotuning begins.
        self.most_send_buffer = settings.send_buffer or self.engine.most_send_buffer
        self.send_buffer = settings.send_buffer or self.send_buffer
        self.most_receive_buffer = largest_receive_buffer(settings, self.engine.most_receive_buffer)
        self.set_receive_buffer(min(settings.receive_buffer or self.receive_buffer, self.most_receive_buffer))

    def set_receive_buffer(self, size: int) -> None:
        """How many bytes the peer may send unread, and so how much node memory they may pin."""
        self.receive_buffer = size
        self.receive_memory = MEMORY_PER_WINDOW * size

    def limit_receive_buffer(self, most: int) -> None:
        """No more than ``most`` bytes can be offered: the window scale is agreed, once and for all."""
        self.most_receive_buffer = min(self.most_receive_buffer, most)
        if self.receive_buffer > most:
            self.set_receive_buffer(most)

    def begin_at(self, iss: int) -> None:
        """Let ``iss`` be our initial sequence number, which the peer has seen, instead of the one made for us."""
        self.iss = self.snd_una = self.snd_sml = self.rtt_sequence = iss
        self.snd_nxt = self.snd_max = (iss + 1) & MASK32

    def is_early(self) -> bool:
        """Whether the handshake is not complete, and yet the application has the connection (RFC 7413)."""
        return self.state == SYN_RECEIVED and self.fast_open is not None and self.fast_open.early

    def our_mss(self) -> int:
        """The maximum segment size we tell the peer: what fits our own link (RFC 6691: options not counted)."""
        mss = self.path.link_mtu() - self.path.header_length - HEADER_LENGTH
        return min(mss, self.most_segment) if self.most_segment else mss

    def flight(self) -> int:
        """Bytes sent and not acknowledged; a SYN or FIN counts as one."""
        return (self.snd_max - self.snd_una) & MASK32

    def pipe(self) -> int:
        """Of ``flight`` what may still be on its way: neither selectively acknowledged nor lost (RFC 6675)."""
        in_flight = (self.snd_nxt - self.snd_una) & MASK32
        if self.sent is None:
            return in_flight
        gone = self.sent.sacked_bytes + self.sent.lost_bytes
        return in_flight - gone if in_flight > gone else 0

    def records(self) -> Sent:
        """The records of what is in flight; without them, that is one segment, sent at ``last_send``."""
        if self.sent is None:
            spare = self.engine.spare_sent
            sent = spare.pop() if spare else Sent()
            sent.clear(self.snd_una)
            if self.snd_nxt != self.snd_una:
                sent.append(self.snd_nxt, self.last_send, False)
            self.sent = sent
        return self.sent

    def trouble(self) -> Losses:
        """What is remembered of losses, begun when there is the first."""
        if self.losses is None:
            self.losses = Losses()
            self.losses.recover = (self.snd_una - 1) & MASK32
        return self.losses

    def drop_records(self) -> None:
        """Nothing is in flight: give the records back."""
        sent = self.sent
        if sent is not None:
            self.sent = None
            if sent.capacity <= MOST_SPARE_RECORDS and len(self.engine.spare_sent) < SPARE_RECORDS:
                self.engine.spare_sent.append(sent)

    def fin_sent(self) -> bool:
        """Whether our FIN lies before snd_nxt."""
        return self.fin_queued and ((self.snd_nxt - self.snd_una) & MASK32) > self.queue.length

    def timestamp(self, now: int) -> int:
        """Our timestamp clock: milliseconds from an offset of the connection's own (RFC 7323 sections 5.4, 7.1)."""
        return (now // MILLISECOND + self.timestamp_offset) & MASK32
