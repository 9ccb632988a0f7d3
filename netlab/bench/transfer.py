"""``netlab bench transfer``: how soon an idle server answers, and how fast one connection is, in both directions.

Every server runs the application ``transfer``: the node over its own stack, compiled as all that is hot, and Linux
over the kernel's, as a plain Python program around its system calls. The client is this process, with sockets of the
lab's client machine, on the client's CPU. In each round each target is measured before any is measured again, and the
order turns (``runner.interleave`` says why):

- *latency*: on an established connection nothing has happened for a pause; then a request for one byte goes out, and
  the time to its arrival is taken. The value of a round is the median of its requests.
- *get*, *put*: bits per second from and to the server over one connection, without digests. A first transfer opens the
  windows and says how long the measured one, which follows on the same connection, has to be.
"""

import socket
import statistics
import struct
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from apps.transfer.linux import Sender, receive_message, transfer
from apps.transfer.protocol import BLOCK, DIGEST_LENGTH, GET, OPERATIONS, Request
from netlab import python
from netlab.bench import cpu, environment, runner
from netlab.bench.ending import ending
from netlab.bench.figures import Figure, Outcome, compared, figure
from netlab.bench.session import PlanError
from netlab.bench.targets import CLIENT, Target, boot_node, stopped_on_failure, wait_until_ready
from netlab.errors import NetlabError
from netlab.lab import Lab
from netlab.node_config import PORTS

LATENCY = "latency"
MEASURES = (LATENCY, *OPERATIONS)
REQUESTS = 100  # of one round's latency
PAUSE = 0.01  # seconds in which nothing happens on a connection before a request
FIRST_BYTES = 64 * BLOCK
MOST_BYTES = 1 << 36
STALL_SECONDS = 10  # without a byte: then a measurement has failed
MOST_LATENCY = 1.1  # of the first target's over the second's
LEAST_THROUGHPUT = 0.5

Progress = Callable[[int, int, str], None]  # intervals done, of how many, and which is next


class TransferBenchError(NetlabError):
    """A transfer that did not come to its end."""


@dataclass(frozen=True)
class Row:
    """One interval: microseconds of ``latency``, or Gb/s; and how busy both cores were during it, 0 to 1."""

    measure: str
    target: str
    round: int
    value: float
    seconds: float
    server_core_busy: float
    client_core_busy: float


def start_node(lab: Lab, core: int | None) -> Target:
    """A node that serves transfers."""
    return boot_node(lab, core, "node", "transfer")


def start_linux(lab: Lab, core: int | None) -> Target:
    """The Linux program that serves transfers, on the lab's server."""
    host = lab.hosts["server"]
    complaints = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the target)
    process = host.popen(
        python.module_command("apps.transfer.linux", "serve", "--address", host.address),
        cpu=core,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
    )
    port = PORTS["transfer"]
    target = Target("linux", "server", host.address, process, lab.hosts[CLIENT], complaints, port=port)
    with stopped_on_failure(target):
        wait_until_ready(target)
    return target


STARTERS: dict[str, Callable[[Lab, int], Target]] = {"node": start_node, "linux": start_linux}


@dataclass(frozen=True)
class Plan:
    """What one session measures. Raises PlanError when it makes no sense."""

    targets: tuple[str, ...]
    seconds: float
    rounds: int
    cpu_mode: str
    starters: Mapping[str, Callable[[Lab, int], Target]] = field(default_factory=lambda: STARTERS)

    def __post_init__(self) -> None:
        if not self.targets or len(set(self.targets)) < len(self.targets) or set(self.targets) - set(self.starters):
            raise PlanError(f"targets {','.join(self.targets)!r}", f"Name each once, of: {', '.join(self.starters)}.")
        if self.cpu_mode not in runner.CPU_MODES:
            raise PlanError(f"CPU mode {self.cpu_mode!r}", f"There are {' and '.join(runner.CPU_MODES)}.")


@dataclass(frozen=True)
class TransferOutcome(Outcome):
    """The figures, and the intervals they come of."""

    rows: Sequence[Row]

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {"rows": [asdict(row) for row in self.rows], **super().document()}


def run(plan: Plan, progress: Progress) -> TransferOutcome:
    """Make a lab, measure, remove the lab.

    Ctrl-C or an error leaves nothing of the lab, see netlab.lab; what was measured before is in the outcome.
    """
    described = environment.describe(plan.cpu_mode, runner.SERVER_CPU, runner.CLIENT_CPU)
    rows: list[Row] = []
    with ending() as ended, Lab.create() as lab, runner.off_the_server_core(), ExitStack() as running:
        targets = []
        for name in plan.targets:
            targets.append(plan.starters[name](lab, runner.SERVER_CPU))
            running.callback(targets[-1].stop)
        runner.apply_cpu_mode(lab, described.cpu_mode, [target.machine for target in targets])
        order = list(_order(targets, plan.rounds))
        for done, (number, measure, target) in enumerate(order):
            progress(done, len(order), f"round {number}: {target.name}, {measure}")
            rows.append(_measured(measure, target, number, plan.seconds))
        progress(len(order), len(order), "done")
    return TransferOutcome(figures(rows, plan.targets), described, rows, ended=ended)


