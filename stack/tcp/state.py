"""The states of a TCP connection, as a table of transitions (RFC 9293 section 3.3.2, Figure 5).

A connection is born in one of two ways. The active side opens, sends SYN and waits in SYN-SENT; the passive side
waits in LISTEN, which here is a ``Listener`` and not a connection, and a SYN makes a connection in SYN-RECEIVED. A
SYN that answers ours and acknowledges it leads straight to ESTABLISHED; a SYN that crosses ours (simultaneous open)
leads to SYN-RECEIVED on both sides, and the acknowledgment of our SYN from there to ESTABLISHED.

The two directions end separately. Our CLOSE sends a FIN: FIN-WAIT-1 until it is acknowledged, then FIN-WAIT-2 until
the peer closes as well. The peer's FIN first: CLOSE-WAIT until we close, then LAST-ACK until our FIN is
acknowledged, and nothing remains. When both FINs cross, CLOSING waits for the acknowledgment of ours. Whoever closed
first, or at the same time, ends in TIME-WAIT, so that delayed duplicates of this connection cannot reach the next one
between the same ports, and so that a lost last ACK can be repeated.

Two rules keep the table small. The state is that of the *calls*: CLOSE moves to FIN-WAIT-1 or LAST-ACK at once, while
data may still be queued before the FIN. And everything that kills a connection (a reset, an abort, a timeout) is the
one event END, which leads from every state to CLOSED.

A transition that is not in the table is a bug of this engine, never of a peer: input is checked before it is an event.
"""

from stack.tcp.constants import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    LISTEN,
    STATE_NAMES,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
)

ACTIVE_OPEN = "active open"
PASSIVE_OPEN = "passive open"
RECEIVE_SYN = "receive SYN"
SYN_ACKNOWLEDGED = "our SYN acknowledged"
CLOSE = "close"
RECEIVE_FIN = "receive FIN"
FIN_ACKNOWLEDGED = "our FIN acknowledged"
END = "end"

TRANSITIONS = {
    (CLOSED, PASSIVE_OPEN): LISTEN,
    (CLOSED, ACTIVE_OPEN): SYN_SENT,
    (LISTEN, RECEIVE_SYN): SYN_RECEIVED,
    (SYN_SENT, RECEIVE_SYN): SYN_RECEIVED,
    (SYN_SENT, SYN_ACKNOWLEDGED): ESTABLISHED,
    (SYN_RECEIVED, SYN_ACKNOWLEDGED): ESTABLISHED,
    (ESTABLISHED, CLOSE): FIN_WAIT_1,
    (ESTABLISHED, RECEIVE_FIN): CLOSE_WAIT,
    (FIN_WAIT_1, FIN_ACKNOWLEDGED): FIN_WAIT_2,
    (FIN_WAIT_1, RECEIVE_FIN): CLOSING,
    (FIN_WAIT_2, RECEIVE_FIN): TIME_WAIT,
    (CLOSING, FIN_ACKNOWLEDGED): TIME_WAIT,
    (CLOSE_WAIT, CLOSE): LAST_ACK,
    (LAST_ACK, FIN_ACKNOWLEDGED): CLOSED,
    **{(state, END): CLOSED for state in range(SYN_SENT, TIME_WAIT + 1)},
}


def next_state(state: int, event: str) -> int:
    """The state that ``event`` leads to. Raises RuntimeError for a transition that is not in the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise RuntimeError(f"TCP: {event} in state {STATE_NAMES[state]}") from None


def dot() -> str:
    """The table as a Graphviz graph, for the documentation (END is left out: it is everywhere)."""
    edges = "".join(
        f'  {STATE_NAMES[state]} -> {STATE_NAMES[after]} [label="{event}"];\n'
        for (state, event), after in TRANSITIONS.items()
        if event != END
    )
    return f"digraph tcp {{\n{edges}}}\n"
