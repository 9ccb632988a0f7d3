"""One front-end's connection to the daemon: what it may ask, and the life of each node it was given.

    {"id": 1, "do": "allocate", "number": 3, "application": "package.module:function", ...}  -> address and port
    {"id": 2, "do": "free", "number": 3}      -> answered when nothing is left of the node
    {"id": 3, "do": "list"}                   -> the user's machines; all of them for the daemon's own user
    {"lost": 3, "reason": "..."}              <- told when a node that was ready has died

An answer has the request's id, and ``error`` (limit, failed, refused) with a ``message`` when something was wrong. The
nodes of a connection end with it.
"""

import asyncio
import os
import re
import socket
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ebbrt.lines import LineError
from netlab.iaas.line_peer import LinePeer
from netlab.iaas.machines import Machine, MachineError, Machines, Shape, State
from netlab.iaas.pool import Pool
from netlab.iaas.users import LimitError, Users

MOST_SESSIONS = 64  # of one user
APPLICATION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", re.ASCII)
LARGEST_NUMBER = (1 << 31) - 1


@dataclass(frozen=True)
class Peer:
    """Who is at the other end, by the kernel's word (SO_PEERCRED, unix(7))."""

    pid: int
    uid: int
    gid: int

    @classmethod
    def of(cls, connection: socket.socket) -> "Peer":
        """The peer of a connected Unix socket."""
        size = struct.calcsize("3i")
        return cls(*struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)))


@dataclass
class Cloud:
    """What all sessions share."""

    machines: Machines
    pool: Pool
    users: Users
    sessions: "set[Session]" = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)  # what clients did that they must not, by reason
    lives: set["asyncio.Task[None]"] = field(default_factory=set)

    def statistics(self) -> dict[str, Any]:
        """Every component's counters."""
        return {
            "machines": self.machines.statistics(),
            "pool": self.pool.statistics(),
            "users": self.users.statistics(),
            "sessions": len(self.sessions),
            "refused": dict(self.refused),
        }


@dataclass
class Node:
    """A node as its session knows it."""

    number: int
    request: int  # the id that the allocation is answered with
    shape: Shape
    boot: dict[str, Any]
    machine: "asyncio.Future[Machine]" = field(init=False)
    free_request: int | None = None


