"""The Node Allocator Ebb: more nodes for the application, and nodes given back (paper section 3.1.2).

    futures = node_allocator.allocate(8, "package.module:function")     # on each node: function(runtime)
    nodes = [future.block() for future in futures]
    messenger.send(nodes[0].id, ebb_id, data)
    node_allocator.free(nodes[0])

The front-end's representative numbers the nodes and asks a provider for them; that of a back-end asks the front-end's.
A node belongs to the application, whichever node asked for it, until it is freed or the front-end ends. One that is
not ready yet when the node that asked for it dies is freed: nobody would know of it.
"""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ebbrt.ebb import NODE_ALLOCATOR
from ebbrt.future import Future, Promise, TimedOutError, ready
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import FRONT_END, MessageHandler, Messenger, MessengerError, NodeId, pack, unpack
from ebbrt.node_provider import (
    Boot,
    NodeAllocationError,
    NodeFailedError,
    NodeLimitError,
    NodeProvider,
    ProviderListener,
    ProviderLostError,
)

logger = logging.getLogger(__name__)

TIMEOUT = 10_000_000_000  # ns, for a boot or an end
FREED = "it was freed"

# What a provider fails with; a back-end gets the same from the front-end.
_ERRORS: dict[str, Callable[[str], Exception]] = {
    error.__name__: error for error in (NodeLimitError, NodeFailedError, ProviderLostError, TimedOutError)
}


class AllocatedNode:
    """A node that was allocated and is ready. ``id`` is what the Messenger sends to."""

    def __init__(self, node_id: NodeId) -> None:
        self.id = node_id
        self._lost: Promise[str] = Promise()

    @property
    def lost(self) -> Future[str]:
        """Ready once the node is no more: the reason why it died, or that it was freed."""
        return self._lost.future

    def end(self, reason: str) -> None:
        """Say that it is no more. For Node Allocators."""
        if not self._lost.future.done():
            self._lost.set_value(reason)

    def __repr__(self) -> str:
        return f"<node {self.id}>"


class NodeAllocator:
    """What every node of the application can ask."""

    def allocate(
        self,
        count: int,
        application: str,
        cores: int = 1,
        memory: int | None = None,
        timeout: int = TIMEOUT,
    ) -> list[Future[AllocatedNode]]:
        """``count`` nodes that run ``application``; a future of each, ready once the node is.

        application: "package.module:function", called on the node with its runtime as argument, and awaited if it is
        ``async``: the node is ready when it has returned. The module is looked for where the front-end's script is,
        then where the node's own are. cores: of each node. memory: bytes that the application on it may fill; None
        for the provider's choice. A future fails with NodeLimitError, NodeFailedError (the node died, or its
        application's function could not be had or raised: the text says why), ProviderLostError, or
        with TimedOutError after ``timeout`` ns. Raises ValueError for what cannot be asked for.
        """
        raise NotImplementedError

    def free(self, node: AllocatedNode, timeout: int = TIMEOUT) -> Future[None]:
        """End a node, whatever it does: ready when nothing is left of it. Freeing what is gone does nothing."""
        raise NotImplementedError

    def nodes(self) -> list[AllocatedNode]:
        """The nodes that this representative has allocated and that are ready."""
        raise NotImplementedError


