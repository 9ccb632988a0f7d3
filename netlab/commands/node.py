"""``netlab node run``: a library-OS node on a TAP, in the foreground."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlab.errors import UsageError

if TYPE_CHECKING:
    from netlab.node import Node
    from netlab.node_config import Attachment, StaticRoute
    from stack.ipv6.settings import Ipv6Settings

RUN_EPILOG = """
Examples:

    netlab up
    netlab exec switch -- netlab node run memcached --tap node --ip 198.18.0.3/16
    netlab exec client -- memccapable -b -h 198.18.0.3

    netlab exec switch -- netlab node run memcached --tap node --ip 198.18.0.3/16 --cores 2 --cpus 0,1

    netlab exec switch -- netlab node run memcached --tap node --ip 198.18.0.3/16 \\
        --ebb event_manager=apps.examples.deadline_events:DeadlineEventManager

    netlab exec switch -- netlab node run memcached --tap node --ip 198.18.0.3/16 --lookup list

    netlab exec switch -- netlab node run transfer --tap node --ip 198.18.0.3/16
    netlab exec client -- python -P -m apps.transfer.linux get 198.18.0.3 100000000

    netlab exec switch -- netlab node run transfer --tap node --ip 198.18.0.3/16 put 198.18.0.1 100000000

    netlab exec switch -- netlab node run memcached --tap node --ip dhcp

    sudo netlab node run memcached --tap tap0 --ip 198.18.1.2/24 --tap tap1 --ip 198.18.2.2/24 \\
        --route "0.0.0.0/0 via 198.18.1.1"

    netlab exec switch -- netlab node run memcached --tap node --ip 198.18.0.3/16 --ip6 fd6e:6574:6c61:62::c612:3/64
    netlab exec switch -- netlab node run memcached --tap node --ip 198.18.0.3/16 --ip6 auto

    sudo netlab node run memcached --tap tap0 --ip 198.18.1.2/24 --statistics node.json

TAPs of one's own, as those of the last examples, are made before: `sudo ip tuntap add tap0 mode tap`, then set up and
given an address or a bridge; or by --make-tap, for as long as the node runs.

The node prints one line, beginning with `ready`, once it answers who asks for its addresses; what is missing for
anybody to reach it is said before, on standard error. SIGTERM or Ctrl-C ends it; SIGUSR1 writes the statistics.

With --cores, each core is a process with a queue of the TAP (one made by `ip tuntap` needs `multi_queue` for that).
Fewer CPUs than cores are allowed: the cores share them.
"""
GROUP_EPILOG = """
Examples:

    netlab exec switch netlab node run memcached --tap node --ip 198.18.0.3/16
    netlab node run --help
