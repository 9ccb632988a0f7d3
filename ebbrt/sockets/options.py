"""``ebbrt.tcp_settings`` over a kernel socket: which socket option each setting is, and the kernel's TCP_INFO."""

import socket
import struct

from ebbrt.tcp_settings import SECOND, SettingsError, TcpSettings

MILLISECOND = 1_000_000
SO_MAX_PACING_RATE = 47  # asm-generic/socket.h
NO_RATE = 0xFFFFFFFF  # no limit
MOST_RATE = 0xFFFFFFFE  # as an option of 32 bits says it

# struct tcp_info of linux/tcp.h, as far as every kernel since 4.19 fills it. Two bytes are fields of bits.
INFO = struct.Struct("=8B24I4Q6I4Q2I2Q2I")
INFO_FIELDS = """
    state ca_state retransmits probes backoff options wscale app_limited
    rto ato snd_mss rcv_mss unacked sacked lost retrans fackets
    last_data_sent last_ack_sent last_data_recv last_ack_recv pmtu rcv_ssthresh
    rtt rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans
    pacing_rate max_pacing_rate bytes_acked bytes_received segs_out segs_in
    notsent_bytes min_rtt data_segs_in data_segs_out delivery_rate
    busy_time rwnd_limited sndbuf_limited delivered delivered_ce bytes_sent bytes_retrans dsack_dups reord_seen
"""
INFO_NAMES = tuple(f"tcpi_{name}" for name in INFO_FIELDS.split())


def apply(sock: socket.socket, settings: TcpSettings, before: TcpSettings) -> None:
    """Set what ``settings`` differ in from what is set. Raises SettingsError for an unknown congestion control.

    A size that is 0 is left as it is: the kernel has no option that turns its tuning on again.
    """
    if settings.congestion_control != before.congestion_control:
        _set_congestion_control(sock, settings.congestion_control)
    was = dict(_options(before))
    for option, value in _options(settings):
        if was.get(option) != value and value is not None:
            sock.setsockopt(*option, value)


def _options(settings: TcpSettings) -> list[tuple[tuple[int, int], int | None]]:
    """(level, option) and value of each setting; None: as the kernel has it. ``reset_on_close`` is ours to do."""
    rate = min(settings.most_rate or NO_RATE, MOST_RATE) if settings.pacing else NO_RATE
    return [
        ((socket.SOL_SOCKET, socket.SO_KEEPALIVE), settings.keepalive),
        ((socket.SOL_SOCKET, socket.SO_RCVBUF), settings.receive_buffer or None),
        ((socket.SOL_SOCKET, socket.SO_SNDBUF), settings.send_buffer or None),
        ((socket.SOL_SOCKET, SO_MAX_PACING_RATE), rate),
        ((socket.IPPROTO_IP, socket.IP_TOS), settings.diffserv << 2),
        ((socket.IPPROTO_TCP, socket.TCP_NODELAY), not settings.nagle),
        ((socket.IPPROTO_TCP, socket.TCP_CORK), settings.cork),
        ((socket.IPPROTO_TCP, socket.TCP_QUICKACK), not settings.delayed_ack),
        ((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), settings.keepalive_idle // SECOND),
        ((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL), settings.keepalive_interval // SECOND),
        ((socket.IPPROTO_TCP, socket.TCP_KEEPCNT), settings.keepalive_probes),
        ((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT), settings.user_timeout // MILLISECOND),
        ((socket.IPPROTO_TCP, socket.TCP_SYNCNT), settings.syn_retransmissions or None),
        ((socket.IPPROTO_TCP, socket.TCP_LINGER2), settings.fin_wait_2_time // SECOND),
        ((socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP), settings.window_clamp or None),
        ((socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT), settings.most_unsent or None),
        ((socket.IPPROTO_TCP, socket.TCP_MAXSEG), settings.most_segment or None),
    ]


def _set_congestion_control(sock: socket.socket, name: str) -> None:
    """No name is that of the kernel's default."""
    if not name:
        return
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
    except OSError as error:
        raise SettingsError(f"no congestion control {name!r} in this kernel: {error.strerror}") from error


def info(sock: socket.socket) -> dict[str, int]:
    """TCP_INFO, with the fields of bits taken apart."""
    packed = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, INFO.size)
    fields = dict(zip(INFO_NAMES, INFO.unpack(packed), strict=True))
    scales = fields.pop("tcpi_wscale")
    del fields["tcpi_app_limited"], fields["tcpi_fackets"], fields["tcpi_last_ack_sent"]  # of no use, or never filled
    return {**fields, "tcpi_snd_wscale": scales & 15, "tcpi_rcv_wscale": scales >> 4}
