"""Network namespaces: make one, run code or a program in one, find and end what runs in one, remove one.

A namespace is a name below ``/run/netns``, as ``ip netns`` has it, so ``ip netns exec`` works on a lab too. Code of
ours runs in a namespace on a thread of its own that has entered it and then ends: the rest of the process never moves.
Programs are started through ``ip netns exec`` (which also shows them the namespace's own ``/sys``), with ``setpriv``
so that they die with the process that started them.
"""

import contextlib
import ctypes
import errno
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pyroute2 import netns

from netlab.errors import NetlabError

DIRECTORY = Path("/run/netns")
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC = 0x4000
MS_SLAVE = 0x80000
MNT_DETACH = 2
GRACE_SECONDS = 1.0  # between SIGTERM and SIGKILL

_libc = ctypes.CDLL(None, use_errno=True)
_T = TypeVar("_T")


class NamespaceError(NetlabError):
    """A network namespace that could not be made or entered."""


def path_of(name: str) -> Path:
    """Where the namespace ``name`` is, or would be, mounted."""
    return DIRECTORY / name


def exists(name: str) -> bool:
    """Whether a namespace of that name is there."""
    return path_of(name).exists()


def create(name: str) -> None:
    """Make the network namespace ``name``. Raises NamespaceError, and changes nothing, when the name is taken."""
    if exists(name):
        raise NamespaceError(f"the network namespace {name} exists already", f"ip netns delete {name}")
    _on_thread(lambda: _unshare_and_mount(name))


def remove(name: str) -> None:
    """Remove the namespace ``name`` with every device in it, if it is there. Processes in it keep it alive."""
    path = path_of(name)
    _libc.umount2(os.fsencode(path), MNT_DETACH)  # fails where the mount had not come about yet: then only the file is
    path.unlink(missing_ok=True)


def run_in(name: str, function: Callable[[], _T]) -> _T:
    """Call ``function`` inside the namespace ``name``, its own ``/sys`` mounted, and return what it returns.

    It runs on a fresh thread; what it raises is raised here.
    """

    def enter_and_call() -> _T:
        _enter(name)
        return function()

    return _on_thread(enter_and_call)


def run_in_scratch(function: Callable[[], _T]) -> _T:
    """Call ``function`` as `run_in` does, in a nameless namespace that is gone when it returns."""

    def unshare_and_call() -> _T:
        _call("unshare", CLONE_NEWNET)
        _mount_sysfs()
        return function()

    return _on_thread(unshare_and_call)


def _on_thread(function: Callable[[], _T]) -> _T:
    """Call ``function`` on a thread made for it, whose namespaces may change as they end with it."""
    results: list[_T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            results.append(function())
        except BaseException as error:  # carried to the calling thread, whatever it is
            errors.append(error)

    thread = threading.Thread(target=call, name="netlab namespace")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _unshare_and_mount(name: str) -> None:
    """Give the calling thread a new network namespace, and that the name."""
    _call("unshare", CLONE_NEWNET)
    try:
        netns.attach(name, "thread-self")
    except OSError as error:
        remedy = f"Make room there: df {DIRECTORY}" if error.errno == errno.ENOSPC else ""
        raise NamespaceError(f"cannot mount the network namespace {name}: {error.strerror}", remedy) from error


def _enter(name: str) -> None:
    """Move the calling thread to the namespace ``name``."""
    try:
        descriptor = os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NamespaceError(f"there is no network namespace {name}") from error
    try:
        _call("setns", descriptor, CLONE_NEWNET)
    finally:
        os.close(descriptor)
    _mount_sysfs()


def _mount_sysfs() -> None:
    """Give the calling thread a private mount table whose ``/sys`` is that of its network namespace."""
    _call("unshare", CLONE_NEWNS)
    _call("mount", b"none", b"/", None, MS_REC | MS_SLAVE, None)
    _call("mount", b"sysfs", b"/sys", b"sysfs", 0, None)


def _call(function: str, *arguments: object) -> None:
    if getattr(_libc, function)(*arguments) != 0:
        number = ctypes.get_errno()
        raise NamespaceError(f"{function} failed: {os.strerror(number)}", "netlab doctor says what a lab needs.")


def command_in(name: str, argv: list[str], cpu: int | None = None, *, dies_with_parent: bool = True) -> list[str]:
    """The command that runs ``argv`` in the namespace, pinned to ``cpu`` if given.

    Every step of it replaces the one before, so the process that is started becomes ``argv[0]``, under one pid. With
    ``dies_with_parent`` the kernel ends it when the thread that started it ends.
    """
    command = ["ip", "netns", "exec", name]
    if dies_with_parent:
        command += ["setpriv", "--pdeathsig", "KILL", "--"]
        command += ["sh", "-c", 'test "$PPID" = "$0" && exec "$@"', str(os.getpid())]  # had it ended before setpriv?
    if cpu is not None:
        command += ["taskset", "--cpu-list", str(cpu)]
    return command + argv


def names_with(prefix: str) -> list[str]:
    """Names of the namespaces that begin like this."""
    return sorted(path.name for path in DIRECTORY.glob("*") if path.name.startswith(prefix))


def processes_in(names: list[str]) -> list[int]:
    """Pids of the processes that live in one of these namespaces, the calling one excepted."""
    return _processes_of({_identity(path_of(name).stat()) for name in names if exists(name)})


def remove_with_processes(names: list[str]) -> None:
    """Remove these namespaces, with every process and every device in them.

    A namespace is the lab's own, so whatever lives in it belongs to the lab: children of children too, and
    programs whose start was interrupted before anybody could note their pid. Looked for once more when the names are
    gone, since one may have been about to enter. Raises NamespaceError when a process does not end.
    """
    with contextlib.ExitStack() as opened:  # while they are open no other namespace can have their numbers
        identities = set()
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(path_of(name), os.O_RDONLY | os.O_CLOEXEC)
                opened.callback(os.close, descriptor)
                identities.add(_identity(os.fstat(descriptor)))
        _end_processes_of(identities)
        for name in names:
            remove(name)
        _end_processes_of(identities)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _processes_of(identities: set[tuple[int, int]]) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if _identity((entry / "ns/net").stat()) in identities:
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended, or is somebody else's
    return found


def _end_processes_of(identities: set[tuple[int, int]]) -> None:
    """SIGTERM, and SIGKILL a second later."""
    found: set[int] = set()
    deadline = time.monotonic() + GRACE_SECONDS
    while living := [pid for pid in _processes_of(identities) if not _is_zombie(pid)]:
        late = time.monotonic() > deadline
        for pid in living:
            if late or pid not in found:
                _signal(pid, signal.SIGKILL if late else signal.SIGTERM)
        found.update(living)
        if time.monotonic() > deadline + GRACE_SECONDS:
            raise NamespaceError(f"processes {living} do not end, not even by SIGKILL")
        time.sleep(0.005)


def kill(pid: int) -> None:
    """Kill a process and wait until it is gone, if it has not gone by itself. Raises NamespaceError after a second."""
    _signal(pid, signal.SIGKILL)
    deadline = time.monotonic() + GRACE_SECONDS
    while not _is_zombie(pid):
        if time.monotonic() > deadline:
            raise NamespaceError(f"process {pid} does not end, not even by SIGKILL")
        time.sleep(0.005)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
        os.kill(pid, number)


def _is_zombie(pid: int) -> bool:
    """Whether the process has ended, be it that nobody has waited for it yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
