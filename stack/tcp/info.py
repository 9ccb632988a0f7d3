"""How a connection is doing: a snapshot under the names that Linux's TCP_INFO has for it, in its units and codes.

So a script, a plot or a person reads the same of a node's connection as of a Linux host's. Windows of congestion are
in segments, times in microseconds (``last_...``: milliseconds, since then or since the handshake). Bytes are payload;
a FIN, and the SYN of who opens the connection, count as one each. What this stack does not know is left out.
"""

from stack.tcp.constants import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    DELAYED_ACK_TIME,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    LOSS,
    LOST,
    MILLISECOND,
    MOST_WINDOW,
    OPEN,
    RECOVERY,
    REDUCED,
    RESENT,
    SACKED,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    TIMER_PERSIST,
    TIMESTAMPS_LENGTH,
)
from stack.tcp.tcb import Tcb

MICROSECOND = 1000
LINUX_STATES = {  # include/net/tcp_states.h
    ESTABLISHED: 1,
    SYN_SENT: 2,
    SYN_RECEIVED: 3,
    FIN_WAIT_1: 4,
    FIN_WAIT_2: 5,
    TIME_WAIT: 6,
    CLOSED: 7,
    CLOSE_WAIT: 8,
    LAST_ACK: 9,
    LISTEN: 10,
    CLOSING: 11,
}
PEER_HAS_CLOSED = (CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT)
OPTION_TIMESTAMPS = 1  # TCPI_OPT_ of linux/tcp.h
OPTION_SACK = 2
OPTION_WINDOW_SCALE = 4
OPTION_ECN = 8
OPTION_SYN_DATA = 32
CA_OPEN = 0  # TCP_CA_ of linux/tcp.h
CA_DISORDER = 1
CA_REDUCED = 2
CA_RECOVERY = 3
CA_LOSS = 4
NEVER_SET = 0x7FFFFFFF  # a slow start threshold that no loss has set


def info(connection: Tcb, now: int) -> dict[str, int]:
    """The snapshot; of a connection that has ended there is none."""
    if connection.state == CLOSED:
        return {}
    return {
        "tcpi_state": LINUX_STATES[connection.state],
        "tcpi_options": _options(connection),
        "tcpi_snd_wscale": connection.snd_wnd_shift,
        "tcpi_rcv_wscale": connection.rcv_wnd_shift,
        "tcpi_pmtu": connection.path.mtu,
        "tcpi_advmss": connection.our_mss() - (TIMESTAMPS_LENGTH if connection.timestamps else 0),
        "tcpi_last_data_sent": (now - connection.last_send) // MILLISECOND,
        "tcpi_last_data_recv": (now - connection.last_data_received) // MILLISECOND,
        "tcpi_last_ack_recv": (now - connection.last_received) // MILLISECOND,
        **_timers(connection),
        **_sending(connection),
        **_receiving(connection),
    }


def _options(connection: Tcb) -> int:
    """Which options both ends agreed on, and whether data in a SYN was acknowledged with it."""
    return (
        (OPTION_TIMESTAMPS if connection.timestamps else 0)
        | (OPTION_SACK if connection.sack else 0)
        | (OPTION_ECN if connection.ecn else 0)
        | (OPTION_WINDOW_SCALE if connection.window_scaling else 0)
        | (OPTION_SYN_DATA if connection.syn_data else 0)
    )


def _timers(connection: Tcb) -> dict[str, int]:
    """Round trips, timeouts, and how often they have run out in a row."""
    rtt = connection.rtt
    probing = connection.timer == TIMER_PERSIST
    return {
        "tcpi_retransmits": 0 if probing else connection.retries,
        "tcpi_probes": connection.probes,
        "tcpi_backoff": connection.probes if probing else connection.retries,
        "tcpi_rto": rtt.rto // MICROSECOND,
        "tcpi_ato": DELAYED_ACK_TIME // MICROSECOND if connection.bytes_received else 0,
        "tcpi_rtt": rtt.srtt // MICROSECOND,
        "tcpi_rttvar": rtt.rttvar // MICROSECOND,
        "tcpi_min_rtt": rtt.least // MICROSECOND,
        "tcpi_rcv_rtt": connection.rcv_rtt // MICROSECOND,
    }


def _sending(connection: Tcb) -> dict[str, int]:
    """What is in flight, and what may be."""
    congestion = connection.congestion
    queue = connection.queue
    mss = connection.snd_mss
    ssthresh = congestion.ssthresh
    return {
        "tcpi_ca_state": _congestion_state(connection),
        "tcpi_snd_mss": mss,
        "tcpi_snd_cwnd": congestion.cwnd // mss,
        "tcpi_snd_ssthresh": NEVER_SET if ssthresh >= MOST_WINDOW else ssthresh // mss,
        "tcpi_snd_wnd": connection.snd_wnd,
        **_segments(connection),
        "tcpi_notsent_bytes": queue.length - queue.sent,
        "tcpi_total_retrans": connection.segments_retransmitted,
        "tcpi_bytes_acked": connection.bytes_acknowledged,
        "tcpi_segs_out": connection.segments_sent,
        "tcpi_data_segs_out": connection.data_segments_sent,
        "tcpi_max_pacing_rate": connection.most_rate or (1 << 64) - 1,
    }


def _segments(connection: Tcb) -> dict[str, int]:
    """How many segments are in flight, and what is known of them.

    What is lost stays so until it has arrived, though it has been sent again. What a loss probe repeats is not lost.
    """
    mss = connection.snd_mss
    sent = connection.sent
    fin = connection.fin_sent()
    if sent is None:
        flight = connection.flight()
        unacked = -(-(flight - 1 if fin and flight > 1 else flight) // mss)
        return {"tcpi_unacked": unacked, "tcpi_sacked": 0, "tcpi_lost": 0, "tcpi_retrans": 0}
    recovering = connection.recovery_state in (RECOVERY, LOSS)
    return {
        "tcpi_unacked": sent.segments(mss, fin, 0, 0),
        "tcpi_sacked": sent.segments(mss, fin, SACKED, 0) if connection.sack else sent.sacked_segments,
        "tcpi_lost": sent.segments(mss, fin, LOST | RESENT if recovering else LOST, 0),
        "tcpi_retrans": sent.segments(mss, fin, RESENT, LOST),
    }


def _receiving(connection: Tcb) -> dict[str, int]:
    """What has come in, and what may."""
    return {
        "tcpi_rcv_mss": connection.rcv_mss,
        "tcpi_rcv_space": connection.rcv_space,
        "tcpi_rcv_ssthresh": connection.receive_buffer,
        "tcpi_bytes_received": connection.bytes_received + (connection.state in PEER_HAS_CLOSED),  # its FIN counts
        "tcpi_segs_in": connection.segments_received,
        "tcpi_data_segs_in": connection.data_segments_received,
    }


def _congestion_state(connection: Tcb) -> int:
    """TCP_CA_: what loss recovery is at."""
    state = connection.recovery_state
    if state == OPEN:
        return CA_DISORDER if connection.sent is not None and connection.sent.sacked_bytes else CA_OPEN
    return CA_REDUCED if state == REDUCED else CA_RECOVERY if state == RECOVERY else CA_LOSS
