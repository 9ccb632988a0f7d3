"""What the runtime costs between nodes: a front-end program that measures in a lab, and prints JSON, a line a figure.

    python -P -m netlab.bench.runtime_nodes ROUNDS ECHO_ADDRESS

A message's round trip is a call from one back-end to another, each on a CPU of its own. It is held against that of as
many bytes over one TCP connection of the kernel, from this process to the ``echo`` program on another host of the
same bridge, on the same two CPUs. Both are measured in every round, with nothing else to do. A boot is timed here,
from the call of ``allocate`` until the node is ready: from the daemon's pool of dormant nodes; and cold, as a node of
a size that the pool does not have.
"""

import json
import os
import socket
import statistics
import sys
import time
from typing import Any

from ebbrt.front_end import run
from ebbrt.future import Future, Promise, when_all
from ebbrt.messages import pack, unpack
from ebbrt.node_allocator import AllocatedNode
from ebbrt.runtime import Runtime
from netlab.bench.runner import CLIENT_CPU, SERVER_CPU
from netlab.bench.runtime_pinger import PAYLOAD, PINGER, TIMEOUT, WARM_UP

APPLICATION = "netlab.bench.runtime_pinger:back_end"
TRIPS = 2000  # of a round
ECHO_PORT = 7
REFILL = 500_000_000  # ns for the daemon to boot another dormant node
MEMORY = (16 << 20, 20 << 20)  # bytes of a node: the daemon's choice for its pool, and one that no dormant node has


def linux_round_trip(connection: socket.socket, trips: int) -> float:
    """The median round trip over a connection of the kernel, in ns."""
    payload = bytes(PAYLOAD)
    times = []
    for _ in range(trips):
        start = time.perf_counter_ns()
        connection.sendall(payload)
        left = PAYLOAD
        while left:
            left -= len(connection.recv(left))
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times[WARM_UP:])


async def front_end(runtime: Runtime) -> None:
    """Measure, and print."""
    rounds, echo_address = int(sys.argv[1]), sys.argv[2]
    os.sched_setaffinity(0, {CLIENT_CPU})
    for name, memory in zip(("pool", "cold"), MEMORY, strict=True):
        _print(name, await boots(runtime, rounds, memory))
    nodes = await when_all(runtime.node_allocator.allocate(2, APPLICATION))
    await when_all(
        [ask(runtime, node, ["pin", cpu]) for node, cpu in zip(nodes, (CLIENT_CPU, SERVER_CPU), strict=True)]
    )
    with socket.create_connection((echo_address, ECHO_PORT)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        messages, linux = [], []
        for _ in range(rounds):
            messages.append(await ask(runtime, nodes[0], ["ping", list(nodes[1].id), TRIPS]))
            linux.append(linux_round_trip(connection, TRIPS))
    _print("messages", messages)
    _print("linux", linux)


async def boots(runtime: Runtime, rounds: int, memory: int) -> list[float]:
    """Nanoseconds that each of so many boots took, one after the other."""
    times: list[float] = []
    for _ in range(rounds):
        await pause(runtime, REFILL)
        start = time.perf_counter_ns()
        (future,) = runtime.node_allocator.allocate(1, APPLICATION, memory=memory)
        node = await future
        times.append(time.perf_counter_ns() - start)
        await runtime.node_allocator.free(node)
    return times


def ask(runtime: Runtime, node: AllocatedNode, question: list[Any]) -> Future[Any]:
    """What the Pinger of ``node`` answers."""
    return runtime.messenger.call(node.id, PINGER, pack(runtime.allocator, question), TIMEOUT).then(unpack)


def pause(runtime: Runtime, nanoseconds: int) -> Future[None]:
    """Ready after that time."""
    promise: Promise[None] = Promise()
    runtime.events.set_timer(nanoseconds, lambda: promise.set_value(None))
    return promise.future


def echo(address: str) -> None:
    """Send back what comes, on one connection, until it ends: the other end of the kernel's round trips."""
    with socket.create_server((address, ECHO_PORT)) as listener:
        print("ready", flush=True)
        connection = listener.accept()[0]
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(PAYLOAD):
            connection.sendall(data)


def _print(name: str, values: list[float]) -> None:
    print(json.dumps({name: values}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(sys.argv[2])
    else:
        from netlab.bench import runtime_nodes

        run(runtime_nodes.front_end)
