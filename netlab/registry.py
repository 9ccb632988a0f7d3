"""What each lab made, on record: one JSON file a lab, written before each thing is made.

A record names the lab's owner (pid and start time, which together no other process has in one run of the machine) and
its namespaces. A lab is deleted by its record and by nothing else: a name that merely looks like ours is left alone.
A record whose owner is gone is what a killed process left behind. A detached lab (``netlab up``) has no owner and
stays until ``netlab down``; but only when it is finished. While it is built, and again while it is removed, the
process that does so owns it, so that what was begun and never finished is told from what is meant to stay.

A record that cannot be read says nothing, but the names of a lab's namespaces begin with the lab's, in which there is
no dot: those are what is removed with it, when ``netlab clean`` is told to.

Records live in ``/run/netlab``, which a reboot empties, as it ends the namespaces. In a lab made without root,
``/run`` is that of the user's own mount namespace (``privilege.py``), and goes when it does.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlab.errors import NetlabError, UsageError
from netlab.topology import Topology, TopologyError, document_of, topology_from

DIRECTORY = Path("/run/netlab")
LAB_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
VERSION = 1  # of a record's form
START_TIME = 22 - 3  # among the fields that `_stat` gives


class RegistryError(NetlabError):
    """A lab that is not there, is there already, or whose record cannot be read."""


class RecordError(RegistryError):
    """A record that is there and cannot be used. ``name`` is its lab's; ``in_use`` whether that may well run."""

    def __init__(self, name: str, reason: str, in_use: bool) -> None:
        remedy = f"netlab down {name}" if in_use else "netlab clean"
        super().__init__(
            f"the lab {name!r} cannot be used: its record {_path(name)} {reason}", f"{remedy} removes it."
        )
        self.name = name
        self.in_use = in_use


class LabNameError(RegistryError, UsageError):
    """A name that no lab has, or none can have, or one has already."""


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
        """Whether that very process still runs. One that has ended, and that nobody has waited for, does not."""
        try:
            fields = _stat(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return fields[0] not in ("Z", "X") and int(fields[START_TIME]) == self.start_ticks


def start_ticks(pid: int) -> int:
    """When process ``pid`` started, in clock ticks since boot."""
    return int(_stat(pid)[START_TIME])


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` behind the name, in the order of proc(5): the first is the state, number 3."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _path(name: str) -> Path:
    return DIRECTORY / f"{name}.json"


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
        return _path(self.name)

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
            "version": VERSION,
            "name": self.name,
            "owner": None if self.owner is None else {"pid": self.owner.pid, "start_ticks": self.owner.start_ticks},
            "topology": document_of(self.topology),
            "namespaces": self.namespaces,
            "cpus": self.cpus,
            "shaped": self.shaped,
        }

    def save(self) -> None:
        """Write the record; a reader sees the old one or the new one, never a part. Raises RegistryError."""
        temporary = self.path.with_suffix(".new")
        try:
            temporary.write_text(json.dumps(self.document(), indent=1) + "\n")
            temporary.replace(self.path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise _unwritable(self.path, error) from error

    def forget(self) -> None:
        """Remove the record: the lab is gone."""
        forget(self.name)


def forget(name: str) -> None:
    """Remove the record of lab ``name``, and what a daemon or a writer that was killed has left beside it."""
    for suffix in (".iaas", ".new", ".json"):
        (DIRECTORY / f"{name}{suffix}").unlink(missing_ok=True)


def forget_unfinished() -> None:
    """Remove what was written of records that never came to be. The registry must be `locked`."""
    for path in DIRECTORY.glob("*.new"):
        if not path.with_suffix(".json").exists():
            path.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> RegistryError:
    if isinstance(error, PermissionError):
        return RegistryError(f"cannot write to {path}: {error.strerror}", "A lab needs root: use sudo.")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RegistryError(f"cannot write {path}: {error.strerror}", f"Make room there: df {path.parent}")
    return RegistryError(f"cannot write {path}: {error.strerror}", f"Labs are put on record in {DIRECTORY}.")


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Hold the registry: one process at a time starts or cleans labs."""
    try:
        DIRECTORY.mkdir(mode=0o755, exist_ok=True)
        descriptor = os.open(DIRECTORY / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise _unwritable(DIRECTORY, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def names() -> list[str]:
    """Names of the labs on record, of those that cannot be read too. Other files are none of ours."""
    return sorted(path.stem for path in DIRECTORY.glob("*.json") if LAB_NAME.fullmatch(path.stem))


def load_all() -> tuple[list[Record], list[RecordError]]:
    """The records of all labs, and what is wrong with those that cannot be used: they stand in nobody's way."""
    records, errors = [], []
    for name in names():
        try:
            records.append(load(name))
        except RecordError as error:
            errors.append(error)
        except RegistryError:
            continue  # it has been removed meanwhile
    return records, errors


def load(name: str) -> Record:
    """The record of lab ``name``. Raises RegistryError when there is none, or it cannot be read."""
    if not LAB_NAME.fullmatch(name):
        raise LabNameError(f"{name!r} cannot name a lab", "Use up to 31 of a-z, 0-9 and '-', a letter first.")
    try:
        document = json.loads(_path(name).read_text())
        version, owner = document.get("version", VERSION), _owner_from(document["owner"])
        if version != VERSION:
            in_use = owner is None or owner.is_alive()
            raise RecordError(name, f"is of version {version!r}, written by another netlab", in_use)
        return _record_from(name, document, owner)
    except FileNotFoundError as error:
        known = ", ".join(names()) or "none"
        raise LabNameError(f"there is no lab {name!r} (running: {known})", "netlab up starts one.") from error
    except OSError as error:
        raise RecordError(name, f"cannot be read ({error.strerror})", in_use=False) from error
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError, TopologyError) as error:
        raise RecordError(name, "is damaged", in_use=False) from error


def _owner_from(document: dict[str, Any] | None) -> Owner | None:
    return None if document is None else Owner(int(document["pid"]), int(document["start_ticks"]))


def _record_from(name: str, document: dict[str, Any], owner: Owner | None) -> Record:
    """What the document says. Raises, of what `load` catches, whatever one that is none leads to."""
    namespaces = list(document["namespaces"])
    if document["name"] != name or not all(each.startswith(prefix(name)) for each in namespaces):
        raise ValueError("it names what is another lab's")
    return Record(
        name=name,
        topology=topology_from(document["topology"]),
        owner=owner,
        namespaces=namespaces,
        cpus={machine: int(cpu) for machine, cpu in document["cpus"].items()},
        shaped={machine: int(rate) for machine, rate in document["shaped"].items()},
    )


def prefix(name: str) -> str:
    """What the names of a lab's namespaces begin with. Neither name has a dot, so no two labs can mean the same."""
    return f"netlab.{name}."


def namespace_of(lab: str, machine: str) -> str:
    """The name of the network namespace of a machine of ``lab``, its switch among them."""
    return f"{prefix(lab)}{machine}"


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
        raise LabNameError(f"{name!r} cannot name a lab", "Use up to 31 of a-z, 0-9 and '-', a letter first.")
    record = Record(name, topology, owner)
    if record.path.exists():
        raise LabNameError(f"a lab called {name!r} runs already", f"Take another name, or: netlab down {name}")
    record.save()
    return record
