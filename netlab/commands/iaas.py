"""``netlab iaas``: the daemon that gives front-ends their nodes, and what it has."""

import contextlib
import json
import pwd
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from netlab import privilege
from netlab.commands.lab import JsonOption, only_lab
from netlab.errors import NetlabError, UsageError
from netlab.tables import Column, fitted

LabOption = Annotated[str | None, typer.Option("--lab", help="Which lab; may be left out when one runs.")]
PoolOption = Annotated[int, typer.Option("--pool", min=0, max=256, help="Dormant nodes to keep.")]

RUN_EPILOG = """
Examples:

    netlab up
    netlab iaas run --pool 8
    netlab iaas run --limit 1000=16     # user 1000 is served too, and may have 16 nodes

    netlab exec client -- env EBBRT_IAAS=/run/netlab/lab1.iaas EBBRT_ADDRESS=198.18.0.1 python app.py

`netlab run` does all of that in one command. SIGTERM or Ctrl-C ends the daemon and every node it gave.
"""
STATUS_EPILOG = """
Examples:

    netlab iaas status
    netlab iaas status --json
"""
GROUP_EPILOG = """
Examples:

    netlab iaas run --pool 8
    netlab iaas status
"""


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    iaas = typer.Typer(no_args_is_help=True, help="Give front-ends nodes on demand.", epilog=GROUP_EPILOG)
    iaas.command(epilog=RUN_EPILOG)(run)
    iaas.command(epilog=STATUS_EPILOG)(status)
    app.add_typer(iaas, name="iaas")


def run(
    lab_name: LabOption = None,
    pool: PoolOption = 4,
    limit: Annotated[
        list[str] | None, typer.Option(help="UID=NODES: serve that user too (or yourself), with at most so many.")
    ] = None,
) -> None:
    """Run a lab's IaaS daemon until SIGTERM or Ctrl-C."""
    limits = dict(_limit(text) for text in limit or ())
    privilege.acquire()
    from netlab.iaas import launch
    from netlab.lab import Lab, end_by_exception

    lab = Lab.open(only_lab() if lab_name is None else lab_name)
    end_by_exception()
    daemon = launch.start(lab, launch.config_of(lab, pool=pool, limits=limits))
    print(f"ready: {lab.record.iaas_socket}", flush=True)
    try:
        status = daemon.wait()
    except BaseException:
        daemon.terminate()
        daemon.wait()
        raise
    raise NetlabError(f"the IaaS daemon ended with status {status}")


def status(lab_name: LabOption = None, as_json: JsonOption = False) -> None:
    """Show the machines that a lab's IaaS daemon has."""
    privilege.join()
    from netlab import registry
    from netlab.iaas import launch

    answer = launch.ask_for_list(registry.load(only_lab() if lab_name is None else lab_name))
    if as_json:
        typer.echo(json.dumps({"machines": answer["machines"], "statistics": answer["statistics"]}, indent=1))
    else:
        console = Console(highlight=False)
        console.print(_table(answer["machines"], console.width))


def _limit(text: str) -> tuple[str, int]:
    uid, _, nodes = text.partition("=")
    if not uid.isdecimal() or not nodes.isdecimal():
        raise UsageError(f"--limit {text} is not UID=NODES", "Write it as 1000=16.")
    return uid, int(nodes)


def _table(machines: list[dict[str, Any]], width: int) -> Table:
    columns = [
        Column("machine", "left"),
        Column("state", "left"),
        Column("address", "left"),
        Column("user", "left", rank=2),
        Column("node", rank=1),
        Column("size", rank=4),
        Column("for", rank=3),
    ]
    rows = [
        (
            machine["machine"],
            machine["state"],
            machine["address"],
            "" if machine["uid"] is None else _user(machine["uid"]),
            "" if machine["number"] is None else str(machine["number"]),
            f"{machine['cores']} x {machine['memory'] // machine['cores'] >> 20} MiB",
            f"{machine['seconds']:.1f} s",
        )
        for machine in machines
    ]
    return fitted(columns, rows, width)


def _user(uid: int) -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)
