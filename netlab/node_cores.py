"""The other cores of a node, as core 0 sees them: processes forked from it, which live and die with it.

Core 0 is the node's first process, the one a user starts and signals. It watches each other core by its pidfd, and the
kernel ends them when it dies (PR_SET_PDEATHSIG), so that of a node either all cores run or none.
"""

import contextlib
import ctypes
import gc
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from netlab.errors import NetlabError

PATIENCE = 5.0  # seconds that a core has to end before it is killed
UNPLUGGED = 3  # exit status of a core whose TAP was deleted
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class OtherCore:
    """The process of one core, and the descriptor that is readable once it has ended."""

    number: int
    pid: int
    pidfd: int


class OtherCores(InterruptHandler):
    """Cores 1 and up. ``fallen``: the number and wait status of the first that ended by itself."""

    def __init__(self, cores: list[OtherCore]) -> None:
        self._cores = cores
        self._events: EventManager | None = None
        self.fallen: tuple[int, int] | None = None

    @classmethod
    def fork(cls, count: int, run: Callable[[int], int]) -> "OtherCores":
        """Start cores 1 to ``count`` - 1: each calls ``run`` with its number, and exits with what that returns."""
        cores: list[OtherCore] = []
        sys.stdout.flush()
        sys.stderr.flush()
        first = os.getpid()
        gc.freeze()  # or a child would free garbage of ours whose memory it shares with us, a second time
        for number in range(1, count):
            pid = os.fork()
            if pid == 0:
                _be_core(number, first, [core.pidfd for core in cores], run)
            cores.append(OtherCore(number, pid, os.pidfd_open(pid)))
        gc.unfreeze()
        return cls(cores)

    def watch(self, events: EventManager) -> None:
        """Stop ``events`` as soon as one of the cores has ended."""
        self._events = events
        for core in self._cores:
            events.watch(core.pidfd, self)

    def interrupt(self) -> None:
        """A core has ended, and so does the node."""
        events = self._events
        assert events is not None
        for core in self._cores:
            if _has_ended(core.pidfd) and self.fallen is None:
                self.fallen = (core.number, os.waitpid(core.pid, 0)[1])
                self._forget(core)
        events.stop()

    def end(self) -> None:
        """End those that still run, at the latest after PATIENCE, and wait for them."""
        for core in self._cores:
            signal.pidfd_send_signal(core.pidfd, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        for core in list(self._cores):
            if not select.select([core.pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                signal.pidfd_send_signal(core.pidfd, signal.SIGKILL)
            os.waitpid(core.pid, 0)
            self._forget(core)

    def _forget(self, core: OtherCore) -> None:
        self._cores = [other for other in self._cores if other is not core]
        if self._events is not None:
            self._events.unwatch(core.pidfd)
        os.close(core.pidfd)


def _has_ended(pidfd: int) -> bool:
    return bool(select.select([pidfd], [], [], 0)[0])


def ended_how(status: int) -> str:
    """A wait status in words."""
    if os.WIFSIGNALED(status):
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(os.WTERMSIG(status)).name}"
    return f"ended with status {os.waitstatus_to_exitcode(status)}"


def _be_core(number: int, first: int, foreign: list[int], run: Callable[[int], int]) -> None:
    """The life of a forked core; never returns, so that nothing of core 0's own is run twice."""
    status = 1
    try:
        if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) or os.getppid() != first:
            raise OSError(ctypes.get_errno(), "core 0 is gone")
        for fd in foreign:
            os.close(fd)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all: core 0 tells the others
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        status = run(number)
    except NetlabError as error:
        print(f"core {number}: {error}", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(status)
