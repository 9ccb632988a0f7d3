"""``netlab run``: a front-end in a lab of its own, with nodes to be had."""

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlab import privilege, python
from netlab.commands.iaas import PoolOption
from netlab.errors import UsageError
from netlab.topology import SWITCH, Machine, Topology

if TYPE_CHECKING:
    from netlab.lab import Host, Lab

FRONT_END = Machine("front-end", "198.18.0.1")
GRACE_SECONDS = 3.0  # that a front-end has to end after Ctrl-C

EPILOG = """
Examples:

    netlab run app.py input.txt
    netlab run --pool 8 app.py
    netlab run --lab lab1 --host client app.py    # in a lab that runs, beside its machines

The script runs in the host's network, with these in its environment: EBBRT_IAAS, the path of the IaaS daemon's socket,
and EBBRT_ADDRESS, its own address. The exit status is the script's. Whatever ends it, its nodes, the daemon and the
lab made for it are removed.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=EPILOG, context_settings={"allow_interspersed_args": False})(run)


def run(
    script: Annotated[Path, typer.Argument(help="The front-end: a Python program.")],
    arguments: Annotated[list[str] | None, typer.Argument(help="Its arguments.")] = None,
    lab_name: Annotated[str | None, typer.Option("--lab", help="A lab that runs; one is made without.")] = None,
    host: Annotated[str | None, typer.Option(help="Where in that lab; its first host without.")] = None,
    pool: PoolOption = 4,
) -> None:
    """Run a front-end program, and the nodes that it asks for."""
    if not script.is_file():
        raise UsageError(f"there is no file {script}")
    if host is not None and lab_name is None:
        raise UsageError("--host names a host of a lab that runs", "Say which one with --lab.")
    privilege.acquire()
    from netlab.lab import Lab, end_by_exception

    argv = python.module_command("netlab.program", str(script), *(arguments or ()))
    if lab_name is not None:
        end_by_exception()  # as a lab of our own does
        lab = Lab.open(lab_name)
        status = run_in(lab, lab.host(next(iter(lab.hosts), SWITCH) if host is None else host), argv, pool)
    else:
        with Lab.create(Topology("198.18.0.0/16", (FRONT_END,), ())) as lab:
            status = run_in(lab, lab.hosts[FRONT_END.name], argv, pool)
    raise typer.Exit(status)


def run_in(lab: "Lab", host: "Host", argv: list[str], pool: int) -> int:
    """Run the program on the host, with a daemon unless the lab has one; returns its exit status."""
    from netlab.iaas import launch

    daemon = None
    if not launch.serves(lab.record):
        daemon = launch.start(lab, launch.config_of(lab, pool=pool))
    process = host.popen(argv, env={**os.environ, **launch.environment_of(lab, host)})
    try:
        status = _wait(process)
    finally:
        process.kill()
        process.wait()
        if daemon is not None:
            daemon.terminate()
            daemon.wait()
    return status if status >= 0 else 128 - status


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Its exit status; Ctrl-C is passed on, since the program is in a session of its own."""
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        try:
            return process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return 128 + signal.SIGINT
