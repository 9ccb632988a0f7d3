"""``netlab up``, ``down``, ``status``, ``exec`` and ``clean``: labs that outlive the command that made them."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from netlab import privilege
from netlab.errors import NetlabError, UsageError
from netlab.tables import Column, fitted
from netlab.topology import default_topology, load_topology

if TYPE_CHECKING:
    from netlab.registry import Record

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

UP_EPILOG = """
Examples:

    netlab up                        # client, server and node on one bridge
    netlab up pair.toml --name pair  # your own topology
    netlab up --link node:delay=25ms,loss=1% --link client:to:rate=100mbit   # more: netlab link set --help
    netlab up --dhcp                 # and a host with a DHCP server, which gives nodes their planned addresses
    netlab up --plain-tap node       # for a stack of yours: docs/foreign-stacks.md

A topology file:

    network = "198.18.0.0/16"
    [hosts]
    client = "198.18.0.1"
    [nodes]
    node = "198.18.0.3"
"""
DOWN_EPILOG = """
Examples:

    netlab down         # the only one there is
    netlab down pair
"""
STATUS_EPILOG = """
Examples:

    netlab status
    netlab status --json
"""
EXEC_EPILOG = """
Examples:

    netlab exec client ip -br address
    netlab exec switch -- tcpdump -n -i bridge -c 10
    netlab exec --lab pair server -- memcached -u nobody
"""
CLEAN_EPILOG = """
Examples:

    netlab clean
    netlab clean --json
"""


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command(epilog=UP_EPILOG)(up)
    app.command(epilog=DOWN_EPILOG)(down)
    app.command(epilog=STATUS_EPILOG)(status)
    app.command("exec", epilog=EXEC_EPILOG, context_settings={"allow_interspersed_args": False})(execute)
    app.command(epilog=CLEAN_EPILOG)(clean)


def up(
    file: Annotated[Path | None, typer.Argument(help="A topology in TOML; the default one without.")] = None,
    name: Annotated[str | None, typer.Option(help="The lab's name; lab1, lab2... without.")] = None,
    link: Annotated[
        list[str] | None, typer.Option(help="MACHINE:SETTINGS, each way; MACHINE:to:SETTINGS, or from, for one.")
    ] = None,
    dhcp: Annotated[bool, typer.Option("--dhcp", help="Add a host with a DHCP server (dnsmasq).")] = False,
    plain_tap: Annotated[
        list[str] | None, typer.Option(help="A node whose TAP any program can open; of one queue.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Start a lab and leave it running until `netlab down`."""
    from netlab.emulation.settings import parse_link

    topology = None if file is None else load_topology(file)
    links = [parse_link(text) for text in link or ()]
    privilege.acquire()
    from netlab import dhcp_server
    from netlab.lab import Lab, require_program

    if dhcp:
        require_program(dhcp_server.PROGRAM)
        topology = dhcp_server.with_server(topology or default_topology())
    lab = Lab.create(topology, name, detached=True, plain_taps=plain_tap or ())
    try:
        if dhcp:
            dhcp_server.start(lab)
        for machine, to, from_ in links:
            lab.emulate(machine, to, from_)
        lab.detach()
    except BaseException:
        lab.delete()
        raise
    if as_json:
        typer.echo(json.dumps(lab.record.document(), indent=1))
    else:
        _console().print(_table([lab.record], _console().width))


def down(
    name: Annotated[str | None, typer.Argument(help="Which lab; may be left out when one runs.")] = None,
    as_json: JsonOption = False,
) -> None:
    """End a lab that `netlab up` started, with every process in it."""
    privilege.acquire()
    name = only_lab("netlab down ") if name is None else name
    _remove(name)
    if as_json:
        typer.echo(json.dumps({"removed": [name]}))
    else:
        _console().print(f"removed {name}")


def _remove(name: str) -> None:
    from netlab import lab, registry

    try:
        found = lab.Lab.open(name)
    except registry.RecordError:
        with registry.locked():
            lab.delete_unreadable(name)
        return
    owner = found.record.owner
    if owner is not None:
        raise NetlabError(f"the lab {name!r} belongs to process {owner.pid}", "It ends when that process does.")
    found.delete()


