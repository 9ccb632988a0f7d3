"""What a number is worth nothing without: the machine, the versions, the commit, the mode."""

import datetime
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ebbrt import build
from netlab import links, wiring
from netlab.bench import cpu
from netlab.errors import NetlabError

ROOT = Path(__file__).parent.parent.parent
BUSY_CORES = 0.2
OWN_CORE, SHARED = "own-core", "shared"  # modes: whose core receives for a machine, its own or the sender's
LOOK_SECONDS = 0.5
_COMMAND_TIMEOUT = 5.0


class UncompiledError(NetlabError):
    """Numbers of the plain Python sources were about to be recorded."""


@dataclass(frozen=True)
class Environment:
    """Where and with what a run was made. `cores_busy` is of the moment before it: others' work shows there."""

    time: str
    machine: str
    kernel: str
    cpu_model: str
    cpus: int
    cores_busy: float
    python: str
    memcached: str
    memcaslap: str
    commit: str
    dirty: bool
    build: str
    cpu_mode: str
    server_cpu: int
    client_cpu: int
    hosts_congestion_control: str
    fell_back: bool = False  # to shared mode, since this user may not steer

    def caution(self) -> str:
        """What makes the numbers doubtful: others' work on the machine, or no rights; empty when nothing does."""
        cautions = []
        if self.fell_back:
            cautions.append(
                "Only root may give each machine's receive processing a core of its own: this was measured in shared "
                "mode, in which the sender's core does it. Use sudo for numbers that compare with others."
            )
        if self.cores_busy >= BUSY_CORES:
            cautions.append(
                f"Others were using this machine ({self.cores_busy:.1f} of its cores just before the run): "
                "the times include their work. Measure again when it is quiet."
            )
        return " ".join(cautions)

    def as_dict(self) -> dict[str, str | int | float | bool]:
        """The fields by name."""
        return asdict(self)


def require_compiled(allow_pure: bool) -> None:
    """Raise UncompiledError when the plain sources run, unless that is allowed."""
    if build.mode() != "compiled" and not allow_pure:
        raise UncompiledError(
            "the plain Python sources run (NETLAB_PURE is set), and their numbers say nothing about the system",
            "Unset NETLAB_PURE, or pass --allow-pure to record them all the same.",
        )


def describe(cpu_mode: str, server_cpu: int, client_cpu: int) -> Environment:
    """The environment of a run that starts now. Its ``cpu_mode`` is the one wanted, or what this user may have."""
    fell_back = cpu_mode == OWN_CORE and not links.can_steer()
    commit = _output(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])
    return Environment(
        time=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        machine=platform.machine(),
        kernel=platform.release(),
        cpu_model=cpu_model(Path("/proc/cpuinfo").read_text()),
        cpus=os.cpu_count() or 1,
        cores_busy=_cores_busy(),
        python=sys.version.split()[0],
        memcached=_output(["memcached", "--version"]).removeprefix("memcached "),
        memcaslap=_package_version("libmemcached-tools"),
        commit=commit,
        dirty=bool(commit) and _output(["git", "-C", str(ROOT), "status", "--porcelain"]) != "",
        build=build.mode(),
        cpu_mode=SHARED if fell_back else cpu_mode,
        server_cpu=server_cpu,
        client_cpu=client_cpu,
        hosts_congestion_control=wiring.congestion_control(),
        fell_back=fell_back,
    )


def _cores_busy() -> float:
    """How many cores are at work now, over a look of half a second."""
    cores = range(os.cpu_count() or 1)
    before = cpu.sample()
    time.sleep(LOOK_SECONDS)
    after = cpu.sample()
    shares = [cpu.busy_share(cpu.core_times(before, core), cpu.core_times(after, core)) for core in cores]
    return round(sum(shares), 2)


def cpu_model(cpuinfo: str) -> str:
    """The model's name in the text of ``/proc/cpuinfo``; empty on machines whose kernel gives none."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return found[1].strip() if found else ""


def _package_version(package: str) -> str:
    return _output(["dpkg-query", "--show", "--showformat=${Version}", package])


def _output(command: Sequence[str]) -> str:
    """What a command prints; empty when it is not there or fails: an unknown version is no reason to stop."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()
