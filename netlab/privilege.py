"""The rights a lab needs, and how to get them: root, or a user namespace of one's own.

Making network namespaces, devices and TAPs needs CAP_NET_ADMIN and CAP_SYS_ADMIN. Root has them. Anybody has them
inside a user namespace where the kernel allows those, and can make a TAP there if ``/dev/net/tun`` may be opened by
all. The command line then runs itself again inside one (`acquire`): user, network and mount namespace new, with an
empty ``/run``, so that all that is on record there is the user's own. One keeper process holds these namespaces, and
with them the labs that ``netlab up`` left running; it ends with the last lab. Should it be killed, what runs in those
labs still holds them, and a new keeper is started there; where nothing runs, they are gone with it.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from netlab import python, registry
from netlab.errors import NetlabError

INSIDE = "NETLAB_USER_NAMESPACE"  # set in the environment of what `acquire` runs inside
COMMAND_LINE = "netlab.cli"  # the module behind the installed `netlab`
NEW_NAMESPACES = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--")
OWN_RUN = "mount -t tmpfs tmpfs /run && mkdir /run/netns /run/netlab"
KEEP = "echo ready && read noted && exec sleep infinity </dev/null >/dev/null 2>&1"  # a shell script: a keeper's life
TUN = Path("/dev/net/tun")


class PrivilegeError(NetlabError):
    """Neither root, nor a user namespace that would do."""


def obstacles() -> list[str]:
    """Why an ordinary user cannot make a lab here; empty when user namespaces will do."""
    found = []
    if not os.access(TUN, os.R_OK | os.W_OK):
        found.append(f"{TUN} may not be opened by user {os.geteuid()}")
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        found.append("unshare and nsenter (Debian package util-linux) are not installed")
        return found
    command = ["unshare", "--user", "--map-root-user", "--net", "--mount", "true"]
    probe = subprocess.run(command, capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        found.append(f"user namespaces are not allowed ({probe.stderr.strip()})")
    return found


def require() -> None:
    """Raise PrivilegeError unless this process may make labs now: it is root, of the machine or of a namespace."""
    if os.geteuid() != 0:
        reasons = "; ".join(obstacles()) or "this process is not inside a user namespace"
        raise PrivilegeError(f"a lab needs root: {reasons}", f"Run: {sudo_command()}")


def sudo_command() -> str:
    """The command line of this process, under sudo."""
    return "sudo " + shlex.join(_this_command())


def _this_command() -> list[str]:
    """What starts this program again."""
    spec = sys.modules["__main__"].__spec__
    return python.module_command(COMMAND_LINE if spec is None else spec.name, *sys.argv[1:])


def acquire() -> None:
    """Return with the rights to make labs: at once as root; else this program starts again in a user namespace.

    Raises PrivilegeError, with the sudo command to run instead, where the machine does not allow that.
    """
    join()
    if os.geteuid() != 0:
        if obstacles():
            require()
        _enter(_start_keeper())


def join() -> None:
    """Start this program again where this user's labs are, if there is a user namespace that holds some."""
    if os.geteuid() != 0:
        keeper = _keeper(_keeper_file())
        if keeper is not None:
            _enter(keeper)


def release() -> None:
    """End the keeper when no lab is left. Does nothing outside a user namespace that `acquire` made."""
    file = os.environ.get(INSIDE)
    if file:
        with registry.locked():
            keeper = _keeper(Path(file))
            if keeper is not None and not registry.names():
                Path(file).unlink()  # before it ends, so that nobody enters what is going
                os.kill(keeper, signal.SIGTERM)


def _enter(keeper: int) -> NoReturn:
    enter = _enter_command(keeper, "--user", "--net", "--mount")
    environment = {**os.environ, INSIDE: str(_keeper_file())}
    back_here = ["sh", "-c", 'cd "$0" && exec "$@"', os.getcwd()]  # entering a mount namespace leads to its root
    os.execvpe(enter[0], [*enter, *back_here, *_this_command()], environment)


def _enter_command(target: int, *of_it: str) -> list[str]:
    return ["nsenter", f"--target={target}", *of_it, "--preserve-credentials", "--"]


def _keeper_file() -> Path:
    """Where the keeper's pid is noted. Not below ``/run``, which is another one inside."""
    return Path(tempfile.gettempdir(), f"netlab-keeper-{os.getuid()}.json")


def _keeper(file: Path) -> int | None:
    """The pid of the process that holds this user's namespaces, if one runs."""
    try:
        if file.stat().st_uid != os.getuid():  # in a shared directory anybody could have put it there
            raise PrivilegeError(f"{file} belongs to somebody else", f"Run: {sudo_command()}")
        document = json.loads(file.read_text())
        keeper = registry.Owner(document["pid"], document["start_ticks"])
        user_namespace = document["user_namespace"]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
    if keeper.is_alive():
        return keeper.pid
    heir = _process_in(user_namespace)
    if heir is not None:  # its network namespace is a machine's of a lab, and no place for a keeper
        return _start_keeper([*_enter_command(heir, "--user", "--mount"), "unshare", "--net", "--", "sh", "-c", KEEP])
    file.unlink(missing_ok=True)
    print(f"netlab: process {keeper.pid}, which kept your labs, has been killed, and they are gone.", file=sys.stderr)
    return None


def _process_in(user_namespace: int) -> int | None:
    """A process of this user in that user namespace, which sees the ``/run`` that a keeper has made for labs."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if (
                entry.name.isdigit()
                and entry.stat().st_uid == os.getuid()
                and (entry / "ns/user").stat().st_ino == user_namespace
                and (entry / "root/run/netlab").is_dir()
            ):
                return int(entry.name)
    return None


def _start_keeper(command: Sequence[str] = (*NEW_NAMESPACES, "sh", "-c", f"{OWN_RUN} && {KEEP}")) -> int:
    """Start the process that holds the namespaces, and note it; it ends again if this one does before it is noted.

    It keeps nothing of its caller's: neither its output, which somebody may read to the end, nor its folder.
    """
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints, cwd="/", start_new_session=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdin, process.stdout:
            if process.stdout.readline() != b"ready\n":
                process.wait()
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip()
                raise PrivilegeError(f"a user namespace could not be set up: {said}", f"Run: {sudo_command()}")
            _note(process.pid)
            process.stdin.write(b"noted\n")
    return process.pid


def _note(keeper: int) -> None:
    document = {
        "pid": keeper,
        "start_ticks": registry.start_ticks(keeper),
        "user_namespace": Path(f"/proc/{keeper}/ns/user").stat().st_ino,
    }
    path = _keeper_file()
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file)


def main() -> None:
    """``python -P -m netlab.privilege COMMAND...``: run it with the rights to make labs if they can be had."""
    with contextlib.suppress(PrivilegeError):
        acquire()
    try:
        status = subprocess.call(sys.argv[1:])
    finally:
        release()
    sys.exit(status)


if __name__ == "__main__":
    main()
