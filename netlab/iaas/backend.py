"""What a fork of the zygote becomes: a node that boots, lies dormant until its boot message, and then is a back-end.

On the control channel to the daemon it says that it is ``dormant``, every second that it is ``alive``, and in the end
that it is ``ready`` or has ``failed``, and why. The end of that channel is the end of the node.
"""

import fcntl
import importlib
import inspect
import io
import logging
import os
import socket
import struct
import sys
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Interface
from typing import Any, TextIO

from drivers.virtio.tap import set_up
from ebbrt.events.handlers import InterruptHandler
from ebbrt.future import Future, when_all
from ebbrt.lines import LineReader, encode
from ebbrt.messages import NodeId
from ebbrt.mistakes import told, wants_traceback
from ebbrt.runtime import MESSENGER_PORT, Identity, Runtime, become_back_end, start
from netlab import python
from netlab.errors import NetlabError
from netlab.iaas.zygote import die_with
from netlab.node import Node, NodeConfig

logger = logging.getLogger(__name__)

ALIVE_INTERVAL = 1_000_000_000  # ns
RING_SIZE = 128  # descriptors: an eighth of a MiB of posted buffers, since there may be a hundred such nodes

SIOCBRADDIF = 0x89A2  # linux/sockios.h


def run_node(control: socket.socket, request: dict[str, Any]) -> int:
    """Be the node that the daemon's request describes, until the control channel ends; returns the exit status."""
    config = NodeConfig(
        application=None,
        tap=request["machine"],
        address=IPv4Interface(f"{request['address']}/{request['prefix_length']}"),
        memory=request["memory"],
        cores=request["cores"],
        ring_size=RING_SIZE,
        make_tap=True,
    )
    try:
        node = Node.boot(config)
        join_bridge(request["machine"], request["bridge"])
    except (NetlabError, OSError) as error:
        control.sendall(encode({"failed": f"it did not boot: {error}"}))
        return 1
    back_end = BackEnd(node, control)
    try:
        node.run(ready=back_end.announce)
    except NetlabError as error:  # a core has died, or the TAP was deleted
        back_end.fail(str(error))
        return 1
    finally:
        node.close()
    return 0


def join_bridge(tap: str, bridge: str) -> None:
    """Make the TAP a port of the bridge, and set it up. By ioctls, so that no other process has a part in it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        index = socket.if_nametoindex(tap)
        fcntl.ioctl(any_socket, SIOCBRADDIF, struct.pack("16si20x", bridge.encode(), index))
    set_up(tap)


class NamedOutput(io.TextIOBase):
    """What a node prints, each line with the node's name in front, written as one."""

    def __init__(self, stream: TextIO, number: int) -> None:
        self._stream = stream
        self._name = f"node {number}: "
        self._line = ""

    def write(self, text: str) -> int:
        """Write the lines that ``text`` completes."""
        *lines, self._line = (self._line + text).split("\n")
        if lines:
            self._stream.write("".join(f"{self._name}{line}\n" for line in lines))
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Lines are written when they are complete."""

    def fileno(self) -> int:
        """That of the stream below."""
        return self._stream.fileno()


def prepare(uid: int, gid: int, path: str, number: int) -> None:
    """On every core: name what it prints, let modules in ``path`` be found, and go on as the node's user.

    That user's code is about to run.
    """
    become_back_end()
    sys.stdout = NamedOutput(sys.stdout, number)
    if path:
        python.let_in(path)
    if uid != os.geteuid():
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        die_with(os.getppid())  # the kernel forgets that with a change of user


def function_of(application: str) -> Callable[[Runtime], object]:
    """The function that ``package.module:function`` names. Raises what importing does."""
    module, _, name = application.partition(":")
    function = getattr(importlib.import_module(module), name)
    if not callable(function):
        raise TypeError(f"{application} is not a function")
    return function  # type: ignore[no-any-return]


def _log(error: Exception) -> None:
    """Log a mistake of the application's: where, and what; the front-end is told the same."""
    logger.error("%s", told(error), exc_info=error if wants_traceback() else None)


