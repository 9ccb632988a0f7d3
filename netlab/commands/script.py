"""``netlab script``: packetdrill scripts against the stack, in the simulation or on a live TAP."""

from pathlib import Path
from typing import Annotated

import typer

from netlab import privilege
from netlab.errors import NetlabError
from netlab.whole_file import write_whole

EPILOG = """
Examples:

    netlab script tests/script/rfc9293/3.5-passive-open.pkt

    netlab script tests/script --quiet

    netlab script --tolerance 10000 --define CC=reno ../packetdrill/tests

    netlab script --defaults defaults.sh ../packetdrill/tests

    netlab script --live tests/script/rfc9293/3.5-passive-open.pkt

    netlab script --json report.json tests/script

The language is packetdrill's. A folder stands for every .pkt file in it. Without --live a script runs in the
simulation, in virtual time: at once, without rights, and the same each time. With it, time is real and the stack is on
a TAP of a namespace that the run makes.

Lines for the shell are never run: those that set sysctls which the stack has are applied to it, others end the script
as unsupported. Snippets of Python are run: run scripts you trust.

Exit status: 0 all passed; 1 one failed; 3 none failed, but one asks for what is not supported; 2 one is not a script.
"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("script", epilog=EPILOG)(script)


def script(
    files: Annotated[list[Path], typer.Argument(help="Scripts, or folders of scripts (.pkt).")],
    live: Annotated[bool, typer.Option("--live", help="On a TAP in real time, instead of in the simulation.")] = False,
    tolerance: Annotated[
        int | None, typer.Option(min=0, help="Microseconds an event may be early or late; 4000 without.")
    ] = None,
    ip_version: Annotated[
        str | None, typer.Option(help="ipv4, ipv4-mapped-ipv6 or ipv6, for scripts that do not say.")
    ] = None,
    mtu: Annotated[int | None, typer.Option(min=68, max=65535, help="MTU of the link in bytes; 1500 without.")] = None,
    defaults: Annotated[
        Path | None,
        typer.Option(help="Sysctls that every script begins with: lines of sysctl.conf, or of a shell script."),
    ] = None,
    strict_push: Annotated[
        bool, typer.Option("--strict-push", help="Compare PSH also where RFC 9293 leaves it to the sender.")
    ] = False,
    define: Annotated[list[str] | None, typer.Option(help="NAME=value: a symbol of the script. Repeatable.")] = None,
    non_fatal: Annotated[str | None, typer.Option(help="packet, syscall: report these, and go on.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing of scripts that pass.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the outcome here; - prints it.")] = None,
) -> None:
    """Run packetdrill scripts against the stack."""
    import json

    from rich.console import Console
    from rich.progress import track

    from netlab.script import session

    if live:
        privilege.acquire()
    paths = session.find_scripts(files)
    given = {"tolerance_usecs": tolerance, "ip_version": ip_version, "mtu": mtu, "non_fatal": non_fatal}
    options = [(name, str(value)) for name, value in given.items() if value is not None]
    options += [("define", value) for value in define or ()]
    options += [("strict_push", "")] if strict_push else []
    beginning = session.defaults_of(defaults) if defaults is not None else ()
    bar = Console(stderr=True)
    reports = []
    for path in track(paths, "scripts", console=bar, transient=True, disable=not bar.is_terminal or len(paths) < 2):
        report = session.run_file(path, options, live, beginning)
        reports.append(report)
        if json_file != Path("-") and not (quiet and report.outcome == "passed"):
            bar.file.flush()
            typer.echo(report.text())
    if json_file is not None:
        document = json.dumps(session.document(reports), indent=2)
        if json_file == Path("-"):
            typer.echo(document)
        else:
            _write(json_file, document + "\n")
    if json_file != Path("-") and len(reports) > 1:
        typer.echo(session.summary(reports))
    raise typer.Exit(session.exit_status(reports))


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise NetlabError(f"cannot write {path}: {error.strerror}", "Name a file in a folder that exists.") from error
