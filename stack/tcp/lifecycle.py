"""How connections change state, end, and are forgotten."""

from ebbrt.constants import FOREVER
from stack.tcp.autotune import give_back
from stack.tcp.constants import CLOSED, LISTEN, MOST_TIME_WAIT, TIME_WAIT_TIME, TIMER_TIME_WAIT
from stack.tcp.delivery import tell_closed
from stack.tcp.state import END, PASSIVE_OPEN, next_state
from stack.tcp.tcb import Tcb
from stack.tcp.timers import arm, disarm


def transition(connection: Tcb, event: str) -> None:
    """Take the connection through the table of ``stack.tcp.state``, and keep count of the states."""
    states = connection.engine.counters.states
    if connection.state != CLOSED:
        states[connection.state] -= 1
    connection.state = next_state(connection.state, event)
    if connection.state != CLOSED:
        states[connection.state] += 1


def passive_open(connection: Tcb) -> None:
    """A connection that a SYN made begins where its listener is."""
    connection.state = next_state(CLOSED, PASSIVE_OPEN)
    assert connection.state == LISTEN
    connection.engine.counters.states[LISTEN] += 1


def end(connection: Tcb, reason: str) -> None:
    """Forget the connection whatever its state, and tell the application (TcpHandler.closed has the reasons)."""
    if connection.state == CLOSED:
        return
    transition(connection, END)
    forget(connection)
    tell_closed(connection, reason)


def give_up(connection: Tcb) -> None:
    """The peer has not answered for too long; if somebody said why, that is the reason (RFC 1122 section 4.2.3.9)."""
    unreachable = connection.unreachable and connection.unreachable_at == connection.snd_una
    end(connection, "unreachable" if unreachable else "timeout")


def forget(connection: Tcb) -> None:
    """Take a connection that is CLOSED out of the engine, and let go of what it holds."""
    engine = connection.engine
    engine.connections.remove(connection)
    engine.time_wait.pop(connection, None)
    if connection.listener is not None:
        connection.listener.pending -= 1
        fast_open = connection.fast_open
        if fast_open is not None and fast_open.early:
            connection.listener.fast_open.pending -= 1
        connection.listener = None
    engine.counters.closed += 1
    disarm(connection)
    connection.ack_deadline = FOREVER
    give_back(connection)
    connection.queue.clear()
    connection.reassembly.clear()


def enter_time_wait(connection: Tcb, now: int) -> None:
    """Both directions have ended: wait for delayed duplicates to die. The application is done with it now.

    There is a most of them: beyond, the oldest makes room, since a node must not run out of memory by being correct.
    """
    engine = connection.engine
    engine.time_wait[connection] = None
    arm(connection, TIMER_TIME_WAIT, now + TIME_WAIT_TIME)
    connection.reassembly.clear()
    if len(engine.time_wait) > MOST_TIME_WAIT:
        oldest, _ = engine.time_wait.popitem(last=False)
        assert isinstance(oldest, Tcb)
        engine.counters.time_wait_evicted += 1
        end(oldest, "closed")
    tell_closed(connection, "closed")
