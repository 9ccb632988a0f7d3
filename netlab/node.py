"""A node: one core's library OS on a TAP, put together and run.

This is the room where everything meets: node memory, event loop, virtio device and driver, stack, Network Manager,
application. What each of them needs of the world (the clock, randomness, an open TAP) is given to it here.
"""

import contextlib
import gc
import json
import os
import random
import secrets
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, cast

from apps.memcached.server import Memcached
from drivers.virtio.constants import LONGEST_FRAME, NET_HEADER_LENGTH
from drivers.virtio.device import NetDevice
from drivers.virtio.driver import VirtioNet
from drivers.virtio.tap import Tap, TapError, mtu, open_plain_tap, open_tap
from drivers.virtio.timed import TimedNetDevice, TimedVirtioNet
from ebbrt import build, ebb, ebb_ids
from ebbrt.clock import MonotonicClock
from ebbrt.event_manager import EventManager, InterruptHandler
from ebbrt.layers import Stopwatch, TimedDevice, TimedFrameHandler, TimedNetwork
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.network import NetworkManager
from netlab.errors import NetlabError
from stack.network_manager import StackNetworkManager
from stack.stack import Stack

MIB = 1 << 20
# Node memory beyond what the application may fill: rings, posted buffers, packets on their way, receive windows.
SYSTEM_MEMORY = 192 * MIB


@dataclass(frozen=True)
class NodeConfig:
    """What a node is booted with.

    application: None for a node without one. memory: bytes the application may fill. seed: of all randomness, for a
    run that can be repeated; None: the machine's own. layers: time the layers (``ebbrt.layers``). statistics: where
    SIGUSR1 and the end write them.
    """

    application: str | None
    tap: str
    address: IPv4Interface
    port: int = 11211
    memory: int = 1024 * MIB
    ring_size: int = 512
    cpu: int | None = None
    seed: int | None = None
    plain_tap: bool = False
    layers: bool = False
    statistics: Path | None = None


class NodeError(NetlabError):
    """A node could not be booted."""


