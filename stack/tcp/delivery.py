"""Upcalls: handing an application what has happened, in order, and holding it back while the application is paused.

An upcall may call anything on its connection. ``in_upcall`` makes ``send`` only queue meanwhile, so that all replies
leave together; whoever made the upcall calls ``output`` afterwards. An upcall may be the end of the connection, which
then lets go of its handler (``tell_closed``): so each holds on to the handler until it has returned. Data that arrives
while an application is paused is held, and with it everything that comes after it: the peer's FIN, and an orderly end.
"""

from ebbrt.iobuf import IOBuf
from stack.tcp.reassembly import last_piece
from stack.tcp.tcb import NO_HANDLER, Tcb


def deliver(connection: Tcb, chain: IOBuf) -> None:
    """Give received bytes to the application, or hold them."""
    if connection.paused or connection.in_upcall or connection.held is not None:
        if connection.held_last is None:
            connection.held = chain
        else:
            connection.held_last.next = chain
        connection.held_last = last_piece(chain)
        connection.held_pinned += chain.pinned()
        return
    handler = connection.handler
    connection.in_upcall = True
    try:
        handler.receive(chain)
    finally:
        connection.in_upcall = False
    if connection.held is not None:
        flush(connection)


def flush(connection: Tcb) -> None:
    """Give the application what was held, as far as it does not pause again."""
    if connection.in_upcall:
        return
    while connection.held is not None and not connection.paused:
        chain = connection.held
        drop_held(connection)
        handler = connection.handler
        connection.in_upcall = True
        try:
            handler.receive(chain)
        finally:
            connection.in_upcall = False
    if connection.held is not None:
        return
    if connection.peer_closed_due:
        tell_peer_closed(connection)
    if connection.closed_reason:
        tell_closed(connection, connection.closed_reason)


def drop_held(connection: Tcb) -> None:
    """Hold nothing any more."""
    connection.held = None
    connection.held_last = None
    connection.held_pinned = 0


def tell_connected(connection: Tcb) -> None:
    """The handshake is complete."""
    handler = connection.handler
    connection.in_upcall = True
    try:
        handler.connected()
    finally:
        connection.in_upcall = False
    flush(connection)


def tell_window_opened(connection: Tcb) -> None:
    """The send buffer has room again."""
    handler = connection.handler
    connection.in_upcall = True
    try:
        handler.send_window_opened()
    finally:
        connection.in_upcall = False
    flush(connection)


def tell_peer_closed(connection: Tcb) -> None:
    """The peer's FIN has been reached, if not in the data then in what is delivered of it."""
    if connection.held is not None or connection.in_upcall:
        connection.peer_closed_due = True
        return
    connection.peer_closed_due = False
    handler = connection.handler
    connection.in_upcall = True
    try:
        handler.peer_closed()
    finally:
        connection.in_upcall = False


def tell_closed(connection: Tcb, reason: str) -> None:
    """The last upcall; after an orderly end it waits for held data, after any other that data is lost.

    Afterwards the connection knows no handler, which breaks the circle of references between the two.
    """
    if reason == "closed" and (connection.held is not None or connection.peer_closed_due):
        connection.closed_reason = reason
        return
    connection.closed_reason = ""
    drop_held(connection)
    connection.peer_closed_due = False
    handler = connection.handler
    connection.handler = NO_HANDLER
    handler.closed(reason)
