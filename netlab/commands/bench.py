"""``netlab bench``: servers against each other, and the runtime's costs, with all that a number needs beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlab import privilege
from netlab.errors import NetlabError, UsageError
from netlab.whole_file import write_whole

if TYPE_CHECKING:
    from netlab.bench.ending import Ending
    from netlab.bench.figures import Outcome

EPILOG = """
Examples:

    netlab bench memcached

    netlab bench memcached --concurrency 64,512 --seconds 5 --rounds 3

    netlab bench memcached --targets linux --cpu-mode shared --json linux.json

    netlab bench memcached --targets node,baseline --baseline ../before

    netlab bench memcached --targets node --lookup list --concurrency 16,64,256,1024 --json lookup.json
    netlab plot lookup.json
"""
RUNTIME_EPILOG = """
Examples:

    netlab bench runtime

    netlab bench runtime --rounds 11 --json runtime.json --check

Exit status: 0 when it has measured; with --check 1 when a target is missed.
"""
TRANSFER_EPILOG = """
Examples:

    netlab bench transfer

    netlab bench transfer --targets node,linux --seconds 5 --rounds 3 --json transfer.json

Exit status: 0 when it has measured; with --check 1 when a target is missed.
"""
MATRIX_EPILOG = """
Examples:

    netlab bench matrix                              # all of it: 100 MB over links that lose takes its time

    netlab bench matrix --links clean,loss --sizes 1,1024,1000000 --pairs node-linux,linux-node

    netlab bench matrix --json matrix.json --captures failed/

Exit status: 1 when a transfer did not end with equal digests.
"""
CONNECTIONS_EPILOG = """
Examples:

    netlab bench connections

    netlab bench connections --lookup list --rounds 5 --json connections.json

Exit status: 0 when it has measured; with --check 1 when a target is missed, as with the list it is.
"""
GROUP_HELP = "Measure servers of a lab against each other, and what the runtime costs."
JsonOption = Annotated[Path | None, typer.Option("--json", help="Write the outcome here; - prints it.")]
CheckOption = Annotated[bool, typer.Option("--check", help="Exit with status 1 when a target is missed, for CI.")]
PureOption = Annotated[bool, typer.Option("--allow-pure", help="Record numbers of the uncompiled sources, too.")]
GROUP_EPILOG = """
Examples:

    netlab bench memcached
    netlab bench transfer
    netlab bench memcached --help
"""


def register(app: typer.Typer) -> None:
    """Add the command group to ``app``."""
    group = typer.Typer(no_args_is_help=True, help=GROUP_HELP, epilog=GROUP_EPILOG)
    group.command("memcached", epilog=EPILOG)(memcached)
    group.command("transfer", epilog=TRANSFER_EPILOG)(transfer)
    group.command("matrix", epilog=MATRIX_EPILOG)(matrix)
    group.command("connections", epilog=CONNECTIONS_EPILOG)(connections)
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
    lookup: Annotated[
        str, typer.Option(help="list: also measure a node that finds connections as lwIP does, the target `list`.")
    ] = "table",
    json_file: JsonOption = None,
    allow_pure: PureOption = False,
) -> None:
    """Load each server in turn with memcaslap: binary protocol, 9 gets to 1 set, every reply verified."""
    import json

    from rich.console import Console

    from netlab.bench import environment, session, show
    from netlab.bench.memcaslap import Load

    privilege.acquire()
    environment.require_compiled(allow_pure)
    loads = tuple(Load(c, p) for c in _numbers("--concurrency", concurrency) for p in _numbers("--payload", payload))
    starters, topology = session.with_further_nodes(baseline, lookup)
    names = targets.split(",")
    if lookup in starters and lookup not in names:
        names.append(lookup)
    plan = session.Plan(tuple(names), loads, seconds, rounds, cpu_mode, starters)
    with _progress() as progress:
        outcome = session.run(plan, progress, topology)
    if not _written(json_file, json.dumps(outcome.document(), indent=2)) and outcome.rows:
        console = Console(highlight=False)
        console.print(show.medians_table(outcome.summaries, console.width))
        for ratio in outcome.ratios:
            console.print(show.ratio_line(ratio))
        for note in outcome.notes:
            console.print(note, style="yellow", markup=False)
        console.print(show.environment_line(outcome.environment), style="dim")
        if caution := outcome.environment.caution():
            console.print(caution, style="yellow")
    _tell_early_end(outcome.ended)


def transfer(
    targets: Annotated[str, typer.Option(help="Servers, by comma; the ratios are first over second.")] = "node,linux",
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="About how long each bulk transfer lasts.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Times each target is measured.")] = 5,
    cpu_mode: Annotated[
        str, typer.Option(help="own-core: each machine receives on its own core. shared: on the sender's.")
    ] = "own-core",
    json_file: JsonOption = None,
    check: CheckOption = False,
    allow_pure: PureOption = False,
) -> None:
    """Measure how soon an idle server answers, and one connection's throughput from it and to it."""
    from netlab.bench import environment
    from netlab.bench import transfer as measured

    privilege.acquire()
    environment.require_compiled(allow_pure)
    with _progress() as progress:
        outcome = measured.run(measured.Plan(tuple(targets.split(",")), seconds, rounds, cpu_mode), progress)
    _show_figures(outcome, json_file, check)