class Session(LinePeer):
    """The connection of one front-end."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self._cloud = cloud
        self._nodes: dict[int, Node] = {}
        self._peer: Peer | None = None

    @property
    def uid(self) -> int:
        """Whose it is; -1 before that is known."""
        return -1 if self._peer is None else self._peer.uid

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See who it is, and whether that user is served."""
        super().connection_made(transport)
        cloud = self._cloud
        peer = Peer.of(transport.get_extra_info("socket"))
        problem = ""
        if not cloud.users.knows(peer.uid):
            problem = f"user {peer.uid} is not served"
        elif sum(session.uid == peer.uid for session in cloud.sessions) >= MOST_SESSIONS:
            problem = f"user {peer.uid} has {MOST_SESSIONS} connections, all that it may have"
        if problem:
            self.hang_up(problem)
            return
        self._peer = peer
        cloud.sessions.add(self)

    def ended(self, reason: str) -> None:
        """The front-end is gone: its nodes go too."""
        if reason:
            self._cloud.refused[reason] += 1
        self._cloud.sessions.discard(self)
        for node in list(self._nodes.values()):
            self._end(node)

    def received(self, document: dict[str, Any]) -> None:
        """Do what is asked. Raises LineError."""
        request = number_in(document, "id")
        if document.get("do") == "allocate":
            self._allocate(request, document)
        elif document.get("do") == "free":
            self._free(request, document)
        elif document.get("do") == "list":
            self.send({"id": request, "machines": self._list(), "statistics": self._cloud.statistics()})
        else:
            raise LineError("a request is allocate, free or list")

    def _allocate(self, request: int, document: dict[str, Any]) -> None:
        assert self._peer is not None
        node = node_of(request, document, self._cloud.pool.shape, self._peer)
        if node.number in self._nodes:
            self._refuse(request, "refused", f"there is a node {node.number} already")
            return
        try:
            self._cloud.users.take(self._peer.uid, node.shape.cores, node.shape.memory)
        except LimitError as error:
            self._refuse(request, "limit", str(error))
            return
        node.machine = self._cloud.pool.ask(node.shape)
        self._nodes[node.number] = node
        life = asyncio.get_running_loop().create_task(self._live(node, self.uid))
        self._cloud.lives.add(life)
        life.add_done_callback(self._cloud.lives.discard)

    def _free(self, request: int, document: dict[str, Any]) -> None:
        node = self._nodes.get(number_in(document, "number"))
        if node is None:
            self.send({"id": request})  # nothing is left of it: it has died before
        elif node.free_request is not None:
            self._refuse(request, "refused", f"node {node.number} is being freed already")
        else:
            node.free_request = request
            self._end(node)

    def _end(self, node: Node) -> None:
        if not node.machine.cancel() and node.machine.exception() is None:
            self._cloud.machines.free(node.machine.result())

    async def _live(self, node: Node, uid: int) -> None:
        """The life of a node, from the request until nothing is left of it."""
        try:
            machine = await node.machine
            await self._be_ready_and_die(node, machine, uid)
            self._cloud.machines.free(machine)  # nothing, when it has failed
            await machine.ended()
        except MachineError as error:  # none could be had
            self._refuse(node.request, "failed", str(error))
        except asyncio.CancelledError:
            if not node.machine.cancelled():
                raise
            self._refuse(node.request, "failed", "it was freed")
        self._cloud.users.give_back(uid)
        del self._nodes[node.number]
        if node.free_request is not None:
            self.send({"id": node.free_request})

    async def _be_ready_and_die(self, node: Node, machine: Machine, uid: int) -> None:
        try:
            self._cloud.machines.start(machine, uid, node.number, node.boot)
            await machine.ready()
        except MachineError as error:
            self._refuse(node.request, "failed", str(error))
            return
        self.send({"id": node.request, "address": machine.address, "port": machine.port})
        await machine.death()
        if machine.state is State.FAILED:
            self.send({"lost": node.number, "reason": machine.reason})

    def _refuse(self, request: int, error: str, message: str) -> None:
        self.send({"id": request, "error": error, "message": message})

    def _list(self) -> list[dict[str, Any]]:
        assert self._peer is not None
        now = self._cloud.machines.clock()
        return [
            {
                "machine": machine.name,
                "state": machine.state.value,
                "address": machine.address,
                "uid": machine.uid,
                "number": machine.number,
                "cores": machine.shape.cores,
                "memory": machine.shape.memory,
                "pid": machine.pid,
                "seconds": round(now - machine.since, 3),
            }
            for machine in self._cloud.machines
            if self._peer.uid in (os.geteuid(), machine.uid)
        ]


def number_in(document: dict[str, Any], key: str, smallest: int = 1, largest: int = LARGEST_NUMBER) -> int:
    """The whole number at ``key``. Raises LineError."""
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
        raise LineError(f"{key} is not a whole number from {smallest} to {largest}")
    return value


def text_in(document: dict[str, Any], key: str) -> str:
    """The text at ``key``. Raises LineError."""
    value = document.get(key)
    if not isinstance(value, str):
        raise LineError(f"{key} is not text")
    return value


def node_of(request: int, document: dict[str, Any], default: Shape, peer: Peer) -> Node:
    """The node that an allocation asks for. Raises LineError when it is not a proper request."""
    number = number_in(document, "number")
    application = text_in(document, "application")
    if not APPLICATION.fullmatch(application):
        raise LineError("application is not written as package.module:function")
    argv = document.get("argv")
    if not isinstance(argv, list) or not all(isinstance(argument, str) for argument in argv):
        raise LineError("argv is not a list of texts")
    shape = Shape(default.cores, default.memory)
    if "cores" in document:
        shape = Shape(number_in(document, "cores", 1, 1024), shape.memory)
    if "memory" in document:
        shape = Shape(shape.cores, number_in(document, "memory", 1 << 20, 32 << 30))
    boot = {
        "number": number,
        "uid": peer.uid,
        "gid": peer.gid,
        "application": application,
        "argv": argv,
        "path": text_in(document, "path"),
        "secret": text_in(document, "secret"),
        "front_end": text_in(document, "front_end"),
    }
    return Node(number, request, shape, boot)
