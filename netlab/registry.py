"""What each lab made, on record: one JSON file a lab, written before each thing is made.

A record names the lab's owner (pid and start time, which together no other process has in one run of the machine) and
its namespaces. A lab is deleted by its record and by nothing else: a name that merely looks like ours is left alone.
A record whose owner is gone is what a killed process left behind. A detached lab (``netlab up``) has no owner and
stays until ``netlab down``.

Records live in ``/run/netlab``, which a reboot empties, as it ends the namespaces. In a lab made without root,
``/run`` is that of the user's own mount namespace (``privilege.py``), and goes when it does.
"""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlab.errors import NetlabError
from netlab.topology import Topology, TopologyError, document_of, topology_from

DIRECTORY = Path("/run/netlab")
LAB_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


class RegistryError(NetlabError):
    """A lab that is not there, is there already, or whose record cannot be read."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A process, told from a later one of the same pid by its start time in clock ticks since boot."""

    pid: int
    start_ticks: int

    @classmethod
    def current(cls) -> "Owner":
        """The calling process."""
        return cls(os.getpid(), start_ticks(os.getpid()))

    def is_alive(self) -> bool:
        """Whether that very process still runs."""
        try:
            return start_ticks(self.pid) == self.start_ticks
        except (FileNotFoundError, ProcessLookupError):
            return False


def start_ticks(pid: int) -> int:
    """When process ``pid`` started, in clock ticks since boot: field 22 of ``/proc/PID/stat``, proc(5)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@dataclass(slots=True)
class Record:
    """What one lab is and what it has made. Change it through `save` only."""

    name: str
    topology: Topology
    owner: Owner | None
    namespaces: list[str] = field(default_factory=list)
    cpus: dict[str, int] = field(default_factory=dict)  # machine -> CPU, while the lab is in own-core mode
    shaped: dict[str, int] = field(default_factory=dict)  # machine -> bits per second towards it

    @property
    def path(self) -> Path:
        """The record's file."""
        return DIRECTORY / f"{self.name}.json"

    @property
    def iaas_socket(self) -> Path:
        """Where the lab's IaaS daemon listens, when one runs (``netlab.iaas``)."""
        return DIRECTORY / f"{self.name}.iaas"

    @property
    def is_abandoned(self) -> bool:
        """Whether the process that owned this lab is gone."""
        return self.owner is not None and not self.owner.is_alive()

    def document(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return {
            "name": self.name,
            "owner": None if self.owner is None else {"pid": self.owner.pid, "start_ticks": self.owner.start_ticks},
            "topology": document_of(self.topology),
            "namespaces": self.namespaces,
            "cpus": self.cpus,
            "shaped": self.shaped,
        }

    def save(self) -> None:
        """Write the record; a reader sees the old one or the new one, never a part."""
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps(self.document(), indent=1) + "\n")
        temporary.replace(self.path)

    def forget(self) -> None:
        """Remove the record: the lab is gone."""
        self.iaas_socket.unlink(missing_ok=True)  # of a daemon that was killed
        self.path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the registry: one process at a time starts or cleans labs."""
    try:
        DIRECTORY.mkdir(mode=0o755, exist_ok=True)
        descriptor = os.open(DIRECTORY / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError as error:
        raise RegistryError(f"cannot write to {DIRECTORY}: {error.strerror}", "A lab needs root: use sudo.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def names() -> list[str]:
    """Names of the labs on record."""
    return sorted(path.stem for path in DIRECTORY.glob("*.json"))


def load(name: str) -> Record:
    """The record of lab ``name``. Raises RegistryError when there is none, or it cannot be read."""
    if not LAB_NAME.fullmatch(name):
        raise RegistryError(f"{name!r} cannot name a lab", "Use up to 31 of a-z, 0-9 and '-', a letter first.")
    path = DIRECTORY / f"{name}.json"
    try:
        return _record_from(json.loads(path.read_text()))
    except FileNotFoundError as error:
        known = ", ".join(names()) or "none"
        raise RegistryError(f"there is no lab {name!r} (running: {known})", "netlab up starts one.") from error
    except (KeyError, TypeError, ValueError, TopologyError) as error:
        raise RegistryError(f"{path} is not a lab's record: {error!r}", f"Look at it, then remove {path}.") from error


def _record_from(document: dict[str, Any]) -> Record:
    owner = document["owner"]
    return Record(
        name=document["name"],
        topology=topology_from(document["topology"]),
        owner=None if owner is None else Owner(owner["pid"], owner["start_ticks"]),
        namespaces=list(document["namespaces"]),
        cpus=dict(document["cpus"]),
        shaped=dict(document["shaped"]),
    )


def free_name() -> str:
    """The first of ``lab1``, ``lab2``... that no lab has."""
    taken = set(names())
    number = 1
    while f"lab{number}" in taken:
        number += 1
    return f"lab{number}"


def claim(name: str | None, topology: Topology, owner: Owner | None) -> Record:
    """Put a new lab on record, before anything of it is made. The registry must be `locked`."""
    name = free_name() if name is None else name
    if not LAB_NAME.fullmatch(name):
        raise RegistryError(f"{name!r} cannot name a lab", "Use up to 31 of a-z, 0-9 and '-', a letter first.")
    record = Record(name, topology, owner)
    if record.path.exists():
        raise RegistryError(f"a lab called {name!r} runs already", f"Take another name, or: netlab down {name}")
    record.save()
    return record
