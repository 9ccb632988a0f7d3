"""The figures have the lines the data say, and are written as PNG."""

import json
from pathlib import Path

import pytest
from matplotlib.colors import to_hex

from netlab import plot
from netlab.bench.results import Row, to_csv

POINTS = (1, 64, 512)


def rows(experiment: str) -> list[Row]:
    made = []
    for number in (1, 2):
        for factor, target in ((2.0, "node"), (1.0, "linux")):
            for size in POINTS:
                concurrency, payload = (size, 32) if experiment == "concurrency" else (64, size)
                rate = factor * 1000 * size * number
                made.append(Row(experiment, target, concurrency, payload, number, rate, 5.0, 1.0, 0))
    return made


LAYERS = [Row("layers", "node", size, 32, 1, 1000.0, 5.0, 1.0, 0, 2.0, 0.5, 1.0, 0.25) for size in POINTS]


def curves(figure: plot.Figure) -> dict[str, tuple[list[float], list[float]]]:
    """What is drawn with error bars: label -> (x, y)."""
    (axes,) = figure.axes
    return {
        str(bars.get_label()): (list(bars.lines[0].get_xdata()), list(bars.lines[0].get_ydata()))
        for bars in axes.containers
    }


def test_concurrency_figure_has_a_line_of_medians_per_target() -> None:
    figure = plot.concurrency_figure(rows("concurrency"))
    drawn = curves(figure)
    assert drawn[plot.NAMES["node"]] == ([1, 64, 512], [3000.0, 192000.0, 1536000.0])
    assert drawn[plot.NAMES["linux"]] == ([1, 64, 512], [1500.0, 96000.0, 768000.0])
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "64", "512"]


def test_each_value_size_has_a_line_of_its_own() -> None:
    measured = [
        Row("concurrency", target, concurrency, payload, 1, rate * concurrency / payload, 5.0, 1.0, 0)
        for target, rate in (("node", 2000.0), ("linux", 1000.0))
        for concurrency in (1, 64)
        for payload in (32, 1024)
    ]
    figure = plot.concurrency_figure(measured)
    drawn = curves(figure)
    assert drawn[f"{plot.NAMES['node']}, 32 B"] == ([1, 64], [62.5, 4000.0])
    assert drawn[f"{plot.NAMES['node']}, 1 KiB"] == ([1, 64], [1.953125, 125.0])
    assert len(drawn) == 4
    assert figure.axes[0].get_title(loc="left").startswith("values of 32 and 1024 bytes")


def test_each_number_of_connections_has_a_line_of_its_own() -> None:
    measured = [
        Row("payload", "node", concurrency, payload, 1, float(concurrency), 5.0, 1.0, 0)
        for concurrency in (16, 64)
        for payload in (64, 8192)
    ]
    drawn = curves(plot.payload_figure(measured))
    assert drawn[f"{plot.NAMES['node']}, 16 connections"] == ([64, 8192], [16.0, 16.0])
    assert drawn[f"{plot.NAMES['node']}, 64 connections"] == ([64, 8192], [64.0, 64.0])


def test_error_bars_span_the_rounds() -> None:
    (axes,) = plot.concurrency_figure(rows("concurrency")).axes
    segments = axes.containers[0].lines[2][0].get_segments()
    assert [(segment[0][1], segment[1][1]) for segment in segments][1] == (128000.0, 256000.0)


def test_payload_figure_draws_the_line_rate() -> None:
    figure = plot.payload_figure(rows("payload"))
    (axes,) = figure.axes
    (line,) = [line for line in axes.get_lines() if "line rate" in str(line.get_label())]
    assert line.get_ydata()[-1] == plot.line_rate(512)
    assert len(curves(figure)) == 2


def test_line_rate_counts_headers_of_every_segment() -> None:
    # Replies of 8220 and 24 bytes in six segments and one: 0.9 * (8220 + 6 * 66) + 0.1 * (24 + 66) bytes a request.
    assert plot.line_rate(8192) == pytest.approx(125e6 / 7763.4)
    # Small values: what limits is the requests' direction, 88 or 160 bytes, with a header each.
    assert plot.line_rate(32) == pytest.approx(125e6 / (0.9 * (88 + 66) + 0.1 * (128 + 66)))
    assert plot.line_rate(1420) > 1.04 * plot.line_rate(1421)  # one byte more takes a segment more


def test_layers_are_stacked_in_order() -> None:
    (axes,) = plot.layers_figure(LAYERS).axes
    bars = [(bar.get_y(), bar.get_height(), to_hex(bar.get_facecolor())) for bar in axes.patches[:: len(POINTS)]]
    assert bars == [
        (0.0, 2.0, plot.LAYER_COLORS["device"]),
        (2.0, 0.5, plot.LAYER_COLORS["driver"]),
        (2.5, 1.0, plot.LAYER_COLORS["stack"]),
        (3.5, 0.25, plot.LAYER_COLORS["application"]),
    ]


def test_redraw_writes_png_of_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text(to_csv([*rows("concurrency"), *LAYERS]))
    drawn = plot.redraw(tmp_path)
    assert [path.name for path in drawn] == ["figure4.png", "figure5.png"]
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert path.stat().st_size > 10000


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_figures_in_other_formats(tmp_path: Path, kind: str, start: bytes) -> None:
    (tmp_path / "results.csv").write_text(to_csv(rows("concurrency")))
    (drawn,) = plot.redraw(tmp_path, kind)
    assert drawn == tmp_path / f"figure4.{kind}"
    assert drawn.read_bytes().startswith(start)


def test_redraw_without_experiments_says_so(tmp_path: Path) -> None:
    with pytest.raises(plot.PlotError, match=r"results\.csv"):
        plot.redraw(tmp_path)
    (tmp_path / "results.csv").write_text(to_csv([]))
    with pytest.raises(plot.PlotError, match="no rows of the experiments"):
        plot.redraw(tmp_path)


def test_a_benchs_document_is_drawn_beside_it(tmp_path: Path) -> None:
    document = tmp_path / "lookup.json"
    wanted = [name for name in Row.__dataclass_fields__ if not name.endswith("_us") and name != "experiment"]
    document.write_text(
        json.dumps({"rows": [{name: getattr(row, name) for name in wanted} for row in rows("concurrency")]})
    )
    assert plot.redraw(document) == [tmp_path / "lookup.png"]
    assert (tmp_path / "lookup.png").read_bytes().startswith(b"\x89PNG")
    document.write_text("[]")
    with pytest.raises(plot.PlotError, match="netlab bench memcached"):
        plot.redraw(document)
