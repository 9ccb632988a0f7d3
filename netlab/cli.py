"""The ``netlab`` command line: gathers the sub-commands and turns our errors into one clear message.

Exit status: 0 done; 1 something was wrong (printed with what to do, without a traceback); 2 the command was misused.
A module below ``netlab/commands`` has ``register(app)`` and imports whatever is heavy inside its commands, so that
``netlab --help`` comes at once.
"""

import sys

import typer
from rich.console import Console

from netlab import privilege, python
from netlab.commands import bench, capture, demo, doctor, frontend, iaas, lab, link, node, plot, run, script, sim
from netlab.errors import NetlabError

COMMANDS = (demo, run, bench, plot, lab, link, node, frontend, iaas, capture, script, sim, doctor)

app = typer.Typer(
    name="netlab",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Library-OS nodes on real TAP devices, beside Linux, compared packet by packet.",
    epilog="Start with `netlab doctor`, then `netlab demo`. Each command has examples: `netlab up --help`.",
)
for module in COMMANDS:
    module.register(app)


def main() -> None:
    """Run the command line and exit."""
    python.forget_current_folder()
    try:
        app()
    except NetlabError as error:
        _print_error(error.message, error.remedy)
        sys.exit(1)
    except ImportError as error:
        build = sys.modules.get("ebbrt.build")  # there when importing ebbrt failed for what we must tell
        if build is None or not isinstance(error, build.StaleExtensionError):
            raise
        _print_error(str(error), "")
        sys.exit(1)
    finally:
        privilege.release()


def _print_error(message: str, remedy: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print("[bold red]netlab:[/] ", end="")
    console.print(message, markup=False)
    if remedy:
        console.print(remedy, markup=False)


if __name__ == "__main__":
    main()
