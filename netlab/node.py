"""A node: each core's library OS, put together and run.

This is the room where everything meets: node memory, event loop, virtio device and driver, stack, Network Manager,
application. What each of them needs of the world (the clock, randomness, an open TAP) is given to it here. A ``Node``
is one core of a node, and there is one in each of its processes; that of core 0 boots, watches and ends the others.
Read ``node_hardware`` for what they share and ``node_cores`` for how they live together.
"""

import functools
import gc
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from apps.memcached.server import Memcached
from drivers.virtio.control import ControlError
from drivers.virtio.tap import TapError, attach_queues
from ebbrt import build, ebb, ebb_kinds
from ebbrt.clock import MonotonicClock
from ebbrt.core_links import RingCoreLinks
from ebbrt.ebb_ids import EbbAllocator
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future, when_all
from ebbrt.layers import Stopwatch, TimedNetwork
from ebbrt.memory import MemoryAllocator
from ebbrt.network import NetworkManager
from ebbrt.signals import Signals
from netlab.host_addresses import check_addresses
from netlab.node_addresses import NodeAddresses, take_address
from netlab.node_config import (
    MOST_CORES,
    Application,
    NodeConfig,
    NodeError,
    NodeUsageError,
    check_application,
    check_cpus,
    check_lookup,
    check_ring_size,
    take_no_arguments,
)
from netlab.node_cores import UNPLUGGED, OtherCores, ended_how
from netlab.node_hardware import MIB, Hardware, memory_needed
from netlab.node_interfaces import NodeInterface
from netlab.node_statistics import summed, write_statistics
from netlab.transfer_node import start_transfer
from stack.network_manager import StackNetworkManager
from stack.stack import Stack
from stack.steering import Steering

__all__ = ["APPLICATIONS", "Node", "NodeConfig", "NodeError"]

BOOT_TIME = 30_000_000_000  # nanoseconds that the other cores have to come up
ADDRESS_TIME = 20_000_000  # nanoseconds between two looks at whether the addresses are settled
ANSWER_TIME = 2_000_000_000  # nanoseconds that they have to send their statistics


