"""``netlab capture``, ``netlab diff`` and ``netlab replay``: the command line of ``captures``."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from netlab import privilege
from netlab.commands.lab import only_lab
from netlab.errors import NetlabError
from netlab.python import module_command

if TYPE_CHECKING:
    from rich.table import Table

    from captures.capture import CaptureResult
    from captures.diff import Comparison, Value
    from captures.replay import ReplayResult

DIFFERENT, FAILED = 1, 2  # exit statuses, as diff(1) has them
PORT = 11211

PortOption = Annotated[int, typer.Option(help="The server's port in the captures.", min=1, max=65535)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]

CAPTURE_EPILOG = """
Examples:

    netlab capture switch -o out/bridge.pcapng --filter "tcp port 11211"
    netlab capture switch --interface client -o out/port.pcapng   # the bridge's port to the client: causal order
    netlab capture server -o short.pcapng --packets 1000 --seconds 5 --json
"""
DIFF_EPILOG = """
Examples:

    netlab diff out/linux.pcapng out/node.pcapng
    netlab diff a.pcapng b.pcapng --tolerance 0.2 --json
"""
REPLAY_EPILOG = """
Examples:

    netlab replay out/linux.pcapng --from client --to 198.18.0.3     # in the lab that runs, from its client
    netlab replay captures/reference/memcached-linux.pcapng --lab lab1 --from client --to 198.18.0.3 --json
    netlab replay out/linux.pcapng --to 127.0.0.1:11311              # a server on this machine
"""


def register(app: typer.Typer) -> None:
    """Add the three commands to ``app``."""
    app.command(epilog=CAPTURE_EPILOG)(capture)
    app.command(epilog=DIFF_EPILOG)(diff)
    app.command(epilog=REPLAY_EPILOG)(replay)


def capture(
    host: Annotated[str, typer.Argument(help="A host of the lab, or `switch`, where the bridge and the TAPs are.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The pcapng file; a sidecar, FILE.json, goes beside it.")
    ],
    interface: Annotated[str | None, typer.Option(help="The host's only one, or the bridge, without.")] = None,
    lab_name: Annotated[str | None, typer.Option("--lab", help="Which lab; may be left out when one runs.")] = None,
    packets: Annotated[int, typer.Option(help="End after so many packets.", min=1)] = 1_000_000,
    megabytes: Annotated[int, typer.Option(help="End when the file has this size.", min=1)] = 256,
    seconds: Annotated[float, typer.Option(help="End after so many seconds.", min=0.1)] = 60.0,
    expression: Annotated[str, typer.Option("--filter", help="tcpdump's filter expression.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Capture packets in a lab with tcpdump, into a pcapng file. Ctrl-C or SIGTERM ends it early and keeps the file.

    An earlier capture of the same name is replaced when this one has ended; any other file is left alone. Until then
    the packets are in FILE.part, a pcapng file too: after a crash, rename it.

    A capture that is to be replayed must begin before its first connection does.
    """
    privilege.acquire()
    from captures.capture import Capture
    from captures.files import CaptureError
    from netlab.lab import Lab

    machine = Lab.open(only_lab() if lab_name is None else lab_name).host(host)
    wanted = Capture(
        output,
        interface or machine.interface,
        popen=machine.popen,
        packets=packets,
        max_bytes=megabytes << 20,
        seconds=seconds,
        filter=expression,
    )
    with _signals_to(wanted.end):
        try:
            with wanted:
                typer.echo(f"Listening on {wanted.interface} of {host}; Ctrl-C ends.", err=True)
                wanted.wait()
        except CaptureError as error:
            raise NetlabError(str(error)) from error
        assert wanted.result is not None
        _show_capture(wanted.result, as_json=as_json)