def _program_folder() -> str:
    """Where the running program's own modules are: beside it; "" when it was started as an installed module."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)  # there is none where Python reads what is typed
    if main.__spec__ is None and file is not None:
        return str(Path(file).absolute().parent)
    return "" if sys.flags.safe_path else str(Path(sys.path[0]).absolute())


class FrontEndNodeAllocator(NodeAllocator, MessageHandler, ProviderListener):
    """The front-end's representative: numbers the nodes, and has the provider boot them.

    secret: what the Messengers of this application's nodes prove to each other that they have. argv: what this process
    was started with, for the nodes' Command Line Ebb. path: where nodes look for the application's modules; by default
    the folder of the program that this process runs. ``on_ready`` is told of every node that is ready, ``on_lost``
    number and reason of every one that died or was freed.
    """

    def __init__(
        self,
        provider: NodeProvider,
        messenger: Messenger,
        allocator: MemoryAllocator,
        secret: bytes,
        argv: Sequence[str],
        path: str | None = None,
    ) -> None:
        self._provider = provider
        self._messenger = messenger
        self._allocator = allocator
        self._secret = secret
        self._argv = tuple(argv)
        self.on_ready: Callable[[NodeId], object] = _nobody
        self.on_lost: Callable[[int, str], object] = messenger.node_lost
        self._path = _program_folder() if path is None else path
        self._nodes: dict[int, AllocatedNode] = {}
        self._ending: dict[int, Future[None]] = {}
        self._asked_by: dict[int, tuple[NodeId, int]] = {}  # the back-end that a node was allocated for, its token
        self._unwanted: set[int] = set()  # numbers of nodes to be freed as soon as they have booted
        self._last_number = FRONT_END
        self.allocated = 0
        self.failed = 0
        self.freed = 0
        self.lost = 0
        provider.listener = self

    def allocate(
        self,
        count: int,
        application: str,
        cores: int = 1,
        memory: int | None = None,
        timeout: int = TIMEOUT,
    ) -> list[Future[AllocatedNode]]:
        """See ``NodeAllocator``."""
        _check(count, application, cores, timeout)
        application = importable(application)
        return [self._allocate(application, cores, memory, timeout) for _ in range(count)]

    def free(self, node: AllocatedNode, timeout: int = TIMEOUT) -> Future[None]:
        """See ``NodeAllocator``."""
        number = node.id.number
        if number in self._nodes:
            self.freed += 1
            self._forget(number, FREED)
            self._ending[number] = self._provider.free(number, timeout)
            self._ending[number].when_done(lambda _: self._ending.pop(number, None))
        return self._ending.get(number, ready(None))

    def nodes(self) -> list[AllocatedNode]:
        """See ``NodeAllocator``; those that back-ends asked for among them."""
        return list(self._nodes.values())

    def close(self) -> None:
        """Give all nodes back, and the provider up."""
        self._provider.close()

    def statistics(self) -> dict[str, int]:
        """Nodes asked for, of which some failed; freed; died when they were ready; ready now."""
        return {
            "allocated": self.allocated,
            "failed": self.failed,
            "freed": self.freed,
            "lost": self.lost,
            "nodes": len(self._nodes),
        }

    # What the provider tells

    def node_lost(self, number: int, reason: str) -> None:
        """A node has died."""
        if number in self._nodes:  # it was not freed in the meantime
            self.lost += 1
            logger.warning("node %d is lost: %s", number, reason)
            self._forget(number, reason)

    def provider_lost(self, reason: str) -> None:
        """All nodes are gone."""
        for number in list(self._nodes):
            self.lost += 1
            self._forget(number, reason)

    # What back-ends ask

    def receive_call(self, sender: NodeId, data: IOBuf) -> "IOBuf | Future[IOBuf]":
        """Allocate or free for a back-end; raises ValueError for anything else."""
        question = unpack(data)
        if not isinstance(question, dict):
            raise ValueError("a Node Allocator is asked with a dictionary")
        if question.get("do") == "hello":  # a node that boots sees whether it reaches the front-end
            return self._answer(ready(None))
        if question.get("do") == "allocate":
            return self._answer(self._allocate_for(sender, question))
        if question.get("do") == "free":
            number = question["number"]
            node = self._nodes.get(number)
            ending = self._ending.get(number, ready(None))
            return self._answer(ending if node is None else self.free(node, question["timeout"]))
        raise ValueError("a Node Allocator is asked to allocate or to free")

    def receive_message(self, sender: NodeId, data: IOBuf) -> None:
        """A back-end's time is over: what it asked for by that token is not wanted any more."""
        unwanted = (sender, unpack(data))
        for number, asked_by in list(self._asked_by.items()):
            if asked_by == unwanted:
                del self._asked_by[number]
                if number in self._nodes:
                    self.free(self._nodes[number]).when_done(_look_at)
                else:
                    self._unwanted.add(number)

    def _allocate_for(self, sender: NodeId, question: dict[str, Any]) -> Future[NodeId]:
        token = question["token"]
        application, cores, timeout = question["application"], question["cores"], question["timeout"]
        _check(1, application, cores, timeout)
        future = self._allocate(application, cores, question["memory"], timeout)
        number = self._last_number
        self._asked_by[number] = (sender, token)
        future.when_done(lambda done: self._asked_by.pop(number, None) if done.error() is not None else None)
        return future.then(lambda node: node.id)

    def _answer(self, asked: Future[Any]) -> Future[IOBuf]:
        """What a back-end gets: ``[result]``, or ``[None, class of the error, its text]``."""
        promise: Promise[IOBuf] = Promise()

        def settle(done: Future[Any]) -> None:
            error = done.error()
            failure = [] if error is None else [type(error).__name__, str(error)]
            promise.set_value(pack(self._allocator, [None if error is not None else done.result(), *failure]))

        asked.when_done(settle)
        return promise.future

    def _allocate(self, application: str, cores: int, memory: int | None, timeout: int) -> Future[AllocatedNode]:
        self._last_number += 1
        number = self._last_number
        self.allocated += 1
        boot = Boot(number, application, self._argv, self._path, self._secret, self._messenger.local(), cores, memory)
        booted = self._provider.boot(boot, timeout)
        promise: Promise[AllocatedNode] = Promise()

        def answered(done: Future[NodeId]) -> None:
            unwanted = number in self._unwanted
            self._unwanted.discard(number)
            error = done.error()
            if error is not None:
                self.failed += 1
                self.on_lost(number, str(error))  # it may have come as far as to connect
                promise.set_error(error)
                return
            node = AllocatedNode(done.result())
            self._nodes[number] = node
            self.on_ready(node.id)
            promise.set_value(node)
            if unwanted:
                self.free(node).when_done(_look_at)

        booted.when_done(answered)
        return promise.future

    def _forget(self, number: int, reason: str) -> None:
        """A node is no more: whoever has to do with it is told."""
        node = self._nodes.pop(number)
        for other, (asker, _) in list(self._asked_by.items()):
            if asker.number == number:  # it cannot be told any more what becomes of the nodes it has asked for
                del self._asked_by[other]
                if other not in self._nodes:  # nobody has been told of that one yet, and nobody will be
                    self._unwanted.add(other)
        self.on_lost(number, reason)
        asked_by = self._asked_by.pop(number, None)
        if asked_by is not None:
            self._tell_lost(asked_by[0], number, reason)
        node.end(reason)

    def _tell_lost(self, asker: NodeId, number: int, reason: str) -> None:
        try:
            self._messenger.send(asker, NODE_ALLOCATOR, pack(self._allocator, [number, reason]))
        except (MessengerError, MemoryError) as error:
            logger.warning("node %d cannot be told that node %d is lost: %s", asker.number, number, error)