class Node:
    """One core of a node; ``run`` turns its loop until it is told to stop.

    clock, memory, allocator, events, network, links: this core's, for what is put on top of it. address: the node's
    IPv4 address, of its first interface; empty when it is DHCP's to give.
    """

    @classmethod
    def boot(cls, config: NodeConfig) -> "Node":
        """Core 0 of a node whose cores all serve as soon as ``run`` is called. Raises NodeError."""
        check_config(config)
        try:
            hardware = Hardware.open(config)
            # Before anything of core 0 is made: the others would inherit it.
            others = OtherCores.fork(config.cores, functools.partial(_be_core, config, hardware))
            try:
                node = cls(config, hardware, 0, others)
                node._bring_up()
            except BaseException:
                others.end()
                hardware.close()
                raise
            return node
        except TapError as error:
            raise NodeError(f"cannot open TAP {error.filename}: {error.strerror}", error.advice) from error
        except (ValueError, MemoryError, ControlError) as error:
            raise NodeError(f"the node cannot be booted: {error}") from error
        except OSError as error:  # of mmap
            raise NodeError(
                f"no room for node memory of {memory_needed(config) // MIB} MiB: {error.strerror}",
                "Give it less with --memory.",
            ) from error

    def __init__(
        self, config: NodeConfig, hardware: Hardware, number: int = 0, others: OtherCores | None = None
    ) -> None:
        self.config = config
        self.hardware = hardware
        self.number = number
        self.address = "" if config.address is None else str(config.address.ip)
        self.clock = MonotonicClock()
        self.memory = hardware.memory
        make = config.configuration.make
        self.allocator: MemoryAllocator = make(
            "memory_allocator", MemoryAllocator, self.memory, *hardware.part(number)
        )
        self.events: EventManager = make("event_manager", EventManager, self.clock)
        self.links: RingCoreLinks = make(
            "core_links", RingCoreLinks, hardware.links, number, self.events, self.allocator
        )
        self.stopwatch = Stopwatch(self.clock) if config.layers else None
        # A seed gives each core randomness of its own.
        chance = hardware.chance if not number or config.seed is None else random.Random(config.seed + number)
        self.stack = Stack(
            allocator=self.allocator,
            clock=self.clock,
            random=chance,
            secret=hardware.secret,
            steering=Steering(self.links, self.memory, hardware.steering) if hardware.cores > 1 else None,
            lookup=config.lookup,
        )
        self.interfaces = [
            NodeInterface(
                attachment,
                tap,
                number,
                self.memory,
                self.allocator,
                self.events,
                self.stack,
                config.ring_size,
                self.stopwatch,
            )
            for attachment, tap in zip(config.attachments(), hardware.taps, strict=True)
        ]
        for route in config.routes:
            self.stack.add_route(route.network, route.gateway)
        self.addresses = NodeAddresses(
            config, self.stack, self.events, self.links, _take_address, self.report, self._fail
        )
        self.network: NetworkManager = make("network_manager", StackNetworkManager, self.stack, self.events)
        if self.stopwatch:
            self.network = TimedNetwork(self.network, self.stopwatch)
        self._others = others
        self._reason: NodeError | None = None  # why it has to end
        self._gathered: list[dict[str, Any]] = []  # the statistics of the other cores, when they last told them
        self._install_ebbs()
        self.application = APPLICATIONS[config.application](self) if config.application is not None else None

    def _install_ebbs(self) -> None:
        """Make the base Ebbs known on this core (paper section 3.1.2)."""
        core = ebb.Core(self.number)
        core.install(ebb.MEMORY_ALLOCATOR, self.allocator)
        core.install(ebb.EVENT_MANAGER, self.events)
        make = self.config.configuration.make
        core.install(ebb.EBB_ALLOCATOR, EbbAllocator(0, self.number))
        core.install(ebb.LOCAL_ID_MAP, make("local_id_map", ebb.LocalIdMap))
        core.install(ebb.NETWORK_MANAGER, self.network)
        core.install(ebb.CORE_LINKS, self.links)
        ebb_kinds.start(core)
        core.enter()
        global _this_core
        _this_core = self

    def start(self) -> None:
        """Let this core's pairs of virtqueues receive."""
        for interface in self.interfaces:
            interface.start()

    def _bring_up(self) -> None:
        """Core 0: wait until the other cores are ready, have the device use all pairs of virtqueues, then receive.

        In this order no frame reaches a core that does not serve yet. Raises NodeError when a core does not come up.
        """
        if self.hardware.cores > 1:
            self._wait_for_others()
            for interface in self.interfaces:
                interface.use_all_queues(functools.partial(attach_queues, interface.tap))
        self.start()

    def _wait_for_others(self) -> None:
        """Turn the loop until every other core has answered a call."""
        assert self._others is not None
        self._others.watch(self.events)
        answers = when_all([self.links.call(number, _is_up) for number in range(1, self.hardware.cores)])
        answers.when_done(lambda _: self.events.stop())
        timer = self.events.set_timer(BOOT_TIME, self.events.stop)
        self.events.run()
        timer.stop()
        if not answers.done() or answers.error() is not None:
            raise self._failure() or NodeError(f"a core did not come up in {BOOT_TIME // 10**9} seconds")

    def run(self, ready: Callable[[], object]) -> None:
        """Serve until SIGTERM or SIGINT; ``ready`` is called once the node answers.

        Raises NodeError when the TAP was deleted, another core has ended, or the node got no address of its own.
        """
        if self.config.cpus:
            os.sched_setaffinity(0, {self.config.cpus[self.number % len(self.config.cpus)]})
        actions = {signal.SIGUSR1: self._report, signal.SIGTERM: self._end, signal.SIGINT: self._end}
        with Signals(self.events, actions):
            # Reference counts own everything on the data path, and no cycle is left behind there (docs/adr/0002). What
            # runs on a node without an application of ours is not ours to promise that for.
            gc.collect()
            gc.freeze()
            if self.config.application is not None:
                gc.disable()
            if self.number == 0:
                self.addresses.start(lambda: self.when_addressed(functools.partial(self._serve, ready)))
            self.events.run()
        for interface in self.interfaces:
            interface.stop()
        if self._others is None:
            return
        failure = self._failure()
        self._others.end()
        self._write_statistics()
        if failure is not None:
            raise failure

    def _serve(self, ready: Callable[[], object]) -> None:
        self.addresses.serving = True
        ready()

    def when_addressed(self, function: Callable[[], object]) -> None:
        """Call ``function`` from the loop once it is settled which addresses the node has (RFC 4862 section 5.4)."""
        if self.stack.ipv6.is_settled():
            self.events.spawn(function, force_async=True)
        else:
            self.events.set_timer(ADDRESS_TIME, lambda: self.when_addressed(function))

    def report(self, line: str) -> None:
        """Tell whoever runs the node what it should know, while it goes on."""
        print(f"netlab: {line}", file=sys.stderr, flush=True)

    def _fail(self, reason: NodeError) -> None:
        """End, since it cannot serve."""
        self._reason = self._reason or reason
        self.events.stop()

    def _failure(self) -> NodeError | None:
        """Why the node has ended, unless somebody asked for it."""
        assert self._others is not None
        if self._reason is not None:
            return self._reason
        fallen = self._others.fallen
        if self.unplugged() or (fallen is not None and os.waitstatus_to_exitcode(fallen[1]) == UNPLUGGED):
            names = [interface.tap.name for interface in self.interfaces if interface.device.unplugged]
            name = names[0] if names else self.config.tap
            return NodeError(f"TAP {name} was deleted under the node", "Make it again, then start the node.")
        if fallen is not None:
            return NodeError(f"core {fallen[0]} of the node {ended_how(fallen[1])}, and the node with it")
        return None

    def unplugged(self) -> bool:
        """Whether a TAP was deleted."""
        return any(interface.device.unplugged for interface in self.interfaces)

    def _report(self) -> None:
        """SIGUSR1: ask the other cores, then write everybody's statistics."""
        self._gather(self._write_statistics)

    def _end(self) -> None:
        """SIGTERM or SIGINT: stop, on core 0 once the other cores have told their statistics."""
        self._gather(self.events.stop)

    def _gather(self, then: Callable[[], object]) -> None:
        """Call ``then`` once the other cores have told their statistics, or when it takes them too long."""
        if self._others is None or self.hardware.cores == 1 or self.config.statistics is None:
            then()
            return
        waiting = [then]

        def go_on() -> None:
            if waiting:
                waiting.pop()()

        def told(answers: Future[list[dict[str, Any]]]) -> None:
            if answers.error() is None:
                self._gathered = answers.result()
            timer.stop()
            go_on()

        timer = self.events.set_timer(ANSWER_TIME, go_on)
        when_all([self.links.call(number, _tell_statistics) for number in range(1, self.hardware.cores)]).when_done(
            told
        )

    def core_statistics(self) -> dict[str, Any]:
        """The counters of every component of this core."""
        everything: dict[str, Any] = {
            "build": build.mode(),
            "cpu_ns": time.process_time_ns(),
            "events": self.events.statistics(),
            "memory": self.allocator.statistics(),
            **summed([interface.statistics() for interface in self.interfaces]),
            "stack": self.stack.statistics(),
            "core_links": self.links.statistics(),
        }
        everything.update(self.addresses.statistics())
        if self.config.application is not None and self.application is not None:
            everything[self.config.application] = self.application.statistics()
        if self.stopwatch:
            everything["layers"] = self.stopwatch.statistics()
        return everything

    def statistics(self) -> dict[str, Any]:
        """The counters of all cores added up, and under ``cores`` those of each, as far as they were gathered."""
        cores = [self.core_statistics(), *self._gathered]
        return {**summed(cores), "cores": cores}

    def _write_statistics(self) -> None:
        """Write them to the file that the configuration names, if it does."""
        if self.config.statistics is not None:
            write_statistics(self.config.statistics, self.statistics())

    def close(self) -> None:
        """End the other cores, if they run yet, and give the TAP, the links and the loop's descriptors back."""
        if self._others is not None:
            self._others.end()
        self.links.close()
        self.events.close()
        self.hardware.close()