@contextlib.contextmanager
def _signals_to(end: Callable[[str], None]) -> Iterator[None]:
    """Give the names of the signals that end a program to ``end`` instead: what runs is completed, not torn."""
    before = {
        number: signal.signal(number, lambda number, _: end(signal.Signals(number).name))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as nohup has it
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _show_capture(result: "CaptureResult", *, as_json: bool) -> None:
    if as_json:
        _print_json({**asdict(result), "path": str(result.path), "sidecar": str(result.sidecar)})
    else:
        typer.echo(
            f"{result.packets} packets in {result.seconds:.1f} s, {result.dropped} dropped by the kernel "
            f"(ended by: {result.ended_by}): {result.path}"
        )
    if result.problem:
        raise NetlabError(result.problem, f"The {result.packets} packets captured are in {result.path}.")


def diff(
    a: Annotated[Path, typer.Argument(help="A pcap or pcapng file.")],
    b: Annotated[Path, typer.Argument(help="The file to compare it with.")],
    port: PortOption = PORT,
    tolerance: Annotated[float, typer.Option(help="Share by which figures may be apart.", min=0.0, max=1.0)] = 0.05,
    as_json: JsonOption = False,
) -> None:
    """Compare two captures of memcached by meaning: handshakes, segments and bytes per request, what went wrong.

    What was asked and answered comes first, byte for byte, but for CAS and opaque. Initial sequence numbers, ports,
    addresses and times are no difference. What the rows do not cover is said below them.

    Exit status: 0 when nothing differs, 1 when something does, 2 when a capture cannot be read or nothing in it could
    be compared.
    """
    from captures.diff import compare
    from captures.files import CaptureError

    try:
        result = compare(a, b, port=port, tolerance=tolerance)
    except CaptureError as error:
        _fail(str(error))
    if as_json:
        _print_json(asdict(result))
    else:
        _show_comparison(result)
    if result.differing():
        raise typer.Exit(DIFFERENT)


def replay(
    path: Annotated[Path, typer.Argument(metavar="CAPTURE", help="A pcap or pcapng file of binary memcached.")],
    to: Annotated[str, typer.Option(help="The live server: ADDRESS or ADDRESS:PORT.")],
    lab_name: Annotated[
        str | None, typer.Option("--lab", help="The server's lab (default: the one that runs).")
    ] = None,
    origin: Annotated[str | None, typer.Option("--from", help="The host of the lab to send from.")] = None,
    port: PortOption = PORT,
    timeout: Annotated[float, typer.Option(help="Seconds without a byte before giving up.", min=0.01)] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Replay the clients of a memcached capture to a live server, and check its replies byte for byte (CAS masked).

    To an address of a lab it is sent from a host of that lab only: name it with --from, or run this inside one.

    The live store must be as the captured one was before the first packet: start both empty and capture from the first
    packet on. A capture that begins with a filled store cannot make its GETs hit again. A server that keeps talking
    without answering is given up after ten times --timeout for one reply, or 16 MiB more than was recorded.

    Exit status: 0 when all replies are equal, 1 when any differs or is missing, 2 when the capture cannot be replayed
    (a hole, a cut packet, no handshake: the packet is named) or the server not be reached.
    """
    from captures.files import CaptureError
    from captures.reach import OutsideLabError, require_lab
    from captures.replay import ReplayError
    from captures.replay import replay as run

    try:
        address, to_port = parse_address(to)
        if lab_name is not None or origin is not None:
            options = ["--to", to, "--port", str(port), "--timeout", str(timeout), *(["--json"] if as_json else [])]
            _again_in(lab_name, origin, ["replay", str(path), *options])
        require_lab(address)
        result = run(path, address, to_port, port=port, timeout=timeout)
    except OutsideLabError as error:
        _fail(f"{error}\nName the host that sends: --from HOST, and --lab when several labs run.")
    except (CaptureError, ReplayError, ValueError) as error:
        _fail(str(error))
    if as_json:
        _print_json(asdict(result))
    else:
        _show_replay(result)
    if not result.all_equal():
        raise typer.Exit(DIFFERENT)


def _again_in(lab_name: str | None, origin: str | None, arguments: list[str]) -> NoReturn:
    """Run this program again with ``arguments``, in a host of the lab: the named one, or its first."""
    privilege.acquire()
    from netlab import namespaces
    from netlab.lab import Lab
    from netlab.topology import SWITCH

    lab = Lab.open(only_lab() if lab_name is None else lab_name)
    host = lab.host(next(iter(lab.hosts), SWITCH) if origin is None else origin)
    argv = namespaces.command_in(host.namespace, module_command("netlab.cli", *arguments), dies_with_parent=False)
    os.execvp(argv[0], argv)


def parse_address(text: str) -> tuple[str, int]:
    """``10.0.0.1``, ``10.0.0.1:11311``, ``[fd00::1]:11311`` or a name, with memcached's port by default."""
    if text.count(":") > 1 and not text.startswith("["):
        return text, PORT  # IPv6 without brackets leaves no place for a port
    host, bracket, rest = text.removeprefix("[").partition("]") if text.startswith("[") else (text, "", text)
    if not bracket:
        host = text.partition(":")[0]
    digits = rest.partition(":")[2]
    if not host or (digits and not (digits.isdecimal() and 0 < int(digits) < 65536)):
        raise ValueError(f"--to {text}: give ADDRESS or ADDRESS:PORT")
    return host, int(digits) if digits else PORT


def _show_comparison(result: "Comparison") -> None:
    from rich.console import Console

    console = Console()
    console.print(_comparison_table(result, console.width))
    for note in result.notes:
        console.print(f"Note: {note}", markup=False, highlight=False)
    console.print(f"{len(result.differing())} of {len(result.rows)} rows differ.", highlight=False)


def _comparison_table(result: "Comparison", width: int) -> "Table":
    """Both captures' values, row by row; where there is room for no more, a value that differs is coloured only."""
    from rich.markup import escape

    from netlab.tables import Column, fitted

    room = max(8, min(22, (width - 20) // 2))  # of a capture's values
    columns = [
        Column("what", "left", wrap=36),
        Column(_name(result.a, room), "left", wrap=room),
        Column(_name(result.b, room), "left", wrap=room),
        Column("", "left", rank=1),
    ]
    rows: list[tuple[str, ...]] = []
    section = ""
    for row in result.rows:
        if row.section != section:
            section = row.section
            rows += [(), (f"[bold]{section}[/bold]", "", "", "")]
        mark = "[yellow]differs[/yellow]" if row.differs else ""
        values = (f"[yellow]{each}[/yellow]" if mark else each for each in (_shown(row.a), _shown(row.b)))
        rows.append((f"  {escape(row.name)}", *values, mark))
    return fitted(columns, rows, width)


def _name(path: str, room: int) -> str:
    """A capture's name, short enough for the head of a column."""
    name = Path(path).name
    return name if len(name) <= room else f"{name[: room - 1]}…"


def _shown(value: "Value") -> str:
    from rich.markup import escape

    return f"{value:,.3f}" if isinstance(value, float) else escape(str(value))


def _show_replay(result: "ReplayResult") -> None:
    for each in result.differences:
        typer.echo(f"packet {each.packet}, {each.opcode}, {each.connection}: {each.reason}")
        typer.echo(f"  recorded {each.recorded or '(nothing)'}\n  live     {each.live or '(nothing)'}")
    troubles = {
        "timed out": result.timed_out,
        "not sent after a failure": result.not_sent,
        "replies to nothing": result.surplus,
        "connections not closed": result.not_closed,
        "without a recorded reply, left out": result.unanswered,
    }
    also = "".join(f", {count} {what}" for what, count in troubles.items() if count)
    for what in result.left_out:
        typer.echo(f"left out: {what}")
    typer.echo(
        f"{result.connections} connections, {result.requests} requests in {result.seconds:.1f} s: "
        f"{result.equal} equal, {result.different} different{also}"
    )


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=2))


def _fail(reason: str) -> NoReturn:
    typer.echo(f"netlab: {reason}", err=True)
    raise typer.Exit(FAILED)
