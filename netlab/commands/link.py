"""``netlab link``: what the way to a machine and back does to frames, in a lab that runs."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlab import privilege
from netlab.commands.lab import JsonOption, only_lab
from netlab.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from netlab.lab import Lab

SET_EPILOG = """
Examples:

    netlab link set node delay=25ms,loss=1%          # each way: a round trip takes 50 ms longer

    netlab link set node --to rate=100mbit,limit=100 --from reorder=1%:5ms

    netlab link set node --to ""                     # what goes to it, at once again; the rest as it was

SETTINGS are KEY=VALUE by comma; a new text replaces all of the old one:

    delay=25ms                one way; with jitter=2ms up to so much more or less

    rate=100mbit,limit=100    and so many frames may wait, or limit_bytes=150kb

    loss=1%                   each frame by itself; in bursts gilbert=1%/30%

    reorder=1%:5ms            1% of the frames come 5 ms later

    duplicate=0.1%, corrupt=0.01%
"""
CLEAR_EPILOG = """
Examples:

    netlab link clear node

    netlab link clear        # all of them
"""
SHOW_EPILOG = """
Examples:

    netlab link show

    netlab link show node --json
"""
MachineArgument = Annotated[str, typer.Argument(help="A host or node of the lab.")]
LabOption = Annotated[str | None, typer.Option("--lab", help="Which lab; may be left out when one runs.")]
GROUP_EPILOG = """
Examples:

    netlab link set node delay=25ms,loss=1%
    netlab link show
    netlab link clear
"""


def register(app: typer.Typer) -> None:
    """Add the command group to the command line."""
    group = typer.Typer(
        no_args_is_help=True, help="Let links delay, lose and reorder, while a lab runs.", epilog=GROUP_EPILOG
    )
    group.command("set", epilog=SET_EPILOG)(set_link)
    group.command(epilog=CLEAR_EPILOG)(clear)
    group.command(epilog=SHOW_EPILOG)(show)
    app.add_typer(group, name="link")


def set_link(
    machine: MachineArgument,
    settings: Annotated[str | None, typer.Argument(help="For both directions, each by itself.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="For what goes to the machine.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="For what comes from it.")] = None,
    seed: Annotated[int, typer.Option(help="Which frames are hit; of a link that was clear before.")] = 0,
    lab_name: LabOption = None,
    as_json: JsonOption = False,
) -> None:
    """Change what a machine's link does to frames; those on their way arrive as they would have."""
    if settings is None and to is None and from_ is None:
        raise UsageError("nothing to set", "Say `netlab link set node delay=25ms`, or --to or --from.")
    lab = _opened(lab_name)
    lab.emulate(machine, settings if to is None else to, settings if from_ is None else from_, seed=seed)
    _print({machine: lab.emulated(machine)}, as_json)


def clear(
    machine: Annotated[str | None, typer.Argument(help="Whose link; all of them without.")] = None,
    lab_name: LabOption = None,
) -> None:
    """Make links clear again: no relay, no limit but the machines'. Frames on their way are dropped."""
    lab = _opened(lab_name)
    for each in [machine] if machine else [machine.name for machine in lab.topology.machines]:
        lab.unemulate(each)


def show(
    machine: Annotated[str | None, typer.Argument(help="Whose link; all of them without.")] = None,
    lab_name: LabOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what links do, and what they have done: frames, and each kind of fault."""
    lab = _opened(lab_name)
    machines = [machine] if machine else [machine.name for machine in lab.topology.machines]
    _print({each: lab.emulated(each) for each in machines}, as_json)


def _opened(name: str | None) -> "Lab":
    privilege.acquire()
    from netlab.lab import Lab

    return Lab.open(only_lab() if name is None else name)


def _print(links: dict[str, dict[str, Any] | None], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(links, indent=1))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_table(links, console.width))


def _table(links: dict[str, dict[str, Any] | None], width: int) -> "Table":
    from netlab.tables import Column, fitted

    columns = [
        Column("link", "left"),
        Column("settings", "left", wrap=26 if width >= 80 else 14),
        Column("frames"),
        Column("what became of them", "left", rank=1, wrap=36),
    ]
    rows = []
    for machine, link in links.items():
        for direction in ("to", "from"):
            if link is None:
                rows.append((f"{direction} {machine}", "clear", "", ""))
                continue
            counted = link[direction]["statistics"]
            told = ", ".join(
                f"{name.replace('_', ' ')} {count:,}"
                for name, count in counted.items()
                if count and name not in ("frames", "bytes")
            )
            settings = (link[direction]["settings"] or "at once").replace(",", ", ")
            rows.append((f"{direction} {machine}", settings, f"{counted['frames']:,}", told))
    return fitted(columns, rows, width)
