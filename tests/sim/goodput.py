"""The goodput of one connection over a simulated bottleneck: the table in ``goodput.txt``, and how to rewrite it.

    python -m tests.sim.goodput > tests/sim/goodput.txt

One sender, one receiver, a link of 10 Mbit/s between them with a drop-tail queue and independent loss of data, and
another for acknowledgments that only delays. A transfer of 5 MB is timed from the SYN to its last byte, slow start and
its end included. A change in congestion control or recovery shows as a difference of the table, and is committed with
it. ``test_goodput`` also holds loss-limited transfers, longer ones, against the published response functions.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ebbrt.tcp_settings import TcpSettings
from netlab.sim import Simulation
from netlab.sim.traffic import Responder, fetch

TABLE = Path(__file__).parent / "goodput.txt"
RATE = 10_000_000  # bit/s
MSS = 1448  # bytes of payload with timestamps
FRAME = 1514
RTTS = (20, 60, 200)  # ms
LOSSES = (0.0, 0.003, 0.01, 0.03)
BUFFERS = (0.25, 1.0, 4.0)  # of the product of bandwidth and delay
VARIANTS = (("reno", False), ("reno", True), ("cubic", False), ("cubic", True))
LENGTH = 5_000_000  # bytes
MOST_SECONDS = 1000.0  # of virtual time; a transfer that stalls counts with what has arrived
MEMORY = 64 << 20
WINDOW = 4 << 20  # bytes: neither end's buffer limits

HEADER = """\
# Goodput in Mbit/s of 5 MB over a link of 10 Mbit/s; tests/sim/goodput.py says how, and how to rewrite this.
# rtt: without queueing. loss: of data, independent. queue: in front of the link, of the bandwidth-delay product.
"""


class Cell(NamedTuple):
    """One row of the table."""

    rtt: int  # ms
    loss: float
    buffer: float

    def queue(self) -> int:
        """Packets that have room in it."""
        return max(2, round(RATE / 8 * self.rtt / 1000 * self.buffer / FRAME))


def cells() -> Iterator[Cell]:
    """Of the whole table, in its order."""
    for rtt in RTTS:
        for loss in LOSSES:
            for buffer in BUFFERS:
                yield Cell(rtt, loss, buffer)


def goodput(cell: Cell, controller: str, sack: bool, length: int = LENGTH, skip: int = 0) -> float:
    """Mbit/s of payload, of a transfer of ``length`` bytes, of which the first ``skip`` are not timed."""
    tcp = TcpSettings(congestion_control=controller, send_buffer=WINDOW, receive_buffer=WINDOW)
    with Simulation(seed=1) as simulation:
        sender = simulation.add_node("sender", application=Responder, tcp=tcp, sack=sack, memory=MEMORY)
        receiver = simulation.add_node(
            "receiver", application=fetch(sender.address, length), tcp=tcp, sack=sack, memory=MEMORY
        )
        one_way = f"delay={cell.rtt * 500}us"
        there = f"{one_way},rate={RATE}bit"
        simulation.link(sender, receiver, f"{there},limit={cell.queue()},loss={cell.loss:%}", one_way)
        began, before = 0.0, 0
        if skip:
            simulation.run(lambda: receiver.application and receiver.application.received >= skip, MOST_SECONDS)
            began, before = simulation.now(), receiver.application.received
        simulation.run(lambda: receiver.application and receiver.application.replies, MOST_SECONDS)
        return float((receiver.application.received - before) * 8 / (simulation.now() - began) / 1e6)


def row(cell: Cell) -> str:
    """Its line."""
    figures = "".join(f"{goodput(cell, *variant):>12.2f}" for variant in VARIANTS)
    return f"{cell.rtt:>4} ms {cell.loss:>6.1%} {cell.buffer:>6g}{figures}"


def table(rows: dict[Cell, str]) -> str:
    """The file."""
    names = "".join(f"{controller + '+sack' * sack:>12}" for controller, sack in VARIANTS)
    return HEADER + f"{'rtt':>7} {'loss':>6} {'queue':>6}{names}\n" + "".join(f"{rows[cell]}\n" for cell in cells())


def lines() -> list[str]:
    """The committed table, without what is above it."""
    return TABLE.read_text().splitlines()[3:]


def mathis(cell: Cell) -> float:
    """Mbit/s of Reno: Mathis and others, The Macroscopic Behavior of the TCP Congestion Avoidance Algorithm, 1997."""
    return MSS * 8 / (cell.rtt / 1000) * 1.22 / cell.loss**0.5 / 1e6


def cubic(cell: Cell) -> float:
    """Mbit/s of CUBIC: RFC 9438 section 5.1, with C 0.4 and beta 0.7; no less than Reno's, section 4.3."""
    window = 1.054 * (cell.rtt / 1000 / cell.loss) ** 0.75
    return max(MSS * 8 / (cell.rtt / 1000) * window / 1e6, mathis(cell))


if __name__ == "__main__":
    rows = {}
    for cell in cells():
        rows[cell] = row(cell)
        print(rows[cell], file=sys.stderr)
    print(table(rows), end="")
