"""The front-end: an ordinary Linux process that is node 0 of an application.

    from ebbrt.front_end import run

    async def main(runtime):
        nodes = await when_all(runtime.node_allocator.allocate(8, "package.module:function"))
        ...

    run(main)

It has the kernel's sockets and files where a back-end has its own stack and asks the front-end (paper section 3.1.1).
``netlab run`` starts such a program with two variables in its environment: EBBRT_ADDRESS, where back-ends reach it,
and EBBRT_IAAS, the socket of the daemon that has nodes to give. Without them it runs alone: no other node can be had.
"""

import contextlib
import inspect
import logging
import os
import secrets
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import SystemRandom
from typing import Any

from ebbrt import ebb, ebb_kinds, mistakes
from ebbrt.clock import MonotonicClock
from ebbrt.configuration import Configuration
from ebbrt.core_links import CoreLinksPlan, RingCoreLinks
from ebbrt.ebb_ids import EbbError
from ebbrt.events.event_manager import EventManager
from ebbrt.files.file_system import FileSystem, LocalChannel
from ebbrt.files.server import FileServer
from ebbrt.future import Future
from ebbrt.id_map.global_id_map import GlobalIdMap, IdMapStore
from ebbrt.id_map.remote import IdMapServer
from ebbrt.id_map.table import TableStore
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.messages import FRONT_END, NodeId
from ebbrt.messenger.tcp_messenger import TcpMessenger
from ebbrt.network import AddressInUseError
from ebbrt.node_allocator import FrontEndNodeAllocator
from ebbrt.node_provider import ADDRESS_VARIABLE, SOCKET_VARIABLE, IaasProvider
from ebbrt.runtime import Identity, Runtime, is_back_end
from ebbrt.signals import Signals
from ebbrt.sockets.socket_network import SocketNetworkManager

logger = logging.getLogger(__name__)

MEMORY = 64 << 20  # bytes of node memory: messages under way, and what the application allocates
SECRET_BYTES = 32
FIRST_PORT = 9100  # of the Messenger; the first that is free from here on
PORTS = 200
ALONE = "127.0.0.1"  # where a front-end listens that nobody is told of
CLOSE_TIME = 2_000_000_000  # ns that what is outside this process has to let go


