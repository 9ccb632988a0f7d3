"""``netlab demo``: the paper's experiment, from nothing to a report, in three minutes on two cores.

Steps, in order: a lab with a node and the real memcached, both healthy; throughput against concurrency; the same
small run of each captured, compared, and the Linux one replayed to the node; throughput against payload on links of
1 Gb/s; the node once more, timing its own layers; figures and report. `netlab.bench` does the measuring.

A step that fails says why, and the others go on: what was measured is kept, and the report tells both.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netlab import plot, report
from netlab.bench import environment, memcaslap, runner, sampling, targets
from netlab.bench.ending import ending
from netlab.bench.layers import LayerProbe
from netlab.bench.memcaslap import Load
from netlab.bench.results import to_csv
from netlab.bench.runner import SERVER_CPU, Runner
from netlab.bench.session import INTERVAL_OVERHEAD
from netlab.bench.targets import CLIENT, Target
from netlab.errors import NetlabError
from netlab.findings import Failure, Findings
from netlab.lab import Lab
from netlab.whole_file import write_whole

CPU_MODE = "own-core"
SMALL_VALUE = 32
CONCURRENCIES = (1, 4, 16, 64, 128, 256, 512)
PAYLOADS = (64, 256, 512, 1024, 2048, 4096, 8192)
PAYLOAD_CONNECTIONS = 64
LAYER_CONCURRENCIES = (1, 16, 64, 256)
ROUNDS = 2
SECONDS = 1  # measured in each interval

# A slow machine gives up second rounds, never points: by these times, in seconds since the start, a sweep is over.
CONCURRENCY_DEADLINE = 75.0
PAYLOAD_DEADLINE = 145.0

INTERVAL = memcaslap.WARM_UP_SECONDS + SECONDS + INTERVAL_OVERHEAD
_SWEEP = len(CONCURRENCIES) * 2 * ROUNDS * INTERVAL
_WEIGHTS = {  # expected seconds of each step: the progress bar's scale
    "boot": 2.0,
    "concurrency": _SWEEP,
    "capture": 5.0,
    "payload": _SWEEP,
    "layers": len(LAYER_CONCURRENCIES) * INTERVAL + 2.0,
    "report": 4.0,
}

Advance = Callable[[float, str], None]  # the share done, 0 to 1, and what is being done
NodeStarter = Callable[..., Target]


def run(out: Path, advance: Advance, start_node: NodeStarter = targets.start_node) -> Findings:
    """The whole demo, its files in the folder `out`.

    What ended it early is in the findings; it is raised only when there is nothing to report.
    """
    out.mkdir(parents=True, exist_ok=True)
    demo = None
    described = environment.describe(CPU_MODE, runner.SERVER_CPU, runner.CLIENT_CPU)
    with (
        ending() as ended,
        tempfile.TemporaryDirectory(prefix="netlab-demo-") as scratch,
        Lab.create() as lab,
        runner.off_the_server_core(),
        ExitStack() as running,
    ):
        demo = Demo(lab, out, Path(scratch), Findings(described), advance, start_node)
        running.callback(demo.stop)
        demo.boot()
        demo.measure()
    if ended.error is not None and (demo is None or not demo.findings.rows):
        raise ended.error
    assert demo is not None
    if ended.reason is not None:
        demo.findings.ended = ended
        demo.findings.failures.append(Failure("measure", ended.reason, ""))
    return demo.write_report()


class Demo:
    """One run: the lab, its two servers, and what has been found."""

    def __init__(
        self, lab: Lab, out: Path, scratch: Path, findings: Findings, advance: Advance, start_node: NodeStarter
    ) -> None:
        self._lab = lab
        self._out = out
        self._scratch = scratch
        self._advance = advance
        self._start_node = start_node
        self._started = time.monotonic()
        self._runner = Runner(lab, scratch)
        self._done = 0.0
        self._targets: list[Target] = []
        self.findings = findings
        findings.rows = self._runner.rows

    def boot(self) -> None:
        """Start both servers; each has answered a health check afterwards."""
        self._advance(0.0, "boot: node and memcached")
        for start in (self._start_node, targets.start_linux):
            self._targets.append(start(self._lab, SERVER_CPU))
        runner.apply_cpu_mode(
            self._lab, self.findings.environment.cpu_mode, [target.machine for target in self._targets]
        )
        self.findings.versions = {target.name: target.version for target in self._targets}
        self._save("environment.json", {**self.findings.environment.as_dict(), "servers": self.findings.versions})
        self._done += _WEIGHTS["boot"]

    def stop(self) -> None:
        """End the servers."""
        for target in self._targets:
            target.stop()

    def measure(self) -> None:
        """Every step that needs the lab, each on its own."""
        with self._step("concurrency"):
            self._sweep("concurrency", [Load(each, SMALL_VALUE) for each in CONCURRENCIES], CONCURRENCY_DEADLINE)
        with self._step("capture"):
            self._capture()
        with self._step("payload"):
            for machine in (CLIENT, *(target.machine for target in self._targets)):
                self._lab.shape(machine, plot.LINK_BITS_PER_SECOND)
            self._sweep("payload", [Load(PAYLOAD_CONNECTIONS, each) for each in PAYLOADS], PAYLOAD_DEADLINE)
        with self._step("layers"):
            for machine in (CLIENT, *(target.machine for target in self._targets)):
                self._lab.unshape(machine)
            self._layers()

    def write_report(self) -> Findings:
        """Draw the figures and write the report; the lab is not needed any more."""
        self._advance(1 - _WEIGHTS["report"] / sum(_WEIGHTS.values()), "report")
        self._save_rows()
        figures = plot.draw(self.findings.rows, self._out)
        self.findings.seconds = time.monotonic() - self._started
        write_whole(self._out / "report.html", report.render(self.findings, figures))
        self._advance(1.0, "done")
        return self.findings

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """A part of the run: its failure is noted and kept from the others."""
        try:
            try:
                yield
            finally:
                self._runner.finish()
        except NetlabError as error:
            self.findings.failures.append(Failure(name, error.message, error.remedy))
        self._save_rows()
        self._done += _WEIGHTS[name]

    def _sweep(self, experiment: str, loads: Sequence[Load], deadline: float) -> None:
        order = list(runner.interleave(self._targets, loads, ROUNDS))
        for position, (number, load, target) in enumerate(order):
            if number > 1 and time.monotonic() - self._started > deadline:
                break
            what = f"{load.concurrency} connections" if experiment == "concurrency" else f"{load.payload} bytes"
            self._progress(experiment, position / len(order), f"{experiment}: {target.name}, {what}, round {number}")
            self._runner.measure(experiment, target, load, number, SECONDS)
            self._save_rows()

    def _capture(self) -> None:
        paths = {}
        for position, target in enumerate(self._targets):
            self._progress("capture", position / 3, f"capture: {target.name}")
            paths[target.name] = self._out / f"{target.name}.pcapng"
            result = sampling.record(self._lab, target, paths[target.name], self._scratch)
            self.findings.captures[target.name] = {"file": result.path.name, "packets": result.packets}
        self._progress("capture", 2 / 3, "capture: compare and replay")
        node = self._targets[0]
        self.findings.comparison = asdict(sampling.compared(paths["node"], paths["linux"]))
        self._save("comparison.json", self.findings.comparison)
        self.findings.replay = sampling.replay_document(sampling.replayed(paths["linux"], node))
        self._save("replay.json", self.findings.replay)

    def _layers(self) -> None:
        """Boot the node again, timing itself this time, and load it at a few concurrencies."""
        self._targets[0].stop()
        statistics = self._scratch / "node-statistics.json"
        node = self._start_node(self._lab, SERVER_CPU, statistics=statistics, layers=True)
        self._targets.append(node)
        probe = LayerProbe(node, statistics)
        for position, concurrency in enumerate(LAYER_CONCURRENCIES):
            share = position / len(LAYER_CONCURRENCIES)
            self._progress("layers", share, f"layers: {concurrency} connections")
            self._runner.measure("layers", node, Load(concurrency, SMALL_VALUE), 1, SECONDS, probe)

    def _progress(self, step: str, share: float, what: str) -> None:
        self._advance((self._done + share * _WEIGHTS[step]) / sum(_WEIGHTS.values()), what)

    def _save_rows(self) -> None:
        write_whole(self._out / plot.RESULTS, to_csv(self._runner.rows))

    def _save(self, name: str, document: Any) -> None:
        write_whole(self._out / name, json.dumps(document, indent=2) + "\n")
