"""The zygote: a process that has everything imported, and becomes a node by forking.

It is forked off the daemon before that has a loop or a thread, takes requests from it over a socket of packets, and
does nothing else: it forks, it kills, and it tells of children that ended. As their parent it alone can do so without
mistaking a pid for an earlier one's. Its garbage collector is frozen, so that the pages it shares with its children
stay shared. When the daemon dies the kernel ends it, and with it every node.
"""

import contextlib
import ctypes
import gc
import json
import logging
import os
import select
import signal
import socket
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

logger = logging.getLogger(__name__)

LARGEST_PACKET = 4096
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15

_libc = ctypes.CDLL(None, use_errno=True)

# What a fork becomes: given its control socket and the request, it returns the exit status.
Child = Callable[[socket.socket, dict[str, Any]], int]


def fork_zygote(child: Child) -> socket.socket:
    """Fork the zygote off the calling process, which must have no other thread; returns the socket to it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    if os.fork():
        its.close()
        return ours
    try:
        ours.close()
        die_with(parent)
        name_process("iaas-zygote")
        _Zygote(its, child).run()
    except BaseException:
        traceback.print_exc()
    os._exit(1)


def die_with(parent: int) -> None:
    """Let the kernel kill this process when ``parent`` ends. To be called again after a change of user."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it had ended before
        os._exit(1)


def name_process(name: str) -> None:
    """What ``ps`` and ``top`` call this process."""
    _libc.prctl(PR_SET_NAME, name.encode())


class _Zygote:
    """The loop of the zygote."""

    def __init__(self, requests: socket.socket, child: Child) -> None:
        self._requests = requests
        self._child = child
        self._pids: dict[str, int] = {}  # of children that have not been waited for, by machine
        self._wakeups, self._wakeup = socket.socketpair()
        for end in (self._wakeups, self._wakeup):
            end.setblocking(False)

    def run(self) -> None:
        """Serve until the daemon closes its end."""
        os.dup2(2, 1)  # the daemon's standard output is for its "ready"; what nodes print goes with the errors
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup.fileno())
        gc.collect()
        gc.freeze()
        poll = select.poll()
        poll.register(self._requests, select.POLLIN)
        poll.register(self._wakeups, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._wakeups.fileno():
                    self._reap()
                elif not self._serve():
                    return

    def _serve(self) -> bool:
        """Do what the next packet asks; False when the daemon is gone."""
        packet, descriptors, _, _ = socket.recv_fds(self._requests, LARGEST_PACKET, 1)
        if not packet:
            return False
        request = json.loads(packet)
        if "kill" in request:
            pid = self._pids.get(request["kill"])
            if pid is not None:
                os.kill(pid, signal.SIGKILL)
            return True
        control = socket.socket(fileno=descriptors[0])
        try:
            self._fork(control, request)
        except OSError as error:
            self._tell({"machine": request["machine"], "ended": f"it could not be forked: {error.strerror}"})
        control.close()
        return True

    def _fork(self, control: socket.socket, request: dict[str, Any]) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._pids[request["machine"]] = pid
            self._tell({"machine": request["machine"], "pid": pid})
            return
        self._become(parent, control, request)

    def _become(self, parent: int, control: socket.socket, request: dict[str, Any]) -> NoReturn:
        """In the new process: forget the zygote and be a node."""
        status = 1
        try:
            die_with(parent)
            name_process(request["machine"])
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (self._requests, self._wakeups, self._wakeup):
                end.close()
            status = self._child(control, request)
        except BaseException:
            traceback.print_exc()
        os._exit(status)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wakeups.recv(4096)
        machines = {pid: machine for machine, pid in self._pids.items()}
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            machine = machines[pid]
            del self._pids[machine]
            self._tell({"machine": machine, "ended": how_ended(os.waitstatus_to_exitcode(status))})

    def _tell(self, document: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the daemon is gone; the next look at the socket says so
            self._requests.send(json.dumps(document).encode())


def how_ended(status: int) -> str:
    """The words for an exit status, or for a signal, which is negative."""
    if status >= 0:
        return f"its process ended with status {status}"
    return f"its process was killed by {signal.Signals(-status).name}"