class FrontEnd:
    """Node 0 of an application; ``run`` is what programs use.

    address: where back-ends reach it. iaas: path of the socket of the daemon that gives nodes, or None. files: the
    directory that the File System Ebb is confined to, or None for no files. id_map: "address:port,..." of ZooKeeper's
    servers, or None to keep the Global Id Map in a table here. configuration: base Ebbs of the application's own, in
    this process; nodes that the daemon gives have booted with the library's.
    """

    def __init__(
        self,
        address: str = ALONE,
        iaas: str | None = None,
        files: Path | None = None,
        id_map: str | None = None,
        configuration: Configuration | None = None,
        argv: tuple[str, ...] | None = None,
    ) -> None:
        self._argv = tuple(sys.argv) if argv is None else argv
        self._secret = secrets.token_bytes(SECRET_BYTES)
        self.core = ebb.Core()
        with contextlib.ExitStack() as opened:  # closed again, last first, if the rest cannot be had
            self._boot(opened, address, Configuration() if configuration is None else configuration)
            self._install_files(opened, files)
            self._install_map(opened, id_map)
            self.runtime, self._messenger = self._listen(address)
            opened.callback(self._messenger.close)
            if iaas is not None:
                self._install_node_allocator(opened, iaas)
            else:
                self.core.register(ebb.NODE_ALLOCATOR, _no_nodes)
            self._opened = opened.pop_all()

    def _boot(self, opened: contextlib.ExitStack, address: str, configuration: Configuration) -> None:
        """Install what every core boots with."""
        make = configuration.make
        memory = NodeMemory(MEMORY + CoreLinksPlan.size(1))
        self._allocator: MemoryAllocator = make("memory_allocator", MemoryAllocator, memory, 0, MEMORY)
        self._events: EventManager = make("event_manager", EventManager, MonotonicClock())
        opened.callback(self._events.close)
        plan = CoreLinksPlan(memory, MEMORY, 1)
        opened.callback(plan.close)
        network: SocketNetworkManager = make(
            "network_manager", SocketNetworkManager, self._events, self._allocator, address
        )
        opened.callback(network.close)
        self.core.install(ebb.MEMORY_ALLOCATOR, self._allocator)
        self.core.install(ebb.EVENT_MANAGER, self._events)
        self.core.install(ebb.LOCAL_ID_MAP, make("local_id_map", ebb.LocalIdMap))
        self.core.install(ebb.NETWORK_MANAGER, network)
        links = make("core_links", RingCoreLinks, plan, 0, self._events, self._allocator)
        self.core.install(ebb.CORE_LINKS, links)
        ebb_kinds.start(self.core)
        self.core.enter()

    def _install_files(self, opened: contextlib.ExitStack, files: Path | None) -> None:
        server = FileServer(None if files is None else str(files))
        opened.callback(server.close)
        self._files = FileSystem(LocalChannel(server), self._allocator, server)
        self.core.install(ebb.FILE_SYSTEM, self._files)

    def _install_map(self, opened: contextlib.ExitStack, id_map: str | None) -> None:
        store: IdMapStore = TableStore(self._events)
        if id_map is not None:
            from ebbrt.id_map.zookeeper import ZooKeeperStore  # kazoo: only for those who ask for it

            store = ZooKeeperStore(self._events, id_map, secrets.token_hex(8))
        self._map = GlobalIdMap(self._events, store, IdMapServer(store, self._allocator))
        opened.callback(self._close_map)
        self.core.install(ebb.GLOBAL_ID_MAP, self._map)

    def _listen(self, address: str) -> tuple[Runtime, TcpMessenger]:
        """The runtime, and its Messenger on the first port that is free."""
        for port in range(FIRST_PORT, FIRST_PORT + PORTS):
            here = NodeId(FRONT_END, address, port)
            runtime = Runtime(self.core, Identity(here, here, self._secret, self._argv))
            with contextlib.suppress(AddressInUseError):
                return runtime, runtime.listen_for_messages(SystemRandom())
        raise AddressInUseError(f"no port from {FIRST_PORT} to {FIRST_PORT + PORTS - 1} of {address} is free")

    def _install_node_allocator(self, opened: contextlib.ExitStack, iaas: str) -> None:
        provider = IaasProvider(self._events, iaas)
        node_allocator = FrontEndNodeAllocator(provider, self._messenger, self._allocator, self._secret, self._argv)
        node_allocator.on_ready = self._events.joined
        node_allocator.on_lost = self._node_lost
        opened.callback(node_allocator.close)
        self.core.install(ebb.NODE_ALLOCATOR, node_allocator)

    def _node_lost(self, number: int, reason: str) -> None:
        """A node died or was freed: nothing may wait for it, or be kept for it."""
        self._messenger.node_lost(number, reason)
        self._files.node_lost(number)
        self._events.left(number)

    def run(self, main: Callable[[Runtime], Any]) -> Any:
        """Run ``main(runtime)`` as an event, then close; what it returns. ``async def`` functions are awaited.

        Raises what it raises, and KeyboardInterrupt or SystemExit when a signal ends it.
        """
        ended_by: list[signal.Signals] = []

        def end(number: signal.Signals) -> None:
            ended_by.append(number)
            self._events.stop()

        actions = {number: partial(end, number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with Signals(self._events, actions):
                result = self._events.run_coroutine(_call(main, self.runtime))
                self._run_until(result)
                has_ended = result.done()  # closing fails what has not
        finally:
            self.close()
        if has_ended:
            return result.result()
        if ended_by == [signal.SIGTERM]:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

    def _run_until(self, future: Future[Any]) -> None:
        """Turn the loop until the future is done, or something else stops it."""
        future.when_done(lambda _: self._events.stop())
        if not future.done():
            self._events.run()

    def close(self) -> None:
        """Give back every node, and all that was opened."""
        self._opened.close()

    def _close_map(self) -> None:
        closed = self._map.close(CLOSE_TIME)
        while not closed.done():  # what ``main`` has left may stop the loop too
            self._run_until(closed)
        if closed.error() is not None:
            logger.warning("%s", closed.error())


def _no_nodes(core: ebb.Core, ebb_id: int) -> object:
    """The Node Allocator of a front-end that has nobody to ask."""
    raise EbbError(
        f"no provider of nodes was named: start this program with `netlab run`, which sets {SOCKET_VARIABLE}"
    )


async def _call(main: Callable[[Runtime], Any], runtime: Runtime) -> Any:
    result = main(runtime)
    return await result if inspect.isawaitable(result) else result


def run(main: Callable[[Runtime], Any], **options: Any) -> Any:
    """Be the front-end of an application: run ``main(runtime)``, and give back every node when it has ended.

    Where ``netlab run`` started this process its environment says which address and provider of nodes there are;
    ``options`` are those of ``FrontEnd``. Returns what ``main`` does, and raises what it raises; where that ends the
    program it is told in one line (``ebbrt.mistakes``).

    On a back-end, which imports this program for the functions that it is to run, it does nothing: there is no need
    of a guard around the call.
    """
    if is_back_end():
        return None
    mistakes.install()
    environment = {"address": os.environ.get(ADDRESS_VARIABLE, ALONE), "iaas": os.environ.get(SOCKET_VARIABLE)}
    return FrontEnd(**{**environment, **options}).run(main)
