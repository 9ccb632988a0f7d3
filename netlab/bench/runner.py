"""One measured interval, and the order of all of them.

Each interval starts a fresh load on an emptied server, lets the first second pass, and then samples, at two moments
whose request counts the load generator gives, the clock and both cores' counters. What is between the two moments is
the measurement; nothing before or after them counts, whether connections, warm-up or clean-up.

Rounds alternate: every point is measured on every target before any is measured a second time, and the order of the
targets turns round by round, so that what drifts with time (a neighbour on the machine, heat) does not favour one.

memcaslap sleeps through its last second. The next interval's warm-up goes over it; its report is collected later. But
the server is emptied for the next interval only once the last reply of this one has come: of a thousand requests still
under way each GET would miss, and be counted as an error of this interval.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from netlab.bench import cpu, memcaslap, sockets
from netlab.bench.environment import OWN_CORE, SHARED
from netlab.bench.memcaslap import Load, LoadError, SilentLoadError
from netlab.bench.results import LAYERS, Row
from netlab.bench.targets import CLIENT, Target
from netlab.errors import NetlabError
from netlab.lab import Host, Lab

# memcaslap pins itself to CPU 0 where it is built with affinity support, so that is the client's.
CLIENT_CPU = 0
SERVER_CPU = 1
CLOSING_POLL = 0.005  # seconds
ATTEMPTS = 2  # at an interval in which memcaslap stops reporting
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
        self._load = load
        self._server = sockets.text_of(target.address, target.port)
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

    def wait_until_answered(self) -> None:
        """Wait until it has closed its connections, each of which it closes when the last reply on it has come.

        One that does not close within the time that it has for its end is not waited for: its report tells.
        """
        deadline = time.monotonic() + memcaslap.CLEAN_UP_TIMEOUT
        while self._process.poll() is None and self._connections() and time.monotonic() < deadline:
            time.sleep(CLOSING_POLL)

    def why_silent(self) -> str:
        """Why it does not report though it runs, from what can be seen of it now; empty when it has ended."""
        if self._process.poll() is not None:
            return ""
        count, wanted = self._connections(), self._load.concurrency
        if count < wanted:
            return f": it reports only while all {wanted} connections are open, and {count} are"
        return ": its connections are open, so the machine is too busy or the server does not answer"

    def _connections(self) -> int:
        """How many connections to the server are open in its network namespace."""
        try:
            table = Path(f"/proc/{self._process.pid}/net/tcp").read_text()
        except OSError:  # it has just ended
            return 0
        return sockets.established_to(table, self._server)

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
        self.notes: list[str] = []  # what was measured anew, and why

    def __enter__(self) -> "Runner":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Collect the last row, after an error too; then a failure of that is not told as well."""
        with suppress(*() if error is None else (NetlabError,)):
            self.finish()

    def measure(
        self, experiment: str, target: Target, load: Load, round_number: int, seconds: int, probe: Probe | None = None
    ) -> None:
        """Measure one interval. Its row is in `rows` after the next `measure` or `finish`.

        `probe` gives the nanoseconds that the target's layers have spent. Raises LoadError and TargetError, with
        what was being measured.
        """
        what = f"{target.name}, {load.concurrency} connections, {load.payload} bytes, round {round_number}"
        try:
            running, before, after = self._measure_again(target, load, seconds, probe, what)
        except (LoadError, OSError) as error:
            target.require_alive()
            raise LoadError(f"{what}: {error}") from error
        self._closing = running, lambda errors: _row(experiment, target, load, round_number, before, after, errors)

    def _measure_again(
        self, target: Target, load: Load, seconds: int, probe: Probe | None, what: str
    ) -> tuple[RunningLoad, Moment, Moment]:
        """Run one load; once more, when it stops reporting: a loaded machine can lose it a connection."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._run_load(target, load, seconds, probe)
            except SilentLoadError as error:
                target.require_alive()
                if attempt == ATTEMPTS:
                    raise
                self.notes.append(f"{what}: measured anew, because {error}")
        raise AssertionError("unreachable")

    def _run_load(
        self, target: Target, load: Load, seconds: int, probe: Probe | None
    ) -> tuple[RunningLoad, Moment, Moment]:
        target.require_alive()
        if self._closing is not None:
            self._closing[0].wait_until_answered()
        target.flush()
        running = RunningLoad(self._client, load, target, seconds, self._scratch)
        try:
            before, after = self._interval(running, seconds, probe)
            self.finish()
        except SilentLoadError as error:
            reason = running.why_silent()
            running.abandon()
            raise SilentLoadError(f"{error}{reason}") from error
        except BaseException:
            running.abandon()
            raise
        return running, before, after

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
