"""The ``netlab`` command line: gathers the sub-commands and turns our errors into one clear message.

Exit status: 0 done; 1 something went wrong (printed with what to do, without a traceback); 2 the command was misused,
and nothing was done; 130 Ctrl-C; 141 the reader of the output has gone.
A module below ``netlab/commands`` has ``register(app)`` and imports whatever is heavy inside its commands, so that
``netlab --help`` comes at once.
"""

import contextlib
import os
import signal
import sys
import traceback
from typing import Annotated, Any

import typer
from rich.console import Console

import netlab
from netlab import output, privilege, python
from netlab.commands import (
    bench,
    capture,
    demo,
    doctor,
    frontend,
    iaas,
    lab,
    link,
    node,
    placeholders,
    plot,
    run,
    script,
    sim,
)
from netlab.errors import NetlabError
from netlab.output import READER_GONE, OutputError, ReaderGoneError

COMMANDS = (demo, run, bench, plot, lab, link, node, frontend, iaas, capture, script, sim, doctor)

TRACEBACK_VARIABLE = "NETLAB_TRACEBACK"

EPILOG = """
Examples:

    netlab doctor          # what this machine lacks
    netlab demo            # the whole experiment, in three minutes
    netlab up --help       # each command has examples
"""

app = typer.Typer(
    name="netlab",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": placeholders.HELP_NAMES},
    help="Library-OS nodes on real TAP devices, beside Linux, compared packet by packet.",
    epilog=EPILOG,
)
for module in COMMANDS:
    module.register(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"netlab {netlab.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Run the command line and exit."""
    python.forget_current_folder()
    output.install()
    try:
        status = _run()
    finally:
        privilege.release()
    try:
        output.finish()
    except OutputError as error:
        status = _tell(error)
    output.abandon()
    sys.exit(status)


def _run() -> int | str | None:
    """Carry the command out: its exit status."""
    try:
        command()(prog_name="netlab")
    except SystemExit as ended:
        return ended.code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except NetlabError as error:
        return _tell(error)
    except OSError as error:
        what = str(error) if error.filename is None else f"{error.filename}: {error.strerror}"
        return _tell(NetlabError(what, f"{TRACEBACK_VARIABLE}=1 in the environment shows where."))
    except ImportError as error:
        build = sys.modules.get("ebbrt.build")  # there when importing ebbrt failed for what we must tell
        if build is None or not isinstance(error, build.StaleExtensionError):
            raise
        return _tell(NetlabError(str(error)))
    return 0


def command() -> Any:
    """The whole command line, as one command with all the others below it."""
    return placeholders.name_values(typer.main.get_command(app))


def _tell(error: NetlabError) -> int:
    """Print an error, with what to do; the exit status it means."""
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    if isinstance(error, ReaderGoneError):
        return READER_GONE
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    style = "" if os.environ.get("NO_COLOR") else "bold red"
    with contextlib.suppress(OutputError):
        console.print("netlab: ", style=style, end="")
        console.print(error.message, markup=False)
        if error.remedy:
            console.print(error.remedy, markup=False)
    return error.status


if __name__ == "__main__":
    main()
