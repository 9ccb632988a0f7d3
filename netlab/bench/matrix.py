"""``netlab bench matrix``: whether every transfer ends with equal digests, whoever its ends are and whatever the link.

Clients and servers are nodes and Linux hosts, in one lab; what changes between transfers is the emulated link of the
server. A transfer is one connection of the application ``transfer``, whose two ends hold their SHA-256 side by side.
Times are told, but this is no benchmark: nothing is pinned or paired, see ``transfer`` for that.
"""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from apps.transfer.protocol import OPERATIONS
from netlab import python
from netlab.bench import environment
from netlab.bench.ending import Ending, ending
from netlab.bench.environment import Environment
from netlab.bench.targets import CLIENT, START_TIMEOUT, Target
from netlab.bench.transfer import start_linux, start_node
from netlab.emulation.settings import LinkSettings
from netlab.errors import NetlabError, UsageError
from netlab.lab import Lab
from netlab.topology import Machine, Topology, default_topology

PAIRS = ("node-node", "node-linux", "linux-node", "linux-linux")  # client, server
SIZES = (1, 1024, 100_000_000)
LINKS = {  # of the server, each way
    "clean": "",
    "loss": "loss=1%",
    "reorder": "delay=5ms,reorder=2%:2ms",
    "50ms": "delay=25ms",
}
NODE_CLIENT = Machine("caller", "198.18.0.4")
LEAST_TIME = 30.0  # seconds for a transfer, and beyond them what it takes at the least rate
LEAST_RATE = 4e6  # bits per second: slower is a failure
CATCH_UP_SECONDS = 0.2
_SNAP_LENGTH = 128  # bytes of each frame that a capture keeps
_CAPTURE_KIB = 64 << 10

Progress = Callable[[int, int, str], None]  # transfers done, of how many, and which is next


class MatrixError(NetlabError):
    """A transfer's capture that is not whole."""


class MatrixUsageError(MatrixError, UsageError):
    """A matrix that cannot be asked for."""


@dataclass(frozen=True)
class Case:
    """One transfer: who asks whom, get or put, how many bytes, over which link."""

    pair: str
    operation: str
    bytes: int
    link: str

    def __str__(self) -> str:
        return f"{self.pair}, {self.operation} {self.bytes:,} B, {self.link}"

    @property
    def ends(self) -> tuple[str, str]:
        """What the client is and what the server is, each ``node`` or ``linux``."""
        client, server = self.pair.split("-")
        return client, server


@dataclass(frozen=True)
class Result:
    """What became of one: ``failure`` is "" when both ends have the same digest; ``dropped`` is the link's doing."""

    case: Case
    seconds: float
    failure: str
    dropped: int
    capture: str = ""

    @property
    def megabits_per_s(self) -> float:
        """Of the stream, from the call of connect to the last byte."""
        return self.case.bytes * 8 / self.seconds / 1e6 if self.seconds else 0.0

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        told = {name: value for name, value in asdict(self).items() if name != "case"}
        return {**asdict(self.case), **told, "megabits_per_s": round(self.megabits_per_s, 3)}


@dataclass(frozen=True)
class Matrix:
    """Which transfers there are: all combinations. Raises MatrixError for what is not known."""

    pairs: Sequence[str] = PAIRS
    sizes: Sequence[int] = SIZES
    links: Sequence[str] = tuple(LINKS)
    operations: Sequence[str] = tuple(OPERATIONS)

    def __post_init__(self) -> None:
        for asked, known in ((self.pairs, PAIRS), (self.links, LINKS), (self.operations, OPERATIONS)):
            for each in asked:
                if each not in known:
                    raise MatrixUsageError(f"there is no {each!r}", f"There is: {', '.join(known)}.")

    def cases(self) -> list[Case]:
        """Link by link, small transfers first."""
        return [
            Case(pair, operation, size, link)
            for link in self.links
            for size in self.sizes
            for pair in self.pairs
            for operation in self.operations
        ]


def topology() -> Topology:
    """The default lab, with a second node for the client."""
    default = default_topology()
    return Topology(default.network, default.hosts, (*default.nodes, NODE_CLIENT))


