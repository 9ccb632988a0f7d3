"""Two hundred nodes behind four switches: half of them ask the others, for short replies and now and then a long one.

    netlab sim netlab/sim/examples/cluster.py --seconds 10

All together they send about 10,000 packets a second.
"""

import random
from typing import Any

from netlab.sim import Simulation
from netlab.sim.traffic import Requester, Responder, ask_at_random

NODES = 200
SWITCHES = 4
RATE = 27.5  # requests a second of each client
SECONDS = 5.0


def build(simulation: Simulation) -> None:
    """Clients have the odd numbers."""
    core = simulation.add_switch("core")
    switches = [simulation.add_switch(f"switch{number}") for number in range(SWITCHES)]
    for switch in switches:
        simulation.link(switch, core, "rate=1gbit,delay=100us")
    servers = [simulation.add_node(f"n{number}", application=Responder) for number in range(0, NODES, 2)]
    addresses = [server.address for server in servers]
    clients = [
        simulation.add_node(
            f"n{number}",
            application=ask_at_random(
                lambda chance: chance.choice(addresses), RATE, reply_length, f"{simulation.seed}/client{number}"
            ),
        )
        for number in range(1, NODES, 2)
    ]
    for index, node in enumerate(servers + clients):
        simulation.link(node, switches[index % SWITCHES], "rate=100mbit,delay=500us,limit=100")


def reply_length(chance: random.Random) -> int:
    """Bytes: mostly some hundred, one in twenty some ten thousand."""
    return chance.randrange(20_000, 40_000) if chance.random() < 0.05 else chance.randrange(100, 1000)


def report(simulation: Simulation) -> dict[str, Any]:
    """Replies, the slowest one, and packets that nodes sent a second."""
    clients = [node.application for node in simulation.nodes.values() if isinstance(node.application, Requester)]
    packets = sum(wire.there.model.statistics()["frames"] for wire in simulation.wires[SWITCHES:])
    return {
        "replies": sum(client.replies for client in clients),
        "bytes": sum(client.received for client in clients),
        "slowest_ms": max(client.longest for client in clients) / 1e6,
        "packets_per_second": round(packets / simulation.now()),
    }
