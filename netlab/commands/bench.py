"""``netlab bench``: servers against each other, and the runtime's costs, with all that a number needs beside it."""

from pathlib import Path
from typing import Annotated

import typer

from netlab import privilege
from netlab.errors import NetlabError

EPILOG = """
Examples:

    netlab bench memcached

    netlab bench memcached --concurrency 64,512 --seconds 5 --rounds 3

    netlab bench memcached --targets linux --cpu-mode shared --json linux.json

    netlab bench memcached --targets node,baseline --baseline ../before
"""
RUNTIME_EPILOG = """
Examples:

    netlab bench runtime

    netlab bench runtime --rounds 11 --json runtime.json

Exit status: 1 when a target is missed.
"""
GROUP_HELP = "Measure servers of a lab against each other, and what the runtime costs."
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the outcome here; - prints it.")]
PureOption = Annotated[bool, typer.Option("--allow-pure", help="Record numbers of the uncompiled sources, too.")]


def register(app: typer.Typer) -> None:
    """Add the command group to ``app``."""
    group = typer.Typer(no_args_is_help=True, help=GROUP_HELP)
    group.command("memcached", epilog=EPILOG)(memcached)
    group.command("runtime", epilog=RUNTIME_EPILOG)(runtime)
    app.add_typer(group, name="bench")


def memcached(
    targets: Annotated[str, typer.Option(help="Servers, by comma; the ratios are first over second.")] = "node,linux",
    concurrency: Annotated[str, typer.Option(help="Connections, one request in flight on each; or several.")] = "64",
    payload: Annotated[str, typer.Option(help="Size of every value in bytes; or several.")] = "32",
    seconds: Annotated[int, typer.Option(help="Measured seconds of each round; one of warm-up comes before.")] = 3,
    rounds: Annotated[int, typer.Option(help="Times each target is measured.")] = 5,
    cpu_mode: Annotated[
        str, typer.Option(help="own-core: each machine receives on its own core. shared: on the sender's.")
    ] = "own-core",
    baseline: Annotated[
        Path | None, typer.Option(help="Another checkout, built: the target `baseline` is the node of its code.")
    ] = None,
    json_file: JsonOption = None,
    allow_pure: PureOption = False,
) -> None:
    """Load each server in turn with memcaslap: binary protocol, 9 gets to 1 set, every reply verified."""
    import json

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from netlab.bench import environment, session, show
    from netlab.bench.memcaslap import Load

    privilege.acquire()
    environment.require_compiled(allow_pure)
    loads = tuple(Load(c, p) for c in _numbers("--concurrency", concurrency) for p in _numbers("--payload", payload))
    starters, topology = session.with_baseline(baseline)
    plan = session.Plan(tuple(targets.split(",")), loads, seconds, rounds, cpu_mode, starters)
    columns = (BarColumn(30), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        outcome = session.run(
            plan, lambda done, of, what: bar.update(task, completed=done, total=of, description=what), topology
        )
    if _written(json_file, json.dumps(outcome.document(), indent=2)):
        return
    console = Console(highlight=False)
    console.print(show.medians_table(outcome.summaries))
    for ratio in outcome.ratios:
        console.print(show.ratio_line(ratio))
    console.print(show.environment_line(outcome.environment), style="dim")
    if caution := outcome.environment.caution():
        console.print(caution, style="yellow")


def runtime(
    rounds: Annotated[int, typer.Option(min=1, help="Times everything is measured.")] = 7,
    json_file: JsonOption = None,
    allow_pure: PureOption = False,
) -> None:
    """Measure events, contexts, calls through references, buffers, messages and boots, each against its target."""
    import json

    from rich.console import Console

    from netlab.bench import environment, show
    from netlab.bench import runtime as measured

    privilege.acquire()
    environment.require_compiled(allow_pure)
    with Console(stderr=True).status("starting") as status:
        outcome = measured.run(rounds, status.update)
    if not _written(json_file, json.dumps(outcome.document(), indent=2)):
        console = Console(highlight=False)
        console.print(show.figures_table(outcome.figures))
        console.print(show.environment_line(outcome.environment), style="dim")
        if caution := outcome.environment.caution():
            console.print(caution, style="yellow")
    if any(figure.is_met is False for figure in outcome.figures):
        raise typer.Exit(1)


def _written(json_file: Path | None, document: str) -> bool:
    """Write the document where it is wanted; whether that was instead of the tables."""
    if json_file == Path("-"):
        typer.echo(document)
        return True
    if json_file is not None:
        _write(json_file, document + "\n")
    return False


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(word) for word in text.split(",")]
    except ValueError as error:
        raise NetlabError(
            f"{option} {text!r} is not a number, nor numbers by comma", "Say 64, or 1,64,512."
        ) from error


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise NetlabError(f"cannot write {path}: {error.strerror}", "Name a file in a folder that exists.") from error