_this_core: Node | None = None  # for functions that another core calls by name


def check_config(config: NodeConfig) -> None:
    """Raise NodeUsageError for what cannot be, wherever it is."""
    if config.application is not None:
        check_application(config.application, APPLICATIONS)
    if not 1 <= config.cores <= MOST_CORES:
        raise NodeUsageError(f"a node has 1 to {MOST_CORES} cores, not {config.cores}")
    check_cpus(config.cpus)
    check_lookup(config.lookup)
    check_addresses(config)
    check_ring_size(config.ring_size)


def _be_core(config: NodeConfig, hardware: Hardware, number: int) -> int:
    """What the process of core 1 and up does; its exit status."""
    try:
        node = Node(config, hardware, number)
    except (ValueError, MemoryError) as error:
        raise NodeError(f"it cannot be booted: {error}") from error
    node.start()
    node.run(ready=lambda: None)
    return UNPLUGGED if node.unplugged() else 0


def _is_up() -> None:
    """Called by core 0: that it is answered is the answer."""


def _tell_statistics() -> dict[str, Any]:
    """Called by core 0."""
    assert _this_core is not None
    return _this_core.core_statistics()


def _take_address(index: int, address: str | None, router: str | None) -> None:
    """Called by core 0."""
    assert _this_core is not None
    take_address(_this_core.stack, index, address, router)


def _start_memcached(node: Node) -> Memcached:
    """An application sees base Ebbs, and is one: calls through the reference reach this core's representative."""
    take_no_arguments("memcached", node.config.arguments)
    server = Memcached(
        network=cast(NetworkManager, ebb.network_manager),
        allocator=node.allocator,
        clock=node.clock,
        memory_limit=node.config.memory // node.config.cores,
        wall_clock=time.time_ns() - node.clock.now(),
        port=node.config.port,
        links=node.links,
    )
    ebb.current_core().install(ebb.ebb_allocator.allocate(), server)
    server.start()
    return server


APPLICATIONS: dict[str, Callable[[Node], Application]] = {"memcached": _start_memcached, "transfer": start_transfer}
