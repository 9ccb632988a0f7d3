"""Signals as interrupts of the event loop: their numbers come through a socket that the loop watches."""

import contextlib
import signal
import socket
from collections.abc import Callable, Mapping

from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler


class Signals(InterruptHandler):
    """While it is entered, the signals named in ``actions`` call their functions, as events of the loop.

    A signal that is ignored stays so.
    """

    def __init__(self, events: EventManager, actions: Mapping[signal.Signals, Callable[[], object]]) -> None:
        self._events = events
        self._actions = actions

    def __enter__(self) -> "Signals":
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._write.fileno())
        self._handlers = {
            number: signal.signal(number, lambda *_: None)
            for number in self._actions
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        self._events.watch(self._read.fileno(), self)
        return self

    def __exit__(self, *_: object) -> None:
        self._events.unwatch(self._read.fileno())
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._read.close()
        self._write.close()

    def interrupt(self) -> None:
        """Act on the signals that came."""
        with contextlib.suppress(BlockingIOError):
            for number in self._read.recv(64):
                self._actions[signal.Signals(number)]()
