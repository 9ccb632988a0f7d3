"""``netlab bench memcached``: a lab, servers in it, one point measured in alternating rounds.

The pieces are in `targets` and `runner`; this composes them and says what a session's outcome looks like.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from netlab.bench import environment, runner
from netlab.bench.ending import Ending, ending
from netlab.bench.memcaslap import Load
from netlab.bench.results import Ratio, Row, Summary, ratios, summarize
from netlab.bench.targets import STARTERS, Target, require_checkout, start_node
from netlab.errors import UsageError
from netlab.lab import Lab
from netlab.node_config import check_lookup
from netlab.topology import Machine, Topology, default_topology
from stack.tcp.lookups import DEFAULT_LOOKUP

EXPERIMENT = "bench"
BASELINE = Machine("baseline", "198.18.0.4")
OTHER_LOOKUP_ADDRESS = "198.18.0.5"
INTERVAL_OVERHEAD = 0.2  # seconds: starting a load, emptying a store
_MAX_SECONDS = 3600

Starter = Callable[[Lab, int], Target]
Progress = Callable[[int, int, str], None]  # intervals done, of how many, and which is next


class PlanError(UsageError):
    """A session that cannot be."""


@dataclass(frozen=True)
class Plan:
    """What one session measures. Raises PlanError when it makes no sense."""

    targets: tuple[str, ...]
    loads: tuple[Load, ...]
    seconds: int
    rounds: int
    cpu_mode: str
    starters: Mapping[str, Starter] = field(default_factory=lambda: STARTERS)

    def __post_init__(self) -> None:
        unknown = [name for name in self.targets if name not in self.starters]
        if unknown or not self.targets or len(set(self.targets)) < len(self.targets):
            raise PlanError(
                f"targets {','.join(self.targets)!r}",
                f"Name each once, of: {', '.join(self.starters)}; say node,linux.",
            )
        if self.cpu_mode not in runner.CPU_MODES:
            raise PlanError(f"CPU mode {self.cpu_mode!r}", f"There are {' and '.join(runner.CPU_MODES)}.")
        if self.rounds < 1 or not 1 <= self.seconds <= _MAX_SECONDS:
            raise PlanError(f"{self.rounds} rounds of {self.seconds} s", "At least one round of one second is needed.")


@dataclass(frozen=True)
class Outcome:
    """What a session measured, and where.

    `versions` are what the servers said of themselves, `notes` what was measured anew. `ended` is what ended the
    session before its time: then there are fewer rows than were planned.
    """

    rows: Sequence[Row]
    summaries: Sequence[Summary]
    ratios: Sequence[Ratio]
    environment: environment.Environment
    versions: Mapping[str, str]
    notes: Sequence[str]
    ended: Ending

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        wanted = [name for name in Row.__dataclass_fields__ if not name.endswith("_us") and name != "experiment"]
        return {
            "rows": [{name: getattr(row, name) for name in wanted} for row in self.rows],
            "medians": [asdict(summary) for summary in self.summaries],
            "ratios": [asdict(ratio) for ratio in self.ratios],
            "environment": self.environment.as_dict(),
            "versions": dict(self.versions),
            "notes": list(self.notes),
            "ended_by": self.ended.reason,
        }


def with_further_nodes(
    checkout: Path | None = None, lookup: str = DEFAULT_LOOKUP
) -> tuple[Mapping[str, Starter], Topology]:
    """The servers there are, and the lab for them.

    With a `checkout`, a node of its code is among them; with another `lookup` than the node's own, a node that finds
    its connections in that way, under the name of it. Raises TargetError when `checkout` is not a built checkout, and
    NodeError when there is no such look-up.
    """
    starters = dict(STARTERS)
    topology = default_topology()
    if checkout is not None:
        path = require_checkout(checkout)
        starters[BASELINE.name] = lambda lab, cpu: start_node(lab, cpu, name=BASELINE.name, checkout=path)
        topology = replace(topology, nodes=(*topology.nodes, BASELINE))
    if lookup != DEFAULT_LOOKUP:
        check_lookup(lookup)
        starters[lookup] = lambda lab, cpu: start_node(lab, cpu, name=lookup, lookup=lookup)
        topology = replace(topology, nodes=(*topology.nodes, Machine(lookup, OTHER_LOOKUP_ADDRESS)))
    return starters, topology


def run(plan: Plan, progress: Progress, topology: Topology | None = None) -> Outcome:
    """Make a lab, measure, remove the lab.

    Ctrl-C or an error leaves nothing of the lab, see netlab.lab; what was measured before is in the outcome.
    """
    described = environment.describe(plan.cpu_mode, runner.SERVER_CPU, runner.CLIENT_CPU)
    rows: Sequence[Row] = []
    notes: Sequence[str] = []
    versions: dict[str, str] = {}
    with (
        ending() as ended,
        tempfile.TemporaryDirectory(prefix="netlab-bench-") as scratch,
        Lab.create(topology) as lab,
        runner.off_the_server_core(),
        ExitStack() as running,
    ):
        targets = []
        for name in plan.targets:
            targets.append(plan.starters[name](lab, runner.SERVER_CPU))
            running.callback(targets[-1].stop)
            versions[name] = targets[-1].version
        runner.apply_cpu_mode(lab, described.cpu_mode, [target.machine for target in targets])
        measuring = runner.Runner(lab, Path(scratch))
        rows, notes = measuring.rows, measuring.notes
        order = list(runner.interleave(targets, plan.loads, plan.rounds))
        with measuring:
            for done, (number, load, target) in enumerate(order):
                progress(done, len(order), f"round {number}: {target.name}, {load.concurrency} connections")
                measuring.measure(EXPERIMENT, target, load, number, plan.seconds)
        progress(len(order), len(order), "done")
    return Outcome(
        rows,
        summarize(rows),
        ratios(rows, *plan.targets) if len(plan.targets) == 2 else [],
        described,
        versions,
        notes,
        ended,
    )