def _order(targets: Sequence[Target], rounds: int) -> Iterator[tuple[int, str, Target]]:
    for number in range(1, rounds + 1):
        for measure in MEASURES:
            for target in targets if number % 2 else targets[::-1]:
                yield number, measure, target


def _measured(measure: str, target: Target, number: int, seconds: float) -> Row:
    """One interval, on a connection of its own."""
    try:
        target.require_alive()
        with target.connect() as connection:
            connection.settimeout(None)  # a timeout of Python's would poll before each call; the kernel's does not
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", STALL_SECONDS, 0))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", STALL_SECONDS, 0))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if measure == LATENCY:
                return _latency(connection, target.name, number)
            return _bulk(connection, measure, target.name, number, seconds)
    except OSError as error:
        target.require_alive()
        raise TransferBenchError(f"{target.name}, {measure}, round {number}: {error}") from error


class _Watch:
    """The clock and both cores' counters, from its making to `stop`."""

    def __init__(self) -> None:
        self._stat = cpu.sample()
        self._began = time.perf_counter()

    def stop(self) -> tuple[float, float, float]:
        """Seconds, and the busy shares of the server's core and of the client's."""
        seconds = time.perf_counter() - self._began
        stat = cpu.sample()
        cores = runner.SERVER_CPU, runner.CLIENT_CPU
        server, client = (cpu.busy_share(*(cpu.core_times(at, core) for at in (self._stat, stat))) for core in cores)
        return seconds, server, client


def _latency(connection: socket.socket, target: str, number: int) -> Row:
    request = Request(GET, 1, checked=False).pack()
    times = []
    watch = _Watch()
    for _ in range(REQUESTS):
        time.sleep(PAUSE)
        sent = time.perf_counter_ns()
        connection.sendall(request)
        first = connection.recv(1)
        times.append(time.perf_counter_ns() - sent)
        if not first or len(receive_message(connection, DIGEST_LENGTH)) < DIGEST_LENGTH:
            raise ConnectionError("the connection ended")
    return Row(LATENCY, target, number, statistics.median(times) / 1000, *watch.stop())


def _bulk(connection: socket.socket, operation: str, target: str, number: int, seconds: float) -> Row:
    sender = Sender(0)
    began = time.perf_counter()
    transfer(connection, Request(OPERATIONS[operation], FIRST_BYTES, checked=False), sender)
    rate = FIRST_BYTES / (time.perf_counter() - began)
    length = min(max(int(rate * seconds), FIRST_BYTES), MOST_BYTES)
    watch = _Watch()
    transfer(connection, Request(OPERATIONS[operation], length, checked=False), sender)
    measured = watch.stop()
    return Row(operation, target, number, length * 8 / measured[0] / 1e9, *measured)


def figures(rows: Sequence[Row], targets: Sequence[str]) -> list[Figure]:
    """The figures that rows come to: of two targets the first against the second, else of each.

    A figure of which no round is there, or with two targets no round of both, is left out.
    """
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.round):
        values[row.measure, row.target].append(row.value)
        if row.measure != LATENCY:  # core time of the server for what goes over the connection
            values[f"{row.measure}, core", row.target].append(row.server_core_busy * 8 / row.value)
    names = {
        LATENCY: ("idle to first byte", "us", MOST_LATENCY, False),
        "get": ("from the server", "Gb/s", LEAST_THROUGHPUT, True),
        "get, core": ("from the server, its core", "s/GB", None, False),
        "put": ("to the server", "Gb/s", LEAST_THROUGHPUT, True),
        "put, core": ("to the server, its core", "s/GB", None, False),
    }
    if len(targets) != 2:
        return [
            figure(f"{name}, {target}", unit, values[measure, target])
            for measure, (name, unit, _, _) in names.items()
            for target in targets
            if values[measure, target]
        ]
    found = []
    for measure, (name, unit, target, at_least) in names.items():
        pairs = list(zip(*(values[measure, each] for each in targets), strict=False))  # a round may lack the second
        if pairs:
            one, other = ([pair[which] for pair in pairs] for which in (0, 1))
            found.append(compared(name, unit, one, targets[1], other, target, at_least=at_least))
    return found
