"""One transfer of 10 MB over a link of 20 Mb/s and 60 ms round trip that loses one frame in a hundred.

netlab sim netlab/sim/examples/lossy_transfer.py --capture transfer.pcap
"""

from collections.abc import Callable
from typing import Any

from ebbrt.tcp_settings import TcpSettings
from netlab.sim import Simulation
from netlab.sim.traffic import Responder, fetch

LENGTH = 10_000_000
SECONDS = 300.0


def build(simulation: Simulation) -> Callable[[], bool]:
    """Ends when the connection has."""
    server = simulation.add_node("server", application=Responder, tcp=TcpSettings(congestion_control="cubic"))
    client = simulation.add_node("client", application=fetch(server.address, LENGTH))
    simulation.link(server, client, "rate=20mbit,delay=30ms,limit=100,loss=1%", "delay=30ms")
    return lambda: client.application is not None and client.application.closed_with != ""


def report(simulation: Simulation) -> dict[str, Any]:
    """How fast it was, and what was lost on the way."""
    client = simulation.nodes["client"].application
    data = simulation.wires[0].there.model.statistics()
    return {
        "goodput_mbit": round(client.received * 8 / simulation.now() / 1e6, 2),
        "frames": data["frames"],
        "lost": data["lost"],
        "dropped_by_the_queue": data["queue_drops"],
        "retransmitted": simulation.nodes["server"].statistics()["stack"]["tcp"]["segments"]["retransmitted"],
    }
