"""The paper's figures, redrawn from a run's ``results.csv``.

Figure 4 is throughput against concurrency, Figure 5 where a request's time goes in the node, Figure 6 throughput
against payload on links of 1 Gb/s. Numbering follows the paper. Every point is a median; the bar through it spans the
least and the greatest round.
"""

import contextlib
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path

with contextlib.chdir("/"):  # a matplotlibrc in the current folder is not meant for us
    import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from netlab.bench import memcaslap
from netlab.bench.results import LAYERS, ResultsError, Row, Summary, read_csv, read_document, summarize
from netlab.errors import NetlabError, UsageError

NAMES = {
    "node": "library-OS node (EbbRT in Python)",
    "linux": "memcached on Linux",
    "list": "node with lwIP's list of connections",
}
COLORS = {"node": "#1668b8", "linux": "#d1651c", "list": "#7b4aa6"}
MARKERS = {"node": "o", "linux": "s", "list": "v"}
LINE_STYLES = ("-", "--", ":", "-.")
OTHER_COLOR = "#5a5a5a"
LAYER_COLORS = {"device": "#08306b", "driver": "#2f79b5", "stack": "#8bbdd9", "application": "#f2a541"}
LAYER_NAMES = {
    "device": "device (TAP system calls)",
    "driver": "driver (virtio ring)",
    "stack": "stack (Ethernet, IP, TCP)",
    "application": "application (memcached)",
}
RESULTS = "results.csv"
KINDS = ("png", "svg", "pdf")

LINK_BITS_PER_SECOND = 1_000_000_000
SEGMENT_HEADERS = (
    14 + 20 + 32
)  # Ethernet as tbf counts it (no preamble, check sequence or gap), IPv4, TCP + timestamps
SEGMENT_PAYLOAD = 1500 - 20 - 32
_PROTOCOL_HEADER = 24
_GET_REPLY_EXTRAS = 4
_SET_EXTRAS = 8


class PlotError(UsageError):
    """Nothing to draw."""


def line_rate(payload: int) -> float:
    """The most requests per second that 1 Gb/s carries, for nine gets to one set of values of `payload` bytes.

    Each request and each reply is a burst of segments of its own, since a connection has one request in flight. The
    two directions are separate wires: the fuller one is the limit. Acknowledgements ride on replies.
    """
    get, put = memcaslap.GET_SHARE, 1 - memcaslap.GET_SHARE
    key = memcaslap.KEY_BYTES
    replies = get * _on_wire(_PROTOCOL_HEADER + _GET_REPLY_EXTRAS + payload) + put * _on_wire(_PROTOCOL_HEADER)
    requests = get * _on_wire(_PROTOCOL_HEADER + key) + put * _on_wire(_PROTOCOL_HEADER + _SET_EXTRAS + key + payload)
    return LINK_BITS_PER_SECOND / 8 / max(replies, requests)


def _on_wire(length: int) -> int:
    """Bytes on the wire for a message of `length` bytes."""
    return length + -(-length // SEGMENT_PAYLOAD) * SEGMENT_HEADERS


def concurrency_figure(rows: Sequence[Row]) -> Figure:
    """Figure 4: requests per second against concurrent connections, a line for each target and value size."""
    chosen = [row for row in rows if row.experiment == "concurrency"]
    figure, axes = _axes(_title("Throughput against concurrency", chosen, "links not shaped"))
    _curves(axes, chosen, "concurrency", "payload", _bytes_label)
    _log2_axis(axes, sorted({row.concurrency for row in chosen}), str)
    axes.set_xlabel("concurrent connections, one request in flight on each (log scale)")
    _finish(axes)
    return figure


def payload_figure(rows: Sequence[Row]) -> Figure:
    """Figure 6: requests per second against value size with 1 Gb/s links, and what such a link could carry.

    There is a line for each target and number of connections.
    """
    chosen = [row for row in rows if row.experiment == "payload"]
    connections = _listed(sorted({row.concurrency for row in chosen}), str)
    figure, axes = _axes(f"Throughput against payload\n{connections} connections, links of 1 Gb/s, {_mix()}")
    _curves(axes, chosen, "payload", "concurrency", lambda count: f"{count} connections")
    payloads = sorted({row.payload for row in chosen})
    top = 1.15 * max(row.requests_per_s for row in chosen)
    steps = [payloads[0] * (payloads[-1] / payloads[0]) ** (i / 200) for i in range(201)]
    axes.plot(
        steps,
        [line_rate(round(size)) for size in steps],
        color="#333333",
        linestyle="--",
        linewidth=1.3,
        label="line rate: what 1 Gb/s carries, headers included",
    )
    _log2_axis(axes, payloads, _bytes_label)
    axes.set_xlabel("value size (log scale)")
    _finish(axes)
    axes.set_ylim(0, top)
    return figure


def layers_figure(rows: Sequence[Row]) -> Figure:
    """Figure 5: the node's time per request, by layer, against concurrent connections."""
    chosen = [row for row in rows if row.experiment == "layers"]
    figure, axes = _axes(_title("Where a request's time goes in the node", chosen, "measured by the node itself"))
    bottoms = [0.0] * len(chosen)
    for layer in LAYERS:
        times = [getattr(row, f"{layer}_us") or 0.0 for row in chosen]
        axes.bar(
            range(len(chosen)), times, 0.62, bottoms, color=LAYER_COLORS[layer], label=LAYER_NAMES[layer], zorder=3
        )
        for i, (bottom, spent) in enumerate(zip(bottoms, times, strict=True)):
            if spent > 0.06 * max(_layer_sum(row) for row in chosen):
                color = "white" if layer in ("device", "driver") else "black"
                axes.text(i, bottom + spent / 2, f"{spent:.2f}", ha="center", va="center", color=color, fontsize=9)
        bottoms = [bottom + spent for bottom, spent in zip(bottoms, times, strict=True)]
    for i, total in enumerate(bottoms):
        axes.annotate(f"{total:.2f}", (i, total), (0, 4), textcoords="offset points", ha="center", weight="bold")
    axes.set_xticks(range(len(chosen)), [str(row.concurrency) for row in chosen])
    axes.set_xlabel("concurrent connections, one request in flight on each")
    axes.set_ylabel("time per request (\N{GREEK SMALL LETTER MU}s)")
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, 1.12 * max(bottoms))
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1], labels[::-1], frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5), reverse=False
    )
    return figure


