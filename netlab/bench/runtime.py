"""``netlab bench runtime``: what events, references, messages, boots and buffers cost, each against its target."""

import json
import os
import subprocess
from collections.abc import Callable

from netlab import python
from netlab.bench import environment, memory_costs, runtime_core
from netlab.bench.ending import ending
from netlab.bench.figures import Figure, Outcome, compared, figure
from netlab.bench.runner import CLIENT_CPU, SERVER_CPU
from netlab.errors import NetlabError
from netlab.iaas import launch
from netlab.lab import Lab
from netlab.topology import Machine, Topology

POOL = 4
MODULE = "netlab.bench.runtime_nodes"
MEASURED_SIZES = (100, 512, 1500, 65536)  # bytes of those whose memory is looked at
TIMED_SIZES = (128, 512, 4096, 65536, 1 << 20)  # bytes of the buffers that are timed
NODES_TIMEOUT = 300.0  # seconds
US, MS = 1000, 1_000_000

Progress = Callable[[str], None]


class RuntimeBenchError(NetlabError):
    """The measurement between nodes has failed."""


def run(rounds: int, progress: Progress) -> Outcome:
    """Measure everything; the lab it needs is gone afterwards. What ends it early leaves what was measured before."""
    described = environment.describe(environment.OWN_CORE, SERVER_CPU, CLIENT_CPU)
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVER_CPU})
    figures: list[Figure] = []
    with ending() as ended:
        try:
            progress("events, contexts, references")
            figures += runtime_core.measure(rounds)
            progress("buffers")
            figures += buffers(rounds)
        finally:
            os.sched_setaffinity(0, allowed)
        progress("nodes: boots, then messages")
        figures += between_nodes(rounds, steered=described.cpu_mode == environment.OWN_CORE)
    return Outcome(figures, described, ended=ended)


def buffers(rounds: int) -> list[Figure]:
    """Time against ``bytearray``; and the bytes that a buffer takes beyond its own."""
    costs = memory_costs.allocation_costs(rounds=rounds, sizes=TIMED_SIZES)
    figures = [
        Figure(
            f"buffer of {sized(cost.size)}, made and freed",
            "ns",
            rounds,
            cost.buffer_ns,
            cost.buffer_ns,
            cost.buffer_ns,
            against="bytearray",
            baseline=cost.bytearray_ns,
            ratio=cost.ratio,
        )
        for cost in costs
    ]
    for size in MEASURED_SIZES:
        taken = memory_costs.buffer_bytes(size).total()
        figures.append(figure(f"memory of a buffer of {sized(size)}", "bytes", [taken]))
    return figures


def sized(size: int) -> str:
    """A number of bytes as a person writes it."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"


def between_nodes(rounds: int, steered: bool) -> list[Figure]:
    """Boots, and round trips of messages against the kernel's TCP, in a lab of their own."""
    topology = Topology(
        "198.18.0.0/16", hosts=(Machine("front-end", "198.18.0.1"), Machine("echo", "198.18.0.2")), nodes=()
    )
    with Lab.create(topology) as lab:
        launch.start(lab, launch.config_of(lab, pool=POOL))
        if steered:
            lab.steer("front-end", CLIENT_CPU)
            lab.steer("echo", SERVER_CPU)
        echo_host = lab.hosts["echo"]
        echo = echo_host.popen(
            python.module_command(MODULE, "echo", echo_host.address), SERVER_CPU, stdout=subprocess.PIPE, text=True
        )
        assert echo.stdout is not None
        echo.stdout.readline()
        front_end = lab.hosts["front-end"]
        done = front_end.run(
            python.module_command(MODULE, str(rounds), echo_host.address),
            timeout=NODES_TIMEOUT,
            env={**os.environ, **launch.environment_of(lab, front_end)},
            capture_output=True,
            text=True,
        )
        echo.stdout.close()
    if done.returncode != 0:
        raise RuntimeBenchError("the front-end that measures has failed", done.stderr.strip())
    found = {name: values for line in done.stdout.splitlines() for name, values in json.loads(line).items()}
    times = {name: [value / (MS if name in ("pool", "cold") else US) for value in found[name]] for name in found}
    return [
        compared("message, node to node and back", "us", times["messages"], "TCP of Linux", times["linux"], 1.3),
        figure("boot from the pool", "ms", times["pool"], 50),
        figure("boot, cold", "ms", times["cold"], 500),
    ]
