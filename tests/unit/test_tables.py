"""Tables fit the terminal, with whole headings."""

import io
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console
from rich.table import Table

from captures.diff import Comparison
from captures.diff import Row as Compared
from netlab.bench import show
from netlab.bench.figures import compared, figure
from netlab.bench.matrix import Case, Result
from netlab.bench.results import Row, ratios, summarize
from netlab.commands import capture, iaas, lab, link
from netlab.registry import Owner, Record
from netlab.topology import default_topology

ROWS = [
    Row("concurrency", target, concurrency, 8192, number, rate, 21.987, 1.0, 1048)
    for number in (1, 2)
    for target, rate in (("node", 234567.8), ("linux", 112345.6))
    for concurrency in (16, 1024)
]
FIGURES = [
    compared("message, node to node and back", "us", [90.1, 99.9], "TCP of Linux", [80.0, 81.0], 1.3),
    compared("from the server", "Gb/s", [9.1, 9.9], "linux", [18.0, 19.0], 0.6, at_least=True),
    figure("memory of a buffer of 64 KiB", "bytes", [66000.0]),
    figure("boot, cold", "ms", [480.0, 620.0], 500),
]
RESULTS = [
    Result(Case(pair, "get", size, link), 12.345, failure, 0)
    for pair in ("node-node", "linux-linux")
    for size in (1, 1024, 100_000_000)
    for link, failure in (("clean", ""), ("reorder", "not done in 230 s"))
]
RECORD = Record("lab12", default_topology(), Owner(1, 0), cpus={"node": 1}, shaped={"client": 1_000_000_000})
MACHINE = {"machine": "m12", "state": "starting", "address": "198.18.200.103", "uid": 4000000000, "number": 12,
           "cores": 4, "memory": 1 << 30, "seconds": 12345.6}  # fmt: skip
LINK = {
    way: {
        "settings": "delay=25ms,jitter=5ms,rate=100mbit,limit=100,loss=1%,reorder=1%:5ms",
        "statistics": {"frames": 12_345_678, "bytes": 1, "lost": 1_234_567, "dropped_at_limit": 1_234, "reordered": 0},
    }
    for way in ("to", "from")
}
COMPARISON = Comparison(
    "out/a.pcapng",
    "out/b.pcapng",
    0.1,
    [
        Compared("Handshake", "options of the SYN, in their order", "mss sack ts nop wscale", "mss nop wscale", True),
        Compared("Application", "requests [all]", 123456, 123456.7891, False),
    ],
)
TABLES: dict[str, tuple[Callable[[int], Table], Sequence[str]]] = {
    "medians": (
        lambda width: show.medians_table(summarize(ROWS), width),
        ("target", "conns", "bytes", "rounds", "req/s", "core us/req", "client", "errors"),
    ),
    "ratios": (
        lambda width: show.ratio_table(ratios(ROWS, "node", "linux"), summarize(ROWS), width),
        ("experiment", "conns", "bytes", "node req/s", "Linux req/s", "ratio", "core us/req", "ratio"),
    ),
    "figures": (
        lambda width: show.figures_table(FIGURES, width),
        ("what", "median", "against", "ratio", "target"),
    ),
    "matrix": (
        lambda width: show.matrix_table(RESULTS, width),
        ("link", "client-server", "1 B", "1,024 B", "100,000,000 B"),
    ),
    "labs": (
        lambda width: lab._table([RECORD], width),
        ("lab", "state", "machine", "kind", "address", "CPU", "shaped to"),
    ),
    "machines": (
        lambda width: iaas._table([MACHINE], width),
        ("machine", "state", "address", "user", "node", "size", "for"),
    ),
    "links": (
        lambda width: link._table({"client": None, "server": LINK}, width),
        ("link", "settings", "frames", "what became of them"),
    ),
    "comparison": (
        lambda width: capture._comparison_table(COMPARISON, width),
        ("what", "a.pcapng", "b.pcapng", ""),
    ),
}  # fmt: skip


def printed(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", TABLES)
def test_a_table_fits_with_whole_headings(name: str, width: int) -> None:
    make, headings = TABLES[name]
    table = make(width)
    lines = printed(table, width)
    assert max(map(len, lines)) <= width
    shown = [str(column.header) for column in table.columns]
    heading_line = next(line for line in lines if shown[0] in line.split())
    position = 0
    for heading in shown:
        position = heading_line.index(heading, position) + len(heading)
    assert not any("…" in line for line in lines)
    if width == 40:
        assert [heading for heading in headings if heading in shown] == shown  # some are left out, in order
    else:
        assert shown == list(headings)


def test_a_ratio_names_its_point() -> None:
    lines = [show.ratio_line(ratio) for ratio in ratios(ROWS, "node", "linux")]
    assert [line.partition(",")[0] for line in lines] == [
        "node/linux at 16 connections",
        "node/linux at 1024 connections",
    ]
    assert "1024 connections, 8192 bytes, median of 2 paired rounds" in lines[1]


def test_names_of_a_comparison_are_no_markup() -> None:
    assert any("requests [all]" in line for line in printed(capture._comparison_table(COMPARISON, 80), 80))
