"""One measured interval, and the order of all of them.

Each interval starts a fresh load on an emptied server, lets the first second pass, and then samples, at two moments
whose request counts the load generator gives, the clock and both cores' counters. What is between the two moments is
the measurement; nothing before or after them counts, whether connections, warm-up or clean-up.

Rounds alternate: every point is measured on every target before any is measured a second time, and the order of the
targets turns round by round, so that what drifts with time (a neighbour on the machine, heat) does not favour one.

memcaslap sleeps through its last second. The next interval's warm-up goes over it; its report is collected later.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlab.bench import cpu, memcaslap
from netlab.bench.environment import OWN_CORE, SHARED
from netlab.bench.memcaslap import Load, LoadError
from netlab.bench.results import LAYERS, Row
from netlab.bench.targets import CLIENT, Target
from netlab.lab import Host, Lab

# memcaslap pins itself to CPU 0 where it is built with affinity support, so that is the client's.
CLIENT_CPU = 0
SERVER_CPU = 1
CPU_MODES = (OWN_CORE, SHARED)

Probe = Callable[[], Mapping[str, int]]  # nanoseconds spent so far, by layer


@dataclass(frozen=True)
class Moment:
    """One end of a measured interval."""

    requests: int
    seconds: float
    proc_stat: str
    layers: Mapping[str, int]


class RunningLoad:
    """A memcaslap that runs in the client's machine."""

    def __init__(self, client: Host, load: Load, target: Target, seconds: int, scratch: Path) -> None:
        config = scratch / f"values-of-{load.payload}.cfg"
        config.write_text(memcaslap.config_text(load.payload))
        controlling, terminal = os.openpty()
        self._output = memcaslap.LoadOutput(controlling)
        try:
            self._process: subprocess.Popen[Any] = client.popen(
                memcaslap.command(load, target.address, target.port, memcaslap.WARM_UP_SECONDS + seconds, str(config)),
                cpu=CLIENT_CPU,
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
            )
        except BaseException:
            self._output.close()
            raise
        finally:
            os.close(terminal)

    def wait_for_second(self, second: int) -> int:
        """Wait until that second of its run is over: the requests it has done by then."""
        while True:
            at, requests = self._output.next_block()
            if at >= second:
                return requests

    def require_pinned(self) -> None:
        """Raise LoadError when one of its threads may leave the client's core."""
        for thread in os.listdir(f"/proc/{self._process.pid}/task"):
            allowed = os.sched_getaffinity(int(thread))
            if allowed != {CLIENT_CPU}:
                raise LoadError(f"{memcaslap.PROGRAM} runs on CPUs {sorted(allowed)}, not on {CLIENT_CPU} alone")

    def finish(self) -> memcaslap.FinalReport:
        """Wait for its end; what it reports of its whole run."""
        try:
            report = memcaslap.parse_final(self._output.read_to_end())
            code = self._process.wait(memcaslap.CLEAN_UP_TIMEOUT)
        except BaseException:
            self.abandon()
            raise
        self._output.close()
        if code != 0:
            raise LoadError(f"{memcaslap.PROGRAM} ended with exit code {code}")
        return report

    def abandon(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._output.close()


class Runner:
    """Measures targets of one lab and collects the rows."""

    def __init__(self, lab: Lab, scratch: Path) -> None:
        self._client = lab.hosts[CLIENT]
        self._scratch = scratch
        self._closing: tuple[RunningLoad, Callable[[int], Row]] | None = None
        self.rows: list[Row] = []

    def measure(
        self, experiment: str, target: Target, load: Load, round_number: int, seconds: int, probe: Probe | None = None
    ) -> None:
        """Measure one interval. Its row is in `rows` after the next `measure` or `finish`.

        `probe` gives the nanoseconds that the target's layers have spent. Raises LoadError and TargetError, with
        what was being measured.
        """
        try:
            target.require_alive()
            target.flush()
            running = RunningLoad(self._client, load, target, seconds, self._scratch)
            try:
                before, after = self._interval(running, seconds, probe)
                self.finish()
            except BaseException:
                running.abandon()
                raise
        except (LoadError, OSError) as error:
            target.require_alive()
            raise LoadError(
                f"{target.name}, {load.concurrency} connections, {load.payload} bytes, round {round_number}: {error}"
            ) from error
        self._closing = running, lambda errors: _row(experiment, target, load, round_number, before, after, errors)

    def finish(self) -> None:
        """Collect the report of the load that ended last, and with it the row."""
        if self._closing is not None:
            (running, make_row), self._closing = self._closing, None
            self.rows.append(make_row(running.finish().errors()))

    def _interval(self, running: RunningLoad, seconds: int, probe: Probe | None) -> tuple[Moment, Moment]:
        before = _moment(running.wait_for_second(memcaslap.WARM_UP_SECONDS), probe)
        running.require_pinned()
        after = _moment(running.wait_for_second(memcaslap.WARM_UP_SECONDS + seconds), probe)
        if after.requests <= before.requests:
            raise LoadError("no request was answered")
        return before, after


def interleave(targets: Sequence[Target], loads: Sequence[Load], rounds: int) -> Iterator[tuple[int, Load, Target]]:
    """The order of measuring: rounds outside, points inside, targets side by side, their order turning each round."""
    for number in range(1, rounds + 1):
        order = list(targets) if number % 2 else list(targets)[::-1]
        for load in loads:
            for target in order:
                yield number, load, target


def apply_cpu_mode(lab: Lab, mode: str, servers: Sequence[str]) -> None:
    """Steer each machine's receive processing to its core (``own-core``), or leave Linux's default (``shared``).

    In both modes the programs are pinned; `servers` are the machines that serve.
    """
    for machine in (CLIENT, *servers):
        if mode == OWN_CORE:
            lab.steer(machine, CLIENT_CPU if machine == CLIENT else SERVER_CPU)
        else:
            lab.unsteer(machine)


@contextmanager
def off_the_server_core() -> Iterator[None]:
    """Keep this process, which only watches, on the client's core meanwhile."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {CLIENT_CPU})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _moment(requests: int, probe: Probe | None) -> Moment:
    return Moment(requests, time.monotonic(), cpu.sample(), probe() if probe else {})


def _row(experiment: str, target: Target, load: Load, number: int, before: Moment, after: Moment, errors: int) -> Row:
    requests = after.requests - before.requests
    server = [cpu.core_times(moment.proc_stat, SERVER_CPU) for moment in (before, after)]
    client = [cpu.core_times(moment.proc_stat, CLIENT_CPU) for moment in (before, after)]
    layers = {
        f"{layer}_us": (after.layers[layer] - before.layers[layer]) / 1000 / requests
        for layer in LAYERS
        if layer in before.layers and layer in after.layers
    }
    return Row(
        experiment=experiment,
        target=target.name,
        concurrency=load.concurrency,
        payload=load.payload,
        round=number,
        requests_per_s=requests / (after.seconds - before.seconds),
        server_core_us_per_request=cpu.busy_seconds(*server) * 1e6 / requests,
        client_core_busy=cpu.busy_share(*client),
        errors=errors,
        **layers,
    )
