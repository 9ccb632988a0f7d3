"""The servers that are measured, each started in its machine of the lab and pinned to the server's core.

A target is made by one function here; `STARTERS` names them. All targets of a run are alive during the whole of it,
on one core: one that is not asked anything only sleeps, and both pay the same for sharing the caches.
"""

import os
import select
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from netlab import namespaces, python
from netlab.bench import health
from netlab.errors import NetlabError, UsageError
from netlab.lab import Host, Lab
from netlab.node_config import PORTS

CLIENT = "client"
STORE_MIB = 1024  # for every target: more than a run stores, since an eviction would be counted as an error
CONNECTIONS = 2048
START_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0
READY = "ready"
_COMPLAINT_LINES = 8
_NOBODY = 65534


class TargetError(NetlabError):
    """A server that does not start, or has ended."""


class CheckoutError(TargetError, UsageError):
    """A checkout whose code cannot be run."""


@dataclass
class Target:
    """A server that runs: where it is, the process that serves, its standard error, and the version it gave."""

    name: str
    machine: str
    address: str
    process: "subprocess.Popen[Any]"
    client: Host
    complaints: IO[bytes]
    version: str = ""
    port: int = health.MEMCACHED_PORT

    def connect(self) -> socket.socket:
        """A connection to it from the client's machine. A socket stays in the namespace it was made in."""
        return namespaces.run_in(
            self.client.namespace,
            lambda: socket.create_connection((self.address, self.port), timeout=health.REPLY_TIMEOUT),
        )

    def require_alive(self) -> None:
        """Raise TargetError when its process has ended."""
        if self.process.poll() is not None:
            self.complaints.seek(0)
            said = self.complaints.read().decode("utf-8", "replace").strip().splitlines()[-_COMPLAINT_LINES:]
            raise TargetError(
                f"the server {self.name} has ended with exit code {self.process.returncode}",
                "It said: " + "\n".join(said) if said else "",
            )

    def wait_until_healthy(self) -> None:
        """Check it from the client's machine; its version is known afterwards."""
        try:
            self.version = health.wait_until_healthy(self.connect, self.name, START_TIMEOUT)
        except health.HealthError:
            self.require_alive()
            raise

    def flush(self) -> None:
        """Empty its store, so that every measurement begins with an equal one."""
        with self.connect() as connection:
            health.flush(connection)

    def stop(self) -> None:
        """End its process, if it has not ended, and close what is open to it. Does nothing the second time."""
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.complaints.close()


def start_linux(lab: Lab, cpu: int, machine: str = "server", name: str = "linux") -> Target:
    """Start the real memcached, one thread, on the lab's host `machine`; returns when it answers."""
    host = lab.hosts[machine]
    complaints = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the target)
    process = host.popen(
        [
            "memcached",
            "--threads=1",
            f"--listen={host.address}",
            f"--port={health.MEMCACHED_PORT}",
            "--udp-port=0",
            f"--memory-limit={STORE_MIB}",
            f"--conn-limit={CONNECTIONS}",
            f"--user={_server_user(Path('/proc/self/uid_map').read_text())}",
        ],
        cpu=cpu,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=complaints,
    )
    target = Target(name, machine, host.address, process, lab.hosts[CLIENT], complaints)
    with stopped_on_failure(target):
        target.wait_until_healthy()
    return target


def _server_user(uid_map: str) -> str:
    """Who memcached becomes: nobody; or root, which is no more than this user, where no other id is mapped."""
    ranges = [[int(field) for field in line.split()] for line in uid_map.splitlines()]
    return "nobody" if any(inside <= _NOBODY < inside + count for inside, _outside, count in ranges) else "root"


def start_node(
    lab: Lab,
    cpu: int,
    statistics: Path | None = None,
    layers: bool = False,
    name: str = "node",
    checkout: Path | None = None,
    lookup: str | None = None,
) -> Target:
    """Boot a node that serves memcached behind the lab's TAP `name`; returns when it answers.

    It rewrites the file `statistics` at SIGUSR1; with `layers` it measures where its time goes, which costs some.
    `checkout` is where its code is taken from, built there: None is this one. `lookup` is how it finds connections.
    """
    options = ["--memory", str(STORE_MIB)]
    if statistics is not None:
        options += ["--statistics", str(statistics)]
    if layers:
        options += ["--layers"]
    if lookup is not None:
        options += ["--lookup", lookup]
    target = boot_node(lab, cpu, name, "memcached", options, checkout)
    with stopped_on_failure(target):
        target.wait_until_healthy()
    return target


def boot_node(
    lab: Lab, cpu: int | None, name: str, application: str, options: Sequence[str] = (), checkout: Path | None = None
) -> Target:
    """Boot a node behind the lab's TAP `name`; returns when it says that its application serves."""
    tap = lab.taps[name]
    attached = ["--tap", tap.name, "--ip", f"{tap.address}/{tap.prefix_length}"]
    command = python.module_command("netlab.cli", "node", "run", application, *attached, *options)
    complaints = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the target)
    process = lab.node_popen(
        name,
        command,
        cpu=cpu,
        cwd=checkout,
        env=None if checkout is None else {**os.environ, "PYTHONPATH": str(checkout)},  # before what is installed
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
    )
    target = Target(name, name, tap.address, process, lab.hosts[CLIENT], complaints, port=PORTS[application])
    with stopped_on_failure(target):
        wait_until_ready(target)
    return target


@contextmanager
def stopped_on_failure(target: Target) -> Iterator[None]:
    """Stop the target when the body fails."""
    try:
        yield
    except BaseException:
        target.stop()
        raise


def wait_until_ready(target: Target) -> None:
    """Wait for the line that a server prints when it serves. Raises TargetError when there is none."""
    output = target.process.stdout
    assert output is not None
    line = output.readline().strip() if select.select([output], [], [], START_TIMEOUT)[0] else ""
    if not line.startswith(READY):
        with suppress(subprocess.TimeoutExpired):  # an end of its output is the end of it
            target.process.wait(0.0 if line else STOP_TIMEOUT)
        target.require_alive()
        raise TargetError(f"{target.name} said {line!r} instead of {READY!r} within {START_TIMEOUT:.0f} s")


def require_checkout(path: Path) -> Path:
    """The checkout at `path`, absolute. Raises TargetError unless it is one that has been built."""
    path = path.resolve()
    if not (path / "ebbrt" / "_built.json").is_file():
        raise CheckoutError(f"{path} is not a built checkout of this project", "Run `make setup` there.")
    return path


STARTERS: dict[str, Callable[[Lab, int], Target]] = {"node": start_node, "linux": start_linux}
