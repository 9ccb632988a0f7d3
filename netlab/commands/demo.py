"""``netlab demo``: the whole experiment with one command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlab import privilege

if TYPE_CHECKING:
    from netlab.findings import Findings

FAILED = 1

EPILOG = """
Examples:

    netlab demo

    netlab demo --out out/before-my-change

    netlab demo --json > demo.json
"""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("demo", epilog=EPILOG)(demo)


def demo(
    out: Annotated[
        Path | None, typer.Option(help="The folder to write to; out/ and the time, if not given.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    allow_pure: Annotated[
        bool, typer.Option("--allow-pure", help="Record numbers of the uncompiled sources, too.")
    ] = False,
) -> None:
    """Serve memcached from a node and from Linux, measure both, draw the paper's figures: three minutes.

    Writes results.csv, figure4.png, figure5.png, figure6.png, node.pcapng, linux.pcapng, comparison.json, replay.json,
    environment.json and report.html. Exit status: 1 when a step failed; what the others found is there all the same.
    """
    import json
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from netlab import demo as running
    from netlab.bench import environment

    privilege.acquire()
    environment.require_compiled(allow_pure)
    folder = out or Path("out", time.strftime("%Y%m%d-%H%M%S"))
    columns = (
        BarColumn(30),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        findings = running.run(folder, lambda share, what: bar.update(task, completed=share, description=what))
    if as_json:
        typer.echo(json.dumps({**findings.document(), "report": str(folder / "report.html")}, indent=2))
    else:
        _show(findings, folder)
    if findings.ended.error is not None:
        raise findings.ended.error
    if findings.failures:
        raise typer.Exit(FAILED)


def _show(findings: "Findings", folder: Path) -> None:
    from rich.console import Console

    from netlab.bench import show
    from netlab.bench.results import summarize

    console = Console(highlight=False)
    console.print(show.ratio_table(findings.ratios(), summarize(findings.rows), console.width))
    if findings.replay is not None:
        console.print(
            f"Linux's capture replayed to the node: {findings.replay['equal']:,} of {findings.replay['requests']:,} "
            "replies equal."
        )
    console.print(show.environment_line(findings.environment), style="dim")
    if caution := findings.environment.caution():
        console.print(caution, style="yellow")
    for failure in findings.failures:
        console.print(f"The step {failure.step!r} failed: {failure.message}", style="red", markup=False)
        if failure.remedy:
            console.print(failure.remedy, markup=False)
    console.print(f"Report: {folder / 'report.html'} ({findings.seconds:.0f} s)", soft_wrap=True)