def status(as_json: JsonOption = False) -> None:
    """Show the labs there are, and what is in them."""
    privilege.join()
    from netlab import registry

    records, errors = registry.load_all()
    if as_json:
        damaged = [{"name": error.name, "state": "unreadable", "reason": error.message} for error in errors]
        typer.echo(json.dumps([*map(_described, records), *damaged], indent=1))
        return
    if records:
        _console().print(_table(records, _console().width))
    elif not errors:
        _console().print("no lab runs; `netlab up` starts one")
    for error in errors:
        _console().print(f"{error.message}: {error.remedy}", markup=False)


def execute(
    host: Annotated[str, typer.Argument(help="A host of the lab, or `switch`, where the bridge and the TAPs are.")],
    command: Annotated[list[str], typer.Argument(help="The command and its arguments; `--` may be before it.")],
    lab_name: Annotated[str | None, typer.Option("--lab", help="Which lab; may be left out when one runs.")] = None,
) -> None:
    """Run a command inside a host of a lab; its exit status is the command's. Options of ours come before the host."""
    command = command[command[0] == "--" :]
    if not command:
        raise UsageError("no command to run", "Name it after the host: netlab exec client ip address")
    privilege.acquire()
    from netlab import lab, namespaces

    found = lab.Lab.open(only_lab() if lab_name is None else lab_name)
    argv = namespaces.command_in(found.host(host).namespace, command, dies_with_parent=False)
    lab.require_program(command[0])
    os.execvp(argv[0], argv)


def clean(as_json: JsonOption = False) -> None:
    """Remove what was left by commands that were killed, by their records, and labs whose record is damaged."""
    privilege.acquire()
    from netlab import lab

    removed = lab.clean()
    if as_json:
        typer.echo(json.dumps({"removed": removed}))
    else:
        _console().print(f"removed {', '.join(removed)}" if removed else "nothing to remove")


def only_lab(said_by: str = "--lab ") -> str:
    """The name of the one lab that `netlab up` has started; NetlabError when there is none, or several.

    Labs of a process that runs, a demo's or a benchmark's, are meant only when they are named. said_by: what precedes
    the name in the command that names one.
    """
    from netlab import registry

    records = [record for record in registry.load_all()[0] if not record.is_abandoned]
    detached = [record.name for record in records if record.owner is None]
    if not detached:
        owned = [f"{record.name} (of process {record.owner.pid})" for record in records if record.owner is not None]
        also = f" There is {', '.join(owned)}: {said_by}NAME." if owned else ""
        raise NetlabError("no lab runs that `netlab up` has started", f"`netlab up` starts one.{also}")
    if len(detached) > 1:
        raise UsageError(f"several labs run: {', '.join(detached)}", f"Name the one you mean: {said_by}{detached[0]}")
    return detached[0]


def _state(record: "Record") -> str:
    if record.owner is None:
        return "up"
    return "abandoned" if record.is_abandoned else f"owned by process {record.owner.pid}"


def _described(record: "Record") -> dict[str, Any]:
    return {**record.document(), "state": _state(record)}


def _table(records: "list[Record]", width: int) -> Table:
    columns = [
        Column("lab", "left"),
        Column("state", "left", rank=2, wrap=16),
        Column("machine", "left"),
        Column("kind", "left", rank=3),
        Column("address", "left"),
        Column("CPU", rank=5),
        Column("shaped to", rank=4),
    ]
    rows = []
    for record in records:
        length = record.topology.prefix_length
        lab, state = record.name, _state(record)
        for machine in record.topology.machines:
            rate = record.shaped.get(machine.name)
            rows.append(
                (
                    lab,
                    state,
                    machine.name,
                    "host" if machine in record.topology.hosts else "node",
                    f"{machine.address}/{length}",
                    str(record.cpus.get(machine.name, "")),
                    "" if rate is None else f"{rate / 1e6:g} Mb/s",
                )
            )
            lab = state = ""
    return fitted(columns, rows, width)


def _console() -> Console:
    return Console(highlight=False)