def matrix(
    pairs: Annotated[
        str, typer.Option(help="Clients and servers, by comma.")
    ] = "node-node,node-linux,linux-node,linux-linux",
    sizes: Annotated[str, typer.Option(help="Bytes of a transfer, or several.")] = "1,1024,100000000",
    links: Annotated[str, typer.Option(help="What the server's link does, each way.")] = "clean,loss,reorder,50ms",
    captures: Annotated[Path | None, typer.Option(help="Keep captures of what fails in this folder.")] = None,
    json_file: JsonOption = None,
) -> None:
    """Transfer between nodes and Linux in every combination, over clean links and bad ones; compare the digests."""
    import json

    from rich.console import Console

    from netlab.bench import matrix as measured
    from netlab.bench import show

    privilege.acquire()
    asked = measured.Matrix(pairs.split(","), _numbers("--sizes", sizes), links.split(","))
    with _progress() as progress:
        outcome = measured.run(asked.cases(), progress, captures)
    if not _written(json_file, json.dumps(outcome.document(), indent=2)):
        console = Console(highlight=False)
        console.print(show.matrix_table(outcome.results, console.width))
        for result in outcome.failures():
            console.print(f"{result.case}: {result.failure}", style="red", markup=False)
    _tell_early_end(outcome.ended)
    if outcome.failures():
        raise typer.Exit(1)


def runtime(
    rounds: Annotated[int, typer.Option(min=1, help="Times everything is measured.")] = 7,
    json_file: JsonOption = None,
    check: CheckOption = False,
    allow_pure: PureOption = False,
) -> None:
    """Measure events, contexts, calls through references, buffers, messages and boots, each against its target."""
    from rich.console import Console

    from netlab.bench import environment
    from netlab.bench import runtime as measured

    privilege.acquire()
    environment.require_compiled(allow_pure)
    with Console(stderr=True).status("starting") as status:
        outcome = measured.run(rounds, status.update)
    _show_figures(outcome, json_file, check)


def connections(
    rounds: Annotated[int, typer.Option(min=1, help="Times the requests are timed.")] = 9,
    lookup: Annotated[str, typer.Option(help="How TCP finds a connection: table or list.")] = "table",
    json_file: JsonOption = None,
    check: CheckOption = False,
    allow_pure: PureOption = False,
) -> None:
    """Measure what an idle connection takes, and a request with 10,000 connections against one with 10."""
    from rich.console import Console

    from netlab.bench import connections as measured
    from netlab.bench import environment
    from netlab.node_config import check_lookup

    environment.require_compiled(allow_pure)
    check_lookup(lookup)
    with Console(stderr=True).status("starting") as status:
        outcome = measured.run(rounds, lookup, status.update)
    _show_figures(outcome, json_file, check)


def _show_figures(outcome: "Outcome", json_file: Path | None, check: bool) -> None:
    """Print the figures, or write them; with ``check`` exit status 1 when a target is missed."""
    import json

    from rich.console import Console

    from netlab.bench import show

    if not _written(json_file, json.dumps(outcome.document(), indent=2)) and outcome.figures:
        console = Console(highlight=False)
        console.print(show.figures_table(outcome.figures, console.width))
        console.print(show.environment_line(outcome.environment), style="dim")
        if caution := outcome.environment.caution():
            console.print(caution, style="yellow")
    _tell_early_end(outcome.ended)
    if check and any(figure.is_met is False for figure in outcome.figures):
        raise typer.Exit(1)


def _tell_early_end(ended: "Ending") -> None:
    """Raise what ended a measurement before its time, now that what it had is shown."""
    if ended.error is not None:
        raise ended.error


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """A bar on standard error; what it gives is told: so many intervals done, of how many, which is next."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(30), TextColumn("left"), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, of, what: bar.update(task, completed=done, total=of, description=what)


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
        raise UsageError(f"{option} {text!r} is not a number, nor numbers by comma", "Say 64, or 1,64,512.") from error


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise NetlabError(f"cannot write {path}: {error.strerror}", "Name a file in a folder that exists.") from error
