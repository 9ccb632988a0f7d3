"""Where nodes come from: the interface of a provider, and the one we have, the simulated IaaS.

A provider boots nodes and gives them back, and tells when one has died. The Node Allocator decides which number a node
has; the provider, where it runs. Ours is a daemon (``netlab.iaas``) behind a Unix socket: JSON objects, one a line.
"""

import socket
from typing import Any, NamedTuple

from ebbrt.events.event_manager import EventManager
from ebbrt.events.handlers import InterruptHandler
from ebbrt.events.timers import Timer
from ebbrt.future import Future, Promise, TimedOutError, ready
from ebbrt.lines import LONGEST_LINE, LineError, LineReader, encode
from ebbrt.messages import NodeId

CONNECT_SECONDS = 5.0
# What ``netlab run`` puts into the environment of a front-end:
SOCKET_VARIABLE = "EBBRT_IAAS"  # the path of the daemon's socket
ADDRESS_VARIABLE = "EBBRT_ADDRESS"  # the front-end's own address on the nodes' network
READABLE = 0x001  # EPOLLIN
WRITABLE = 0x004  # EPOLLOUT


class NodeAllocationError(RuntimeError):
    """A node could not be had."""


class NodeLimitError(NodeAllocationError):
    """It would be more than this user may have."""


class NodeFailedError(NodeAllocationError):
    """The node died before it was ready, or its application's function could not be had or raised there."""


class ProviderLostError(NodeAllocationError):
    """The provider is gone, and with it all nodes."""


class Boot(NamedTuple):
    """What a node is told when it stops being nobody's.

    application: "package.module:function", called on the node as ``function(runtime)``. argv: what the front-end was
    started with. path: a directory where modules are looked for too. secret: what the nodes of this application
    prove to each other that they have. cores, memory (bytes): the node's shape; None for what the provider thinks fit.
    """

    number: int
    application: str
    argv: tuple[str, ...]
    path: str
    secret: bytes
    front_end: NodeId
    cores: int = 1
    memory: int | None = None


class ProviderListener:
    """Who is told what happens to nodes that were ready."""

    def node_lost(self, number: int, reason: str) -> None:
        """A node has died."""
        raise NotImplementedError

    def provider_lost(self, reason: str) -> None:
        """The provider is gone, and all nodes with it; no more will be told."""
        raise NotImplementedError


class NodeProvider:
    """Boots nodes and gives them back. Everything asked of it comes to an end within ``timeout`` ns."""

    listener: ProviderListener  # set before the first boot

    def boot(self, boot: Boot, timeout: int) -> Future[NodeId]:
        """A node, once its application has started and its Messenger has reached the front-end.

        Fails with a NodeAllocationError, or TimedOutError; then nothing is left of the node, or soon will be.
        """
        raise NotImplementedError

    def free(self, number: int, timeout: int) -> Future[None]:
        """End a node, whatever it does; ready when nothing is left of it, also when it had died before."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the provider: it ends the nodes it gave."""
        raise NotImplementedError


ERRORS: dict[str, type[NodeAllocationError]] = {"limit": NodeLimitError, "failed": NodeFailedError}


class _Request:
    """A question the daemon has not answered: its promise, and the timer that gives up."""

    def __init__(self, timer: Timer, what: str) -> None:
        self.promise: Promise[dict[str, Any]] = Promise()
        self.timer = timer
        self.what = what


