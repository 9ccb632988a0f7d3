"""Snippets of Python in a script: assertions over the fields of TCP_INFO, by the names Linux has for them.

A snippet runs when its time has come, with the fields of the connection under test as they are then; what it defines
stays for the next one. It is a program like any other, and does what it likes, as in packetdrill: run only scripts
that you trust.
"""

from typing import Any

CONSTANTS: dict[str, int] = {
    "TCPI_OPT_TIMESTAMPS": 1,
    "TCPI_OPT_SACK": 2,
    "TCPI_OPT_WSCALE": 4,
    "TCPI_OPT_ECN": 8,
    "TCPI_OPT_ECN_SEEN": 16,
    "TCPI_OPT_SYN_DATA": 32,
    "TCP_CA_Open": 0,
    "TCP_CA_Disorder": 1,
    "TCP_CA_CWR": 2,
    "TCP_CA_Recovery": 3,
    "TCP_CA_Loss": 4,
    "TCP_ESTABLISHED": 1,
    "TCP_SYN_SENT": 2,
    "TCP_SYN_RECV": 3,
    "TCP_FIN_WAIT1": 4,
    "TCP_FIN_WAIT2": 5,
    "TCP_TIME_WAIT": 6,
    "TCP_CLOSE": 7,
    "TCP_CLOSE_WAIT": 8,
    "TCP_LAST_ACK": 9,
    "TCP_LISTEN": 10,
    "TCP_CLOSING": 11,
}
# What is said of a socket without a connection: struct tcp_info up to tcpi_total_retrans, all zero but for the state.
FIELD_NAMES = """
    ca_state retransmits probes backoff options snd_wscale rcv_wscale rto ato snd_mss rcv_mss unacked sacked lost
    retrans fackets last_data_sent last_ack_sent last_data_recv last_ack_recv pmtu rcv_ssthresh rtt rttvar
    snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space total_retrans
"""
CLOSED_FIELDS: dict[str, int] = {f"tcpi_{name}": 0 for name in FIELD_NAMES.split()}
CLOSED_FIELDS["tcpi_state"] = CONSTANTS["TCP_CLOSE"]


class Snippets:
    """The namespace in which the snippets of one script run."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = dict(CONSTANTS)

    def run(self, path: str, line: int, text: str, fields: dict[str, int]) -> str:
        """Run a snippet that stands at ``line``; what went wrong, or ''. fields: none of a connection that is gone."""
        self._names.update(fields or CLOSED_FIELDS)
        try:
            exec(compile("\n" * (line - 1) + text, path, "exec"), self._names)
        except AssertionError as error:
            return f"the assertion does not hold{f': {error}' if error.args else ''}"
        except SyntaxError as error:
            return f"the snippet is not Python: {error.msg}"
        except Exception as error:
            return f"the snippet raised {type(error).__name__}: {error}"
        return ""
