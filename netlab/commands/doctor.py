"""``netlab doctor``: what this machine has of what a lab needs, and the command that mends each thing missing."""

import contextlib
import dataclasses
import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from netlab import privilege

EPILOG = """
Examples:

    netlab doctor
    sudo netlab doctor --json

Exit status 1 when something needed is missing.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=EPILOG)(doctor)


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False) -> None:
    """Check rights, kernel, programs and build; say how to mend what is missing."""
    with contextlib.suppress(privilege.PrivilegeError):  # without rights it still says what is missing
        privilege.acquire()
    from netlab.doctor import examine

    checks = examine()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(check) for check in checks], indent=1))
    else:
        table = Table("", "what", "found", "to mend it")
        for check in checks:
            mark = "[green]ok[/]" if check.ok else "[red]missing[/]" if check.needed else "[yellow]note[/]"
            table.add_row(mark, check.name, check.detail, check.remedy)
        Console(highlight=False).print(table)
    if any(check.needed and not check.ok for check in checks):
        raise typer.Exit(1)
