"""The fields of TCP_INFO that a snippet sees, of the connection under test."""

from netlab.script.stream_socket import StreamSocket

# Linux's numbers of the states, by ours (stack.tcp.constants).
LINUX_STATES = (7, 10, 2, 3, 1, 4, 5, 8, 11, 9, 6)


def tcp_info_fields(socket: StreamSocket | None) -> dict[str, int]:
    """Names and values; none without a connection."""
    if socket is None or socket.connection is None:
        return {}
    connection = socket.connection
    mss = connection.snd_mss
    return {
        "tcpi_state": LINUX_STATES[connection.state],
        "tcpi_options": (1 if connection.timestamps else 0) | (4 if connection.window_scaling else 0),
        "tcpi_snd_wscale": connection.snd_wnd_shift,
        "tcpi_rcv_wscale": connection.rcv_wnd_shift,
        "tcpi_retransmits": connection.retries,
        "tcpi_rto": connection.rtt.rto // 1000,
        "tcpi_snd_mss": mss,
        "tcpi_rcv_mss": connection.rcv_mss,
        "tcpi_snd_cwnd": connection.congestion.cwnd // mss,
        "tcpi_unacked": (connection.flight() + mss - 1) // mss,
    }
