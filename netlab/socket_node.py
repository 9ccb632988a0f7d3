"""A node without hardware of its own: an ordinary Linux process whose Network Manager is kernel sockets.

What a front-end is, as far as it is one core that runs an application: node memory, event loop, the base Ebbs. Compare
``netlab.node``: the application is the same, unchanged.
"""

import gc
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from apps.memcached.server import Memcached
from ebbrt import build, ebb, ebb_ids
from ebbrt.clock import MonotonicClock
from ebbrt.events.event_manager import EventManager
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.network import NetworkManager
from ebbrt.signals import Signals
from ebbrt.sockets.socket_network import SocketNetworkManager
from netlab.node_config import Application, NodeError, NodeUsageError, check_application, check_cpus, take_no_arguments
from netlab.node_statistics import write_statistics
from netlab.transfer_node import start_transfer

MIB = 1 << 20
# Node memory beyond what the application may fill: what is being received, and replies the kernel has not taken.
SYSTEM_MEMORY = 64 * MIB


@dataclass(frozen=True)
class SocketNodeConfig:
    """What it is started with.

    address: of this machine, to listen on. memory: bytes the application may fill. cpu: to run on. statistics: where
    SIGUSR1 and the end write them. arguments: what the application is told on the command line.
    """

    application: str
    address: str = "127.0.0.1"
    port: int = 11211
    memory: int = 1024 * MIB
    cpu: int | None = None
    statistics: Path | None = None
    arguments: tuple[str, ...] = ()


class SocketNode:
    """One core over kernel sockets; ``run`` turns its loop until it is told to stop."""

    @classmethod
    def boot(cls, config: SocketNodeConfig) -> "SocketNode":
        """A node that serves as soon as ``run`` is called. Raises NodeError."""
        check_application(config.application, APPLICATIONS)
        if config.cpu is not None:
            check_cpus([config.cpu])
        try:
            memory = NodeMemory((config.memory + SYSTEM_MEMORY) // 4096 * 4096)
        except OSError as error:
            raise NodeError(
                f"no room for node memory of {(config.memory + SYSTEM_MEMORY) // MIB} MiB: {error.strerror}",
                "Give it less with --memory.",
            ) from error
        node = cls(config, memory)
        try:
            node.application = APPLICATIONS[config.application](node)
        except NodeUsageError:
            node.close()
            raise
        except (NodeError, MemoryError) as error:
            node.close()
            raise NodeError(f"{config.application} cannot be started: {error}") from error
        except OSError as error:
            node.close()
            raise NodeError(
                error.strerror or f"cannot listen on {config.address}:{config.port}: {error}",
                "Choose another address or port with --ip and --port.",
            ) from error
        return node

    def __init__(self, config: SocketNodeConfig, memory: NodeMemory) -> None:
        self.config = config
        self.clock = MonotonicClock()
        self.allocator = MemoryAllocator(memory)
        self.events = EventManager(self.clock)
        self.network = SocketNetworkManager(self.events, self.allocator, config.address)
        self.application: Application | None = None
        core = ebb.Core()
        core.install(ebb.MEMORY_ALLOCATOR, self.allocator)
        core.install(ebb.EVENT_MANAGER, self.events)
        core.install(ebb.EBB_ALLOCATOR, ebb_ids.EbbAllocator())
        core.install(ebb.LOCAL_ID_MAP, ebb.LocalIdMap())
        core.install(ebb.NETWORK_MANAGER, self.network)
        core.enter()

    def when_addressed(self, function: Callable[[], object]) -> None:
        """Call ``function`` from the loop: the machine has its addresses."""
        self.events.spawn(function, force_async=True)

    def run(self, ready: Callable[[], object]) -> None:
        """Serve until SIGTERM or SIGINT; ``ready`` is called once it answers."""
        if self.config.cpu is not None:
            os.sched_setaffinity(0, {self.config.cpu})
        actions = {
            signal.SIGUSR1: self._write_statistics,
            signal.SIGTERM: self.events.stop,
            signal.SIGINT: self.events.stop,
        }
        with Signals(self.events, actions):
            # Reference counts own everything on the data path, and no cycle is left behind there (docs/adr/0002).
            gc.collect()
            gc.freeze()
            gc.disable()
            ready()
            self.events.run()
        self._write_statistics()

    def statistics(self) -> dict[str, Any]:
        """The counters of every component."""
        assert self.application is not None
        return {
            "build": build.mode(),
            "cpu_ns": time.process_time_ns(),
            "events": self.events.statistics(),
            "memory": self.allocator.statistics(),
            "sockets": self.network.statistics(),
            self.config.application: self.application.statistics(),
        }

    def _write_statistics(self) -> None:
        """Write them to the file that the configuration names, if it does."""
        if self.config.statistics is not None:
            write_statistics(self.config.statistics, self.statistics())

    def close(self) -> None:
        """Give the sockets and the loop's descriptors back."""
        self.network.close()
        self.events.close()


def _start_memcached(node: SocketNode) -> Memcached:
    take_no_arguments("memcached", node.config.arguments)
    server = Memcached(
        network=cast(NetworkManager, ebb.network_manager),
        allocator=node.allocator,
        clock=node.clock,
        memory_limit=node.config.memory,
        wall_clock=time.time_ns() - node.clock.now(),
        port=node.config.port,
    )
    ebb.current_core().install(ebb.ebb_allocator.allocate(), server)
    server.start()
    return server


APPLICATIONS: dict[str, Callable[[SocketNode], Application]] = {
    "memcached": _start_memcached,
    "transfer": start_transfer,
}
