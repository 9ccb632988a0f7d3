"""``netlab frontend run``: an application in an ordinary Linux process, over kernel sockets."""

from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated

import typer

from netlab.errors import UsageError

RUN_EPILOG = """
Examples:

    netlab frontend run memcached
    memccapable -b -h 127.0.0.1

    netlab exec server -- netlab frontend run memcached --ip 0.0.0.0 --statistics frontend.json

It needs no TAP and no rights. It prints one line, beginning with `ready`, once it serves. SIGTERM or Ctrl-C ends it;
SIGUSR1 writes the statistics.
"""
GROUP_EPILOG = """
Examples:

    netlab frontend run memcached
    netlab frontend run --help
"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    frontend = typer.Typer(
        no_args_is_help=True, help="Run applications in a Linux process, over kernel sockets.", epilog=GROUP_EPILOG
    )
    frontend.callback()(_group)
    frontend.command(epilog=RUN_EPILOG)(run)
    app.add_typer(frontend, name="frontend")


def _group() -> None:
    """Run applications in an ordinary Linux process, over kernel sockets."""


def run(
    application: Annotated[str, typer.Argument(help="What it runs: memcached or transfer.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="For transfer, as a client: get ADDRESS BYTES [SEED], or put.")
    ] = None,
    ip: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 is all of the machine's.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="TCP port; the application's own without.")] = None,
    memory: Annotated[int, typer.Option(min=16, max=24576, help="MiB that stored values may take.")] = 1024,
    cpu: Annotated[int | None, typer.Option(help="Pin the process to this CPU.")] = None,
    statistics: Annotated[Path | None, typer.Option(help="Write the counters to this file, as JSON.")] = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C: the same application as on a node, over the kernel's TCP instead of ours."""
    try:
        address = str(IPv4Address(ip))
    except ValueError as error:
        raise UsageError(f"--ip {ip} is not an IPv4 address: {error}", "Write it as 127.0.0.1.") from error
    from netlab.node_config import port_of
    from netlab.socket_node import SocketNode, SocketNodeConfig

    config = SocketNodeConfig(
        application, address, port_of(application, port), memory << 20, cpu, statistics, tuple(arguments or ())
    )
    node = SocketNode.boot(config)
    try:
        node.run(ready=lambda: print(f"ready: {application} on {address}:{config.port}, kernel sockets", flush=True))
    finally:
        node.close()