FIGURES = {
    "figure4": ("concurrency", concurrency_figure),
    "figure5": ("layers", layers_figure),
    "figure6": ("payload", payload_figure),
}


def draw(rows: Sequence[Row], folder: Path, kind: str = "png") -> list[Path]:
    """Write each figure the rows have data for into `folder`; the files written, in the paper's order.

    kind: one of KINDS.
    """
    drawn = []
    for name, (experiment, make) in FIGURES.items():
        if any(row.experiment == experiment for row in rows):
            path = folder / f"{name}.{kind}"
            _save(make(rows), path)
            drawn.append(path)
    return drawn


def redraw(run: Path, kind: str = "png") -> list[Path]:
    """Draw the figures of the run in folder `run` again. Raises PlotError when its results hold no experiment.

    `run` may be the JSON of ``netlab bench memcached``: throughput against concurrency is then drawn beside it.
    kind: one of KINDS.
    """
    try:
        if run.is_file():
            rows = read_document(run, "concurrency")
            if not rows:
                raise PlotError(f"{run} has no measured rows")
            path = run.with_suffix(f".{kind}")
            _save(concurrency_figure(rows), path)
            return [path]
        rows = read_csv(run / RESULTS)
    except ResultsError as error:
        raise PlotError(str(error)) from error
    drawn = draw(rows, run, kind)
    if not drawn:
        raise PlotError(f"{run / RESULTS} has no rows of the experiments concurrency, layers or payload")
    return drawn


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise NetlabError(f"cannot write {path}: {error.strerror}") from error


def _axes(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8.4, 4.8), layout="constrained")
    axes = figure.add_subplot()
    heading, _, detail = title.partition("\n")
    axes.set_title(detail, loc="left", fontsize=9.5, color="#444444")
    figure.suptitle(heading, x=0.01, ha="left", fontsize=13, weight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#dddddd", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    return figure, axes


def _title(what: str, rows: Sequence[Row], links: str) -> str:
    sizes = _listed(sorted({row.payload for row in rows}), str)
    return f"{what}\nvalues of {sizes} bytes, {_mix()}, {links}"


def _listed(values: Sequence[int], label: Callable[[int], str]) -> str:
    """The values in a row, as "32, 64 and 128"."""
    *most, last = map(label, values)
    return f"{', '.join(most)} and {last}" if most else last


def _mix() -> str:
    return f"{memcaslap.GET_SHARE:.0%} GET and {1 - memcaslap.GET_SHARE:.0%} SET, one server core"


def _targets(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.target for row in rows))


def _curves(axes: Axes, rows: Sequence[Row], against: str, fixed: str, label: Callable[[int], str]) -> None:
    """A line for each target and each value of what is `fixed` along it, which only several of them are named by."""
    values = sorted({getattr(row, fixed) for row in rows})
    summaries = summarize(rows)
    for target in _targets(rows):
        for value, style in zip(values, cycle(LINE_STYLES)):
            points = [each for each in summaries if each.target == target and getattr(each, fixed) == value]
            name = NAMES.get(target, target) + (f", {label(value)}" if len(values) > 1 else "")
            _curve(axes, target, name, style, points, against)


def _curve(axes: Axes, target: str, name: str, style: str, points: Sequence[Summary], against: str) -> None:
    if not points:
        return
    points = sorted(points, key=lambda point: getattr(point, against))
    rates = [point.requests_per_s for point in points]
    below = [point.requests_per_s - point.requests_per_s_min for point in points]
    above = [point.requests_per_s_max - point.requests_per_s for point in points]
    axes.errorbar(
        [getattr(point, against) for point in points],
        rates,
        yerr=[below, above],
        label=name,
        linestyle=style,
        color=COLORS.get(target, OTHER_COLOR),
        marker=MARKERS.get(target, "^"),
        markersize=5,
        linewidth=1.8,
        elinewidth=1.1,
        capsize=3,
        zorder=3,
    )


def _log2_axis(axes: Axes, ticks: Sequence[int], label: FuncFormatter | type[str] | object) -> None:
    assert callable(label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [label(tick) for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def _bytes_label(size: int) -> str:
    return f"{size // 1024} KiB" if size >= 1024 else f"{size} B"


def _finish(axes: Axes) -> None:
    axes.set_ylabel("requests per second")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:.0f}k" if value else "0"))
    axes.legend(frameon=False, loc="best")


def _layer_sum(row: Row) -> float:
    return sum(getattr(row, f"{layer}_us") or 0.0 for layer in LAYERS)
