"""Draws the committed table of goodput, beside the published response functions.

python -m tests.sim.plot_goodput docs/images/goodput.png
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from tests.sim.goodput import BUFFERS, LOSSES, RTTS, VARIANTS, Cell, cells, cubic, lines, mathis

STYLES = {"reno": "#d95f02", "cubic": "#1b6ca8"}


def draw(path: Path) -> None:
    """One panel for each round trip: goodput against loss, with a queue of one bandwidth-delay product."""
    table = {cell: [float(figure) for figure in line.split()[4:]] for cell, line in zip(cells(), lines(), strict=True)}
    losses = [loss for loss in LOSSES if loss]
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    panels = figure.subplots(1, len(RTTS), sharey=True)
    for panel, rtt in zip(panels, RTTS, strict=True):
        measured = [table[Cell(rtt, loss, BUFFERS[1])] for loss in losses]
        for number, (controller, sack) in enumerate(VARIANTS):
            panel.plot(
                [100 * loss for loss in losses],
                [figures[number] for figures in measured],
                color=STYLES[controller],
                linestyle="-" if sack else "--",
                marker="o" if sack else "s",
                markerfacecolor=STYLES[controller] if sack else "white",
                label=f"{controller}, SACK" if sack else controller,
            )
        for name, published in (("reno", mathis), ("cubic", cubic)):
            rates = [min(10.0, published(Cell(rtt, loss, 1.0))) for loss in losses]
            panel.plot(
                [100 * loss for loss in losses], rates, color=STYLES[name], linestyle=":", label=f"{name}, published"
            )
        panel.set(title=f"round trip {rtt} ms", xscale="log", yscale="log", xlabel="loss, %")
        panel.set_xticks([100 * loss for loss in losses], [f"{100 * loss:g}" for loss in losses])
        panel.set_yticks([0.3, 1, 3, 10], ["0.3", "1", "3", "10"])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("goodput, Mbit/s")
    panels[-1].legend(fontsize="small", frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