class BackEndNodeAllocator(NodeAllocator, MessageHandler):
    """A back-end's representative: asks the front-end's."""

    def __init__(self, messenger: Messenger, allocator: MemoryAllocator, front_end: NodeId) -> None:
        self._messenger = messenger
        self._allocator = allocator
        self._front_end = front_end
        self._nodes: dict[int, AllocatedNode] = {}
        self._token = 0

    def hello(self, timeout: int) -> Future[None]:
        """Reach the front-end: ready when it has answered."""
        return self._ask({"do": "hello"}, timeout).then(lambda _: None)

    def allocate(
        self,
        count: int,
        application: str,
        cores: int = 1,
        memory: int | None = None,
        timeout: int = TIMEOUT,
    ) -> list[Future[AllocatedNode]]:
        """See ``NodeAllocator``; a future fails with MessengerError too, when the front-end cannot be asked."""
        _check(count, application, cores, timeout)
        question = {
            "do": "allocate",
            "application": application,
            "cores": cores,
            "memory": memory,
            "timeout": timeout,
        }
        return [self._allocate(question, timeout) for _ in range(count)]

    def free(self, node: AllocatedNode, timeout: int = TIMEOUT) -> Future[None]:
        """See ``NodeAllocator``."""
        question = {"do": "free", "number": node.id.number, "timeout": timeout}
        return self._ask(question, timeout).then(lambda _: None)

    def nodes(self) -> list[AllocatedNode]:
        """See ``NodeAllocator``."""
        return list(self._nodes.values())

    def receive_message(self, sender: NodeId, data: IOBuf) -> None:
        """The front-end says that a node, allocated from here, is no more."""
        number, reason = unpack(data)
        node = self._nodes.pop(number, None)
        if node is not None:
            self._messenger.node_lost(number, reason)
            node.end(reason)

    def _allocate(self, question: dict[str, Any], timeout: int) -> Future[AllocatedNode]:
        self._token += 1
        token = self._token
        answer = self._ask({**question, "token": token}, timeout)
        answer.when_done(lambda done: self._give_up(token) if isinstance(done.error(), TimeoutError) else None)
        return answer.then(self._allocated)

    def _allocated(self, node_id: Any) -> AllocatedNode:
        node = AllocatedNode(NodeId(*node_id))
        self._nodes[node.id.number] = node
        return node

    def _give_up(self, token: int) -> None:
        """The front-end may answer yet; what it has then shall not stay."""
        self._messenger.send(self._front_end, NODE_ALLOCATOR, pack(self._allocator, token))

    def _ask(self, question: dict[str, Any], timeout: int) -> Future[Any]:
        data = pack(self._allocator, question)
        return self._messenger.call(self._front_end, NODE_ALLOCATOR, data, timeout).then(_result)


def _result(answer: IOBuf) -> Any:
    """What the front-end was asked for. Raises what it failed with there."""
    value, *failure = unpack(answer)
    if failure:
        kind, text = failure
        raise _ERRORS.get(kind, NodeAllocationError)(text)
    return value


def importable(application: str) -> str:
    """The application's name as another process can import it: a script is not ``__main__`` over there."""
    module, _, function = application.partition(":")
    if module != "__main__":
        return application
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:  # python -m package.module
        return f"{spec.name}:{function}"
    file = getattr(main, "__file__", None)
    if file is None:
        raise ValueError(f"{application!r}: what was typed in cannot be imported on a node; put it into a file")
    return f"{Path(file).stem}:{function}"


def _check(count: int, application: str, cores: int, timeout: int) -> None:
    module, _, function = application.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"{application!r} is not an application: write it as package.module:function")
    if count < 1 or cores < 1 or timeout <= 0:
        raise ValueError(f"{count} nodes of {cores} cores within {timeout} ns cannot be had")


def _look_at(done: Future[None]) -> None:
    """Nobody waits for this: whether it failed makes no difference."""
    done.error()


def _nobody(node: NodeId) -> None:
    """Nobody wants to know which nodes are ready."""