class IaasProvider(NodeProvider, InterruptHandler):
    """The simulated IaaS, by the Unix socket of its daemon."""

    def __init__(self, events: EventManager, path: str) -> None:
        """Connect to the daemon at ``path``. Raises NodeAllocationError when none is there."""
        self._events = events
        self._path = path
        self._connection = _connect(path)
        self._watched = READABLE
        events.watch(self._connection.fileno(), self)
        self._reader = LineReader()
        self._outgoing = b""
        self._requests: dict[int, _Request] = {}
        self._serial = 0
        self._lost = ""  # why there is no connection any more
        self.booted = 0
        self.failed = 0
        self.timed_out = 0
        self.freed = 0
        self.lost_nodes = 0

    def boot(self, boot: Boot, timeout: int) -> Future[NodeId]:
        """See ``NodeProvider``."""
        document: dict[str, Any] = {
            "do": "allocate",
            "number": boot.number,
            "application": boot.application,
            "argv": list(boot.argv),
            "path": boot.path,
            "secret": boot.secret.hex(),
            "front_end": str(boot.front_end),
            "cores": boot.cores,
        }
        if boot.memory is not None:
            document["memory"] = boot.memory
        answer = self._ask(document, timeout, f"the boot of node {boot.number}")
        promise: Promise[NodeId] = Promise()

        def answered(done: Future[dict[str, Any]]) -> None:
            error = done.error()
            if error is None:
                self.booted += 1
                promise.set_value(NodeId(boot.number, done.result()["address"], done.result()["port"]))
                return
            self.failed += 1
            if isinstance(error, TimedOutError):
                self._give_up(boot.number, timeout)
            promise.set_error(error)

        answer.when_done(answered)
        return promise.future

    def free(self, number: int, timeout: int) -> Future[None]:
        """See ``NodeProvider``."""
        if self._lost:  # the daemon has taken its nodes along
            return ready(None)
        self.freed += 1
        return self._ask({"do": "free", "number": number}, timeout, f"the end of node {number}").then(lambda _: None)

    def close(self) -> None:
        """Leave the daemon, which ends our nodes."""
        self._lose("this side has closed the connection")

    def statistics(self) -> dict[str, int]:
        """Nodes booted, not booted (some of them for want of time), freed, died; questions not answered yet."""
        return {
            "booted": self.booted,
            "failed": self.failed,
            "timed_out": self.timed_out,
            "freed": self.freed,
            "lost_nodes": self.lost_nodes,
            "pending": len(self._requests),
        }

    def interrupt(self) -> None:
        """The socket can be read, or written again."""
        if self._outgoing:
            self._write()
        try:
            data = self._connection.recv(LONGEST_LINE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(str(error.strerror))
            return
        if not data:
            self._lose("it has ended")
            return
        try:
            for document in self._reader.feed(data):
                self._take(document)
        except LineError as error:
            self._lose(str(error))

    def _give_up(self, number: int, timeout: int) -> None:
        """What did not boot in time shall not come later."""
        self.free(number, timeout).when_done(_look_at)

    def _ask(self, document: dict[str, Any], timeout: int, what: str) -> Future[dict[str, Any]]:
        self._serial += 1
        serial = self._serial
        request = _Request(self._events.set_timer(timeout, lambda: self._time_out(serial)), what)
        future = request.promise.future
        line = encode({"id": serial, **document})
        if self._lost:
            request.timer.stop()
            request.promise.set_error(ProviderLostError(self._lost))
        elif len(line) > LONGEST_LINE:
            request.timer.stop()
            request.promise.set_error(NodeAllocationError(f"{what} takes a request of {len(line)} bytes: too long"))
        else:
            self._requests[serial] = request
            self._outgoing += line
            self._write()
        return future

    def _time_out(self, serial: int) -> None:
        request = self._requests.pop(serial)
        self.timed_out += 1
        request.promise.set_error(TimedOutError(f"{request.what} took too long"))

    def _write(self) -> None:
        """Send what waits; what finds no room goes when the socket can be written again."""
        try:
            self._outgoing = self._outgoing[self._connection.send(self._outgoing) :]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._lose(str(error.strerror))
            return
        wanted = READABLE | WRITABLE if self._outgoing else READABLE
        if wanted != self._watched:
            self._watched = wanted
            self._events.unwatch(self._connection.fileno())
            self._events.watch(self._connection.fileno(), self, wanted)

    def _take(self, document: dict[str, Any]) -> None:
        if "lost" in document:
            self.lost_nodes += 1
            self.listener.node_lost(document["lost"], document["reason"])
            return
        if "id" not in document:
            self._lose(document["message"])
            return
        request = self._requests.pop(document["id"], None)
        if request is None:  # its time was over
            return
        request.timer.stop()
        if "error" in document:
            kind = ERRORS.get(document["error"], NodeAllocationError)
            request.promise.set_error(kind(document["message"]))
        else:
            request.promise.set_value(document)

    def _lose(self, reason: str) -> None:
        """There is no daemon any more."""
        if self._lost:
            return
        self._lost = f"the IaaS daemon at {self._path} is gone: {reason}"
        self._events.unwatch(self._connection.fileno())
        self._connection.close()
        requests = list(self._requests.values())
        self._requests.clear()
        for request in requests:
            request.timer.stop()
            request.promise.set_error(ProviderLostError(self._lost))
        self.listener.provider_lost(self._lost)


def _connect(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(CONNECT_SECONDS)
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise NodeAllocationError(f"no IaaS daemon answers at {path}: {error.strerror or error}") from error
    connection.setblocking(False)
    return connection


def _look_at(done: Future[None]) -> None:
    """Nobody waits for this: whether it failed makes no difference."""
    done.error()
