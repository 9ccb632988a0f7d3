"""``netlab plot``: a run's figures, drawn again from its results."""

from pathlib import Path
from typing import Annotated, Literal

import typer

EPILOG = """
Examples:

    netlab plot out/20250101-120000
    netlab plot out/20250101-120000 --format pdf

    netlab bench memcached --targets node --lookup list --concurrency 16,64,256,1024 --json lookup.json
    netlab plot lookup.json
"""


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""
    app.command("plot", epilog=EPILOG)(plot)


def plot(
    run: Annotated[Path, typer.Argument(help="A run's folder, which holds results.csv; or the JSON of a bench.")],
    kind: Annotated[Literal["png", "svg", "pdf"], typer.Option("--format", help="What kind of files.")] = "png",
    as_json: Annotated[bool, typer.Option("--json", help="Print the files written as JSON.")] = False,
) -> None:
    """Draw Figures 4, 5 and 6 of a run again, as figure4.png and so on; or a bench's throughput against concurrency.

    A bench of several value sizes gets a line for each of them.
    """
    import json

    from netlab.plot import redraw

    drawn = [str(path) for path in redraw(run, kind)]
    typer.echo(json.dumps({"figures": drawn}) if as_json else "\n".join(drawn))
