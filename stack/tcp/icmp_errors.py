"""ICMP errors about segments of ours: what they may do to a connection (RFC 1122 section 4.2.3.9, RFC 5927, RFC 5461).

Anyone may forge one who guesses ports and addresses. So an error counts only if it quotes a sequence number that is in
flight (RFC 5927 section 4.1), and then it says little: a connection that is open is never ended by one, whatever the
RFCs once called a hard error (section 5.2); it goes on retransmitting, and if that is in vain, the error becomes the
reason (RFC 5461 section 4.2). An attempt to connect, or a handshake with a host that does not exist, is ended at once:
RFC 1122 has that for hard errors only, but Linux and others do so for all that say "unreachable" (RFC 5461 section
4.1), since whoever waits for an answer would rather try the next address. Errors of routing that pass by themselves
(time exceeded, parameter problem) end nothing.

"Packet too big" is the business of ``stack.tcp.path_mtu``. Source quench never comes here: ICMP ignores it (RFC 6633).
"""

from stack.constants import ERROR_PARAMETER, ERROR_PORT, ERROR_PROTOCOL, ERROR_TIME_EXCEEDED, ERROR_TOO_BIG
from stack.tcp.constants import SYN_RECEIVED, SYN_SENT
from stack.tcp.engine import Engine
from stack.tcp.handshake import syn_too_long
from stack.tcp.lifecycle import end
from stack.tcp.output import output
from stack.tcp.path_mtu import packet_too_big
from stack.tcp.sequence import seq_le, seq_lt
from stack.tcp.tcb import Tcb
from stack.transport import IcmpError


def icmp_error_arrives(engine: Engine, error: IcmpError, now: int) -> None:
    """Take what somebody says of a segment of ours."""
    engine.counters.icmp_errors += 1
    connection = engine.connections.find(
        error.local_high,
        error.local_low,
        error.local_port,
        error.remote_high,
        error.remote_low,
        error.remote_port,
    )
    if not isinstance(connection, Tcb) or not _is_in_flight(connection, error.sequence):
        engine.counters.icmp_errors_ignored += 1
        return
    if error.kind == ERROR_TOO_BIG:
        if packet_too_big(connection, error.mtu, now):
            if connection.state == SYN_SENT:
                syn_too_long(connection, now)
            output(connection, now)
    elif connection.state > SYN_RECEIVED or error.kind in (ERROR_TIME_EXCEEDED, ERROR_PARAMETER):
        connection.unreachable = True
        connection.unreachable_at = connection.snd_una
    else:
        end(connection, "refused" if error.kind in (ERROR_PORT, ERROR_PROTOCOL) else "unreachable")


def _is_in_flight(connection: Tcb, sequence: int) -> bool:
    return seq_le(connection.snd_una, sequence) and seq_lt(sequence, connection.snd_max)