@dataclass
class Ends:
    """The servers of a lab, started when first asked for and again if they have ended; and clients."""

    lab: Lab
    servers: dict[str, Target] = field(default_factory=dict)
    link: str = ""

    def server(self, kind: str) -> Target:
        """The server of this kind, which runs. Raises TargetError."""
        if kind in self.servers and self.servers[kind].process.poll() is not None:
            self.servers.pop(kind).stop()
        if kind not in self.servers:
            self.servers[kind] = {"node": start_node, "linux": start_linux}[kind](self.lab, None)
        return self.servers[kind]

    def set_link(self, settings: str) -> None:
        """Let the links of both servers be so, from now on; without settings they have no relay at all."""
        if settings != self.link:
            for machine in ("node", "server"):
                if settings:
                    self.lab.emulate(machine, settings, settings)
                else:
                    self.lab.unemulate(machine)
            self.link = settings

    def dropped(self, machine: str) -> int:
        """Frames that the machine's link has lost so far, both ways."""
        counted = self.lab.emulated(machine) or {}
        return sum(way["statistics"][what] for way in counted.values() for what in ("lost", "queue_drops", "missed"))

    def close(self) -> None:
        """End the servers."""
        for server in self.servers.values():
            server.stop()

    def transfer(self, case: Case) -> Result:
        """Carry one transfer out."""
        kind, server_kind = case.ends
        server = self.server(server_kind)
        before = self.dropped(server.machine)
        argv = [case.operation, server.address, str(case.bytes)]
        if kind == "linux":
            client, start = python.module_command("apps.transfer.linux"), self.lab.hosts[CLIENT].popen
        else:
            tap = self.lab.taps[NODE_CLIENT.name]
            attached = ["--tap", tap.name, "--ip", f"{tap.address}/{tap.prefix_length}"]
            client = python.module_command("netlab.cli", "node", "run", "transfer", *attached)
            start = self.lab.switch.popen
        time_limit = LEAST_TIME + case.bytes * 8 / LEAST_RATE
        process = start([*client, *argv], stdin=subprocess.DEVNULL, stdout=-1, stderr=-1, text=True)
        try:
            out, err = process.communicate(timeout=time_limit + START_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return Result(case, time_limit, f"not done in {time_limit:.0f} s", self.dropped(server.machine) - before)
        return _result(case, out, err, self.dropped(server.machine) - before)


def _result(case: Case, out: str, err: str, dropped: int) -> Result:
    """What a client's output says: the last line is its outcome, unless it has died."""
    lines = out.strip().splitlines()
    if not lines or not lines[-1].startswith("{"):
        return Result(case, 0.0, f"the client ended: {err.strip()[-500:]}", dropped)
    said = json.loads(lines[-1])
    failure = said["failure"] or ("" if said["equal"] and said["bytes"] == case.bytes else "digests differ")
    return Result(case, said["seconds"], failure, dropped)


@dataclass(frozen=True)
class MatrixOutcome:
    """All results, where they were made, and what ended the run before its time."""

    results: Sequence[Result]
    environment: Environment
    ended: Ending

    def failures(self) -> list[Result]:
        """Those that did not end with equal digests."""
        return [result for result in self.results if result.failure]

    def document(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "links": {name: str(LinkSettings.parse(text)) for name, text in LINKS.items()},
            "results": [result.document() for result in self.results],
            "environment": self.environment.as_dict(),
            "ended_by": self.ended.reason,
        }


def run(cases: Sequence[Case], progress: Progress, captures: Path | None = None) -> MatrixOutcome:
    """Make a lab, carry the transfers out one after the other, remove the lab.

    Ctrl-C or an error leaves nothing of the lab; what was carried out before is in the outcome.
    With ``captures`` each is captured, and what fails is kept in that folder.
    """
    described = environment.describe("shared", server_cpu=-1, client_cpu=-1)  # no CPU is anybody's
    results: list[Result] = []
    with ending() as ended, Lab.create(topology()) as lab, contextlib.closing(Ends(lab)) as ends:
        for done, case in enumerate(cases):
            progress(done, len(cases), str(case))
            ends.set_link(LINKS[case.link])
            if captures is None:
                results.append(ends.transfer(case))
                continue
            captures.mkdir(parents=True, exist_ok=True)
            path = captures.resolve() / f"{case.pair}-{case.operation}-{case.bytes}-{case.link}.pcap"
            results.append(replace(captured(ends, case, path), capture=str(path)))
            if not results[-1].failure:
                results[-1] = replace(results[-1], capture="")
                path.unlink()
        progress(len(cases), len(cases), "done")
    return MatrixOutcome(results, described, ended)


def captured(ends: Ends, case: Case, path: Path) -> Result:
    """Carry a transfer out while tcpdump writes the headers of each frame at the server's port to ``path``."""
    server = ends.server(case.ends[1])
    options = ["-i", server.machine, "-n", "-s", str(_SNAP_LENGTH), "-B", str(_CAPTURE_KIB), "-Z", "root"]
    # The ring has a slot for each frame then, which is small for its beginning, and none is handed over late. It holds
    # all frames of such a transfer, so the writing of them can wait until the ends have had the processor.
    argv = ["nice", "-n", "19", "tcpdump", "--immediate-mode", *options]
    argv += ["-w", str(path), "tcp", "port", str(server.port)]
    with ends.lab.switch.popen(argv, stderr=subprocess.PIPE, text=True) as tcpdump:
        assert tcpdump.stderr is not None
        tcpdump.stderr.readline()  # it listens
        result = ends.transfer(case)
        time.sleep(CATCH_UP_SECONDS)
        tcpdump.terminate()
        said = tcpdump.stderr.read()
    if "\n0 packets dropped by kernel" not in said:
        raise MatrixError(f"the capture of {case} is not whole", said.strip())
    return result