class Node:
    """One node of one core; ``run`` turns its loop until it is told to stop."""

    @classmethod
    def boot(cls, config: NodeConfig) -> "Node":
        """A node that serves as soon as ``run`` is called. Raises NodeError."""
        if config.application is not None and config.application not in APPLICATIONS:
            raise NodeError(f"there is no application {config.application!r}", f"There is: {', '.join(APPLICATIONS)}.")
        if config.cpu is not None and config.cpu not in os.sched_getaffinity(0):
            cpus = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
            raise NodeError(f"this process may not run on CPU {config.cpu}", f"It may on: {cpus}.")
        try:
            return cls(config)
        except TapError as error:
            raise NodeError(f"cannot open TAP {config.tap}: {error.strerror}", error.advice) from error
        except ValueError as error:
            raise NodeError(f"the node cannot be booted: {error}") from error
        except OSError as error:  # of mmap
            raise NodeError(
                f"no room for node memory of {(config.memory + SYSTEM_MEMORY) // MIB} MiB: {error.strerror}",
                "Give it less with --memory.",
            ) from error

    def __init__(self, config: NodeConfig) -> None:
        self.config = config
        self.clock = MonotonicClock()
        self.memory = NodeMemory((config.memory + SYSTEM_MEMORY) // 4096 * 4096)
        self.allocator = MemoryAllocator(self.memory)
        self.events = EventManager(self.clock)
        self.stopwatch = Stopwatch(self.clock) if config.layers else None
        self.tap = open_plain_tap(config.tap) if config.plain_tap else open_tap(config.tap)
        self.device = self._make_device(self.tap)
        self.driver = self._make_driver()
        chance = random.Random(config.seed) if config.seed is not None else random.SystemRandom()
        secret = chance.randbytes(16) if config.seed is not None else secrets.token_bytes(16)
        self.stack = Stack(
            allocator=self.allocator,
            device=TimedDevice(self.driver, self.stopwatch) if self.stopwatch else self.driver,
            interface=config.address,
            clock=self.clock,
            random=chance,
            secret=secret,
        )
        self.network: NetworkManager = StackNetworkManager(self.stack, self.events)
        if self.stopwatch:
            self.network = TimedNetwork(self.network, self.stopwatch)
        self._install_ebbs()
        self.driver.start(TimedFrameHandler(self.stack, self.stopwatch) if self.stopwatch else self.stack)
        self.application = None if config.application is None else APPLICATIONS[config.application](self)

    def _make_device(self, tap: Tap) -> NetDevice:
        spill = self.allocator.allocate(LONGEST_FRAME + NET_HEADER_LENGTH)
        if spill is None:
            raise NodeError("node memory is too small for the device's spill area")
        self._spill = spill  # kept for as long as the device writes to it
        mac = bytes([0x02, 0x00]) + self.config.address.ip.packed
        arguments = (self.memory, tap.fd, self.events, spill.offset, mac, mtu(tap.name), tap.vnet_header)
        return TimedNetDevice(*arguments, self.stopwatch) if self.stopwatch else NetDevice(*arguments)

    def _make_driver(self) -> VirtioNet:
        arguments = (self.device, self.allocator, self.events, self.config.ring_size)
        return TimedVirtioNet(*arguments, self.stopwatch) if self.stopwatch else VirtioNet(*arguments)

    def _install_ebbs(self) -> None:
        """Make the base Ebbs known on this core (paper section 3.1.2)."""
        core = ebb.Core()
        core.install(ebb.MEMORY_ALLOCATOR, self.allocator)
        core.install(ebb.EVENT_MANAGER, self.events)
        core.install(ebb.EBB_ALLOCATOR, ebb_ids.EbbAllocator())
        core.install(ebb.LOCAL_ID_MAP, ebb.LocalIdMap())
        core.install(ebb.NETWORK_MANAGER, self.network)
        core.enter()

    def run(self, ready: Callable[[], object]) -> None:
        """Serve until SIGTERM or SIGINT; ``ready`` is called once the node answers."""
        if self.config.cpu is not None:
            os.sched_setaffinity(0, {self.config.cpu})
        with _SignalInterrupts(self):
            # Reference counts own everything on the data path, and no cycle is left behind there (docs/adr/0002).
            gc.collect()
            gc.freeze()
            gc.disable()
            ready()
            self.events.run()
        self.driver.stop()
        self.write_statistics()
        if self.device.unplugged:
            raise NodeError(f"TAP {self.tap.name} was deleted under the node", "Make it again, then start the node.")

    def statistics(self) -> dict[str, Any]:
        """Every component's counters."""
        everything: dict[str, Any] = {
            "build": build.mode(),
            "cpu_ns": time.process_time_ns(),
            "events": self.events.statistics(),
            "memory": self.allocator.statistics(),
            "device": self.device.statistics(),
            "driver": self.driver.statistics(),
            "stack": self.stack.statistics(),
        }
        if self.config.application is not None and self.application is not None:
            everything[self.config.application] = self.application.statistics()
        if self.stopwatch:
            everything["layers"] = self.stopwatch.statistics()
        return everything

    def write_statistics(self) -> None:
        """Write them to the file the configuration names, whole or not at all."""
        path = self.config.statistics
        if path is None:
            return
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(self.statistics(), indent=1) + "\n")
        partial.replace(path)

    def close(self) -> None:
        """Give the TAP and the loop's descriptor back."""
        self.device.close()
        self.events.close()


class _SignalInterrupts(InterruptHandler):
    """Signals as interrupts of the event loop: their numbers come through a socket the loop watches."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def __enter__(self) -> "_SignalInterrupts":
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._write.fileno())
        self._handlers = {
            number: signal.signal(number, lambda *_: None)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        }
        self._node.events.watch(self._read.fileno(), self)
        return self

    def __exit__(self, *_: object) -> None:
        self._node.events.unwatch(self._read.fileno())
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        self._read.close()
        self._write.close()

    def interrupt(self) -> None:
        """Act on the signals that came."""
        with contextlib.suppress(BlockingIOError):
            for number in self._read.recv(64):
                if number == signal.SIGUSR1:
                    self._node.write_statistics()
                else:
                    self._node.events.stop()


def _start_memcached(node: Node) -> Memcached:
    """An application sees base Ebbs, and is one: calls through the reference reach this core's representative."""
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


APPLICATIONS: dict[str, Callable[[Node], Memcached]] = {"memcached": _start_memcached}
