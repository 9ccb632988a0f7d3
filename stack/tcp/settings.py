"""Changing what is set for a connection while it runs: ``ebbrt.tcp_settings`` over this stack.

``Tcb.take_settings`` takes the values over; here is what follows from a change. A listener's connections begin with
its settings, so nothing follows there.
"""

from ebbrt.tcp_settings import TcpSettings
from stack.tcp.constants import CLOSED, ESTABLISHED, TIMER_KEEPALIVE
from stack.tcp.controllers import congestion_controller
from stack.tcp.output import output
from stack.tcp.tcb import Tcb
from stack.tcp.timers import disarm


def configure(connection: Tcb, settings: TcpSettings) -> None:
    """Set it all, at any time; what was held back by the old settings leaves now. Raises SettingsError.

    Turning Nagle's algorithm off sends what is queued even under a cork, which holds what comes behind (tcp(7)).
    """
    before = connection.configured
    if settings is before or connection.state == CLOSED:
        return
    if settings.congestion_control != before.congestion_control:
        _change_controller(connection, settings.congestion_control)
    connection.take_settings(settings)
    if connection.state < ESTABLISHED:
        return
    connection.limit_receive_buffer(0xFFFF << connection.rcv_wnd_shift)
    if connection.timer == TIMER_KEEPALIVE:
        disarm(connection)  # output arms it again, with the new times, if there is to be one
    if before.nagle and not settings.nagle:
        connection.cork = False
    if not connection.in_upcall:
        output(connection, connection.engine.clock.now())


def push(connection: Tcb) -> None:
    """Send what a cork holds back; it holds what comes behind. What the window does not let go now, leaves with it."""
    if connection.state >= ESTABLISHED:
        connection.cork = False
        if not connection.in_upcall:
            output(connection, connection.engine.clock.now())


def _change_controller(connection: Tcb, name: str) -> None:
    """Another congestion control goes on from the windows of the one before."""
    controller = congestion_controller(name, connection.snd_mss)
    controller.take_over(connection.congestion)
    connection.congestion = controller
