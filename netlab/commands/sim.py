"""``netlab sim``: runs a scenario, in one process, under virtual time."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlab.errors import NetlabError

if TYPE_CHECKING:
    from netlab.sim.scenario import Scenario

EPILOG = """
Examples:

    netlab sim netlab/sim/examples/lossy_transfer.py
    netlab sim netlab/sim/examples/cluster.py --seed 7 --seconds 10 --json
    netlab sim scenario.py --capture out.pcap      # every frame that a node sends, with virtual time

A scenario is a Python file with a function `build(simulation)` that adds nodes and links, and if you like a function
`report(simulation)`. The same seed gives the same run, and the same bytes in the capture. No rights are needed.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(epilog=EPILOG)(sim)


def sim(
    scenario: Annotated[Path, typer.Argument(help="The scenario: a Python file.")],
    seed: Annotated[int, typer.Option(help="Fixes everything that happens.")] = 0,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Virtual time it may take; the scenario's own without.")
    ] = None,
    capture: Annotated[Path | None, typer.Option(help="Write the frames to this pcap file.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the result, with all counters, as JSON.")] = False,
) -> None:
    """Run a simulation: nodes and links in one process, under virtual time."""
    import json

    from netlab.sim.scenario import Scenario

    loaded = Scenario(scenario)
    try:
        outcome = _run(loaded, seed, seconds, capture)
    except OSError as error:  # of the capture file
        raise NetlabError(f"cannot write {capture}: {error.strerror}") from error
    if json_output:
        typer.echo(json.dumps(outcome, indent=2))
    else:
        _show(outcome)
    if outcome["ended"] is False:
        raise typer.Exit(1)


def _run(scenario: "Scenario", seed: int, seconds: float | None, capture: Path | None) -> dict[str, Any]:
    """Run it, with a bar when somebody looks."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("virtual time", total=1.0)
        return scenario.run(seed, seconds, capture, lambda share: bar.update(task, completed=share))


def _show(outcome: dict[str, Any]) -> None:
    speed = outcome["virtual_seconds"] / outcome["real_seconds"]
    typer.echo(
        f"{outcome['virtual_seconds']:.3f} s of virtual time in {outcome['real_seconds']:.1f} s: "
        f"{speed:.2f} virtual seconds per second"
    )
    if outcome["ended"] is False:
        typer.echo("What the scenario waits for did not come about.")
    for name, value in outcome["report"].items():
        typer.echo(f"{name.replace('_', ' ')}: {value}")
