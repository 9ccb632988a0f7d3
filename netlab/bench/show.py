"""A session's outcome as a person reads it."""

from collections import defaultdict
from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from netlab.bench.environment import Environment
from netlab.bench.figures import Figure
from netlab.bench.matrix import Result
from netlab.bench.results import Ratio, Summary
from netlab.tables import Column, fitted

_BULK = 100_000  # bytes from which on a transfer's rate says something


def medians_table(summaries: Sequence[Summary], width: int) -> Table:
    """A line per target and point: the median, and from least to greatest."""
    columns = [
        Column("target", "left"),
        Column("conns"),
        Column("bytes", rank=2),
        Column("rounds", rank=5),
        Column("req/s"),
        Column("core us/req", rank=3),
        Column("client", rank=4),
        Column("errors", rank=1),
    ]
    rows = [
        (
            row.target,
            str(row.concurrency),
            str(row.payload),
            str(row.rounds),
            f"{row.requests_per_s:,.0f}\n[dim]{row.requests_per_s_min / 1000:.1f}k-"
            f"{row.requests_per_s_max / 1000:.1f}k[/dim]",
            f"{row.server_core_us_per_request:.2f}\n[dim]{row.server_core_us_per_request_min:.1f}-"
            f"{row.server_core_us_per_request_max:.1f}[/dim]",
            f"{row.client_core_busy:.0%}",
            f"[red]{row.errors}[/red]" if row.errors else "0",
        )
        for row in summaries
    ]
    return fitted(columns, rows, width, "medians, and least to greatest")


def figures_table(figures: Sequence[Figure], width: int) -> Table:
    """A line per figure: the median, from least to greatest, what it is compared with, its target."""
    columns = [
        Column("what", "left", wrap=31 if width >= 80 else 20),
        Column("median"),
        Column("against", "left", rank=3, wrap=12),
        Column("ratio", rank=2),
        Column("target", rank=1),
    ]
    return fitted(columns, [_figure_row(each) for each in figures], width, "medians, and least to greatest")


def _figure_row(each: Figure) -> tuple[str, ...]:
    digits = 2 if each.greatest < 20 else 0  # of Gb/s, and not of nanoseconds
    spread = f"\n[dim]{each.least:,.{digits}f}-{each.greatest:,.{digits}f}[/dim]"
    spread = "" if each.least == each.greatest else spread
    target = (
        ""
        if each.target is None
        else f"{'≥ ' if each.at_least else ''}{each.target:g}{'' if each.ratio is not None else ' ' + each.unit}"
    )
    return (
        each.name,
        f"{each.median:,.1f} {each.unit}{spread}",
        "" if each.baseline is None else f"{each.against}\n{each.baseline:,.1f}",
        "" if each.ratio is None else f"{each.ratio:.2f}",
        f"{target}\n[red]missed[/red]" if each.is_met is False else target,
    )


def ratio_table(ratios: Sequence[Ratio], summaries: Sequence[Summary], width: int) -> Table:
    """A line per point: what each target did, and one over the other."""
    columns = [
        Column("experiment", "left", rank=4),
        Column("conns"),
        Column("bytes"),
        Column("node req/s", rank=2),
        Column("Linux req/s", rank=3),
        Column("ratio"),
        Column("core us/req", rank=1),
        Column("ratio"),
    ]
    found = {(each.experiment, each.concurrency, each.payload, each.target): each for each in summaries}
    rows = []
    for ratio in ratios:
        point = ratio.experiment, ratio.concurrency, ratio.payload
        one, other = found[*point, ratio.target], found[*point, ratio.baseline]
        rows.append(
            (
                ratio.experiment,
                str(ratio.concurrency),
                str(ratio.payload),
                f"{one.requests_per_s:,.0f}",
                f"{other.requests_per_s:,.0f}",
                f"{ratio.requests_per_s:.2f}",
                f"{one.server_core_us_per_request:.1f} / {other.server_core_us_per_request:.1f}",
                f"{ratio.server_core_us_per_request:.2f}",
            )
        )
    return fitted(columns, rows, width, "node over Linux, medians of paired rounds")


def ratio_line(ratio: Ratio) -> str:
    """One ratio in words."""
    return (
        f"{ratio.target}/{ratio.baseline} at {ratio.concurrency} connections, {ratio.payload} bytes, "
        f"median of {ratio.pairs} paired rounds: "
        f"{ratio.requests_per_s:.2f} of its requests/s, "
        f"{ratio.server_core_us_per_request:.2f} of its server-core time per request"
    )


def environment_line(environment: Environment) -> str:
    """Where a number was measured, in one line."""
    return (
        f"{environment.cpu_model}, {environment.cpus} CPUs, Linux {environment.kernel}, "
        f"hosts with {environment.hosts_congestion_control}; "
        f"commit {environment.commit or 'unknown'}{' with changes' if environment.dirty else ''}, "
        f"{environment.build}, {environment.cpu_mode} mode, server on CPU {environment.server_cpu}, "
        f"client on CPU {environment.client_cpu}, {environment.cores_busy:.2f} cores busy before"
    )


def matrix_table(results: Sequence[Result], width: int) -> Table:
    """A line per link, pair of ends and operation, a column per size: its time, or what went wrong."""
    sizes = list(dict.fromkeys(result.case.bytes for result in results))
    columns = [Column("link", "left"), Column("client-server", "left")]
    columns += [Column(f"{size:,} B", rank=len(sizes) - number, wrap=24) for number, size in enumerate(sizes)]
    lines: dict[tuple[str, str], dict[int, Result]] = defaultdict(dict)
    for result in results:
        lines[result.case.link, f"{result.case.pair} {result.case.operation}"][result.case.bytes] = result
    rows: list[tuple[str, ...]] = []
    last = ""
    for (link, ends), by_size in lines.items():
        if last not in ("", link):
            rows.append(())
        rows.append((link if link != last else "", ends, *(_cell(by_size.get(size)) for size in sizes)))
        last = link
    return fitted(columns, rows, width, "times of transfers whose ends have the same digest")


def _cell(result: Result | None) -> str:
    if result is None:
        return ""
    if result.failure:
        return f"[red]{escape(result.failure)}[/red]"
    rate = f" [dim]{result.megabits_per_s:,.0f} Mb/s[/dim]" if result.case.bytes >= _BULK else ""
    return f"{result.seconds:.3f} s{rate}"