def identity_of(boot: dict[str, Any], address: str) -> Identity:
    """Which node of which application the boot message makes of this one. Raises ValueError."""
    return Identity(
        local=NodeId(boot["number"], address, MESSENGER_PORT),
        front_end=NodeId.parse(boot["front_end"]),
        secret=bytes.fromhex(boot["secret"]),
        argv=tuple(boot["argv"]),
    )


def answer() -> None:
    """Called on another core: that it returns is the answer."""


class BackEnd(InterruptHandler):
    """The node's end of the control channel."""

    def __init__(self, node: Node, control: socket.socket) -> None:
        self._node = node
        self._control = control
        self._reader = LineReader()
        control.setblocking(False)

    def announce(self) -> None:
        """Tell the daemon that the node has booted, and from now on that it lives."""
        self._node.events.watch(self._control.fileno(), self)
        self._tell({"dormant": True})
        self._node.events.set_timer(ALIVE_INTERVAL, self._alive)

    def interrupt(self) -> None:
        """Take what the daemon says."""
        try:
            data = self._control.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionResetError:  # it was killed
            data = b""
        if not data:  # the daemon has gone
            self._node.events.stop()
            return
        for document in self._reader.feed(data):
            self._boot(document["boot"])

    def _alive(self) -> None:
        """Tell the daemon, once every core has answered: a node of which a core hangs does not live."""
        links = self._node.links
        when_all([links.call(core, answer) for core in range(1, links.count)]).when_done(self._all_alive)
        self._node.events.set_timer(ALIVE_INTERVAL, self._alive)

    def _all_alive(self, answers: Future[list[None]]) -> None:
        if answers.error() is None:
            self._tell({"alive": True})

    def _boot(self, boot: dict[str, Any]) -> None:
        """Become the back-end of an application, on every core."""
        logging.basicConfig(force=True, format=f"node {boot['number']}: %(levelname)s: %(message)s")
        user = (boot["uid"], boot["gid"], boot["path"], boot["number"])
        links = self._node.links
        prepared = when_all([links.call(core, prepare, *user) for core in range(links.count)])
        prepared.when_done(lambda done: self._join(done, boot))

    def _join(self, prepared: Future[list[None]], boot: dict[str, Any]) -> None:
        """Join the application, which takes as long as the front-end takes to answer."""
        application = boot["application"]
        try:
            prepared.result()
            function = function_of(application)
            joined = start(identity_of(boot, self._node.address))
        except Exception as error:
            _log(error)
            self.fail(f"{application} cannot be had: {told(error)}")
            return
        joined.when_done(lambda done: self._run(done, application, function))

    def _run(self, joined: Future[Runtime], application: str, function: Callable[[Runtime], object]) -> None:
        error = joined.error()
        if error is not None:
            self.fail(f"its front-end cannot be reached: {told(error)}")
            return
        self._node.events.spawn(partial(self._call, application, function, joined.result()))

    async def _call(self, application: str, function: Callable[[Runtime], object], runtime: Runtime) -> None:
        """Start the application; the node is ready when its function has returned."""
        try:
            result = function(runtime)
            if inspect.isawaitable(result):  # an ``async def`` function, or one that returns a future
                await result
        except Exception as error:
            _log(error)
            self.fail(f"{application} failed: {told(error)}")
        else:
            self._tell({"ready": MESSENGER_PORT})

    def fail(self, reason: str) -> None:
        """Tell the daemon, which ends this node."""
        self._tell({"failed": reason})

    def _tell(self, document: dict[str, Any]) -> None:
        try:
            self._control.send(encode(document))
        except BlockingIOError:  # a daemon that does not listen will not miss it
            pass
        except OSError:
            self._node.events.stop()