"""


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    node = typer.Typer(no_args_is_help=True, help="Run library-OS nodes.", epilog=GROUP_EPILOG)
    node.callback()(_group)
    node.command(epilog=RUN_EPILOG)(run)
    app.add_typer(node, name="node")


def _group() -> None:
    """Run library-OS nodes."""


def run(
    application: Annotated[str, typer.Argument(help="What it runs: memcached or transfer.")],
    tap: Annotated[list[str], typer.Option(help="A TAP to attach to, in this network namespace.")],
    ip: Annotated[list[str], typer.Option(help="Address and prefix length there, as 198.18.0.3/16; or dhcp.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="For transfer, as a client: get ADDRESS BYTES [SEED], or put.")
    ] = None,
    route: Annotated[list[str] | None, typer.Option(help='A static route, as "10.0.0.0/8 via 198.18.0.1".')] = None,
    ip6: Annotated[
        list[str] | None,
        typer.Option(help="An IPv6 address of the first TAP, as fd00::3/64; or auto: as routers say."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; the application's own without.")] = None,
    memory: Annotated[int, typer.Option(min=16, max=24576, help="MiB that stored values may take.")] = 1024,
    ring_size: Annotated[int, typer.Option(help="Descriptors in each virtqueue: a power of two, 2 to 32768.")] = 512,
    cores: Annotated[int, typer.Option(min=1, max=64, help="Cores: a process and a TAP queue each.")] = 1,
    cpus: Annotated[str, typer.Option(help="Pin the cores to these CPUs in turn, as 0,1.")] = "",
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness, to repeat a run.")] = None,
    make_tap: Annotated[
        bool, typer.Option("--make-tap", help="Make a TAP that is not there, and set it up; it goes with the node.")
    ] = False,
    plain_tap: Annotated[
        bool, typer.Option("--plain-tap", help="Use the TAP without header and offloads; one core only.")
    ] = False,
    dhcp_limit: Annotated[
        int, typer.Option(min=1, help="Seconds that DHCP may take to give an address; then the node ends.")
    ] = 60,
    ebb: Annotated[
        list[str] | None, typer.Option(help="NAME=package.module:Class: a base Ebb of your own, as event_manager.")
    ] = None,
    lookup: Annotated[
        str, typer.Option(help="How TCP finds a connection: table, or list, as lwIP: last used in front.")
    ] = "table",
    layers: Annotated[bool, typer.Option("--layers", help="Time device, driver, stack and application.")] = False,
    statistics: Annotated[Path | None, typer.Option(help="Write the counters to this file, as JSON.")] = None,
) -> None:
    """Boot a node and serve until SIGTERM or Ctrl-C."""
    from drivers.virtio.tap import exists, set_up
    from ebbrt.configuration import Configuration, ConfigurationError
    from netlab.node import Node, NodeConfig, check_config
    from netlab.node_config import port_of
    from netlab.node_place import check_place
    from netlab.node_reach import Reach

    try:
        configuration = Configuration.parse(ebb or ())
    except ConfigurationError as error:
        raise UsageError(f"--ebb: {error}") from error
    first, *more = _parse_attachments(tap, ip)
    config = NodeConfig(
        application=application,
        tap=first.tap,
        address=first.address,
        more=tuple(more),
        routes=tuple(_parse_route(text) for text in route or ()),
        ipv6=_parse_ipv6(ip6 or []),
        port=port_of(application, port),
        memory=memory << 20,
        ring_size=ring_size,
        cores=cores,
        cpus=_parse_cpus(cpus),
        seed=seed,
        plain_tap=plain_tap,
        make_tap=make_tap,
        ask_first=True,
        dhcp_limit=dhcp_limit,
        layers=layers,
        lookup=lookup,
        statistics=statistics,
        configuration=configuration,
        arguments=tuple(arguments or ()),
    )
    check_config(config)
    check_place(config)
    made = [attachment.tap for attachment in config.attachments() if not exists(attachment.tap)]
    node = Node.boot(config)
    try:
        for name in made:
            set_up(name)
        node.run(ready=Reach(node, lambda missing: _say_ready(node, missing)).begin)
    finally:
        node.close()


def _say_ready(node: "Node", missing: list[str]) -> None:
    """What stands in the way of being reached, and the line by which whoever started the node knows that it serves."""
    for line in missing:
        node.report(line)
    interfaces = ", ".join(interface.tap.name for interface in node.interfaces)
    address = IPv4Address(node.stack.interfaces[0].ipv4_address)
    print(f"ready: {node.config.application} on {address}:{node.config.port}, TAP {interfaces}", flush=True)


def _parse_attachments(taps: list[str], addresses: list[str]) -> "list[Attachment]":
    """The interfaces that ``--tap`` and ``--ip``, one of each in turn, name."""
    from netlab.node_config import Attachment

    if len(taps) != len(addresses):
        raise UsageError(f"{len(taps)} --tap and {len(addresses)} --ip", "Give each TAP its own --ip.")
    return [
        Attachment(tap, None if address == "dhcp" else _parse_interface(address))
        for tap, address in zip(taps, addresses, strict=True)
    ]


def _parse_interface(text: str) -> IPv4Interface:
    remedy = "Write it as 198.18.0.3/16, or dhcp."
    _require_prefix_length("--ip", text, remedy)
    try:
        return IPv4Interface(text)
    except ValueError as error:
        raise UsageError(f"--ip {text} is not an address with a prefix length: {error}", remedy) from error


def _require_prefix_length(option: str, text: str, remedy: str) -> None:
    """An address alone would be one in a network of its own, with no neighbour to answer."""
    length = text.rpartition("/")[2] if "/" in text else ""
    if not length.isdecimal():  # a mask, as 255.255.0.0, is no length
        raise UsageError(f"{option} {text} does not say the length of the network's prefix", remedy)


def _parse_route(text: str) -> "StaticRoute":
    """The route that ``--route`` names."""
    from netlab.node_config import StaticRoute

    network, _, gateway = text.partition(" via ")
    try:
        return StaticRoute(IPv4Network(network.strip()), IPv4Address(gateway.strip()))
    except ValueError as error:
        raise UsageError(f"--route {text}: {error}", 'Write it as "10.0.0.0/8 via 198.18.0.1".') from error


def _parse_ipv6(texts: list[str]) -> "Ipv6Settings | None":
    """What every ``--ip6`` together says of the first interface."""
    from stack.ipv6.settings import Ipv6Settings

    remedy = "Write it as fd00::3/64, or auto."
    addresses = []
    for text in texts:
        if text != "auto":
            _require_prefix_length("--ip6", text, remedy)
            try:
                addresses.append(IPv6Interface(text))
            except ValueError as error:
                raise UsageError(f"--ip6 {text} is not an address with a prefix length: {error}", remedy) from error
    automatic = "auto" in texts
    return Ipv6Settings(tuple(addresses), automatic=automatic, temporary=automatic) if texts else None


def _parse_cpus(text: str) -> tuple[int, ...]:
    """The CPUs that ``--cpus`` names."""
    numbers = text.split(",") if text else []
    if not all(number.isdecimal() for number in numbers):
        raise UsageError(f"--cpus {text} is not a list of CPUs", "Write it as 0,1.")
    return tuple(map(int, numbers))
