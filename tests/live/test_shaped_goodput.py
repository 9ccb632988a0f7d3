"""The simulation against the kernel: a transfer over a link of the same rate and queue has about the same goodput.

The kernel here shapes by a token bucket (``tbf``) and knows no delay or loss of its own, so rate and queue are what
can be held against it: whether a sender keeps a short queue filled, and mends what overflows.
"""

import json
import sys

import pytest

from netlab.lab import Lab
from netlab.sim import Simulation
from netlab.sim.traffic import Responder, fetch

pytestmark = pytest.mark.live

RATE = 20_000_000  # bits per second
LENGTH = 4_000_000
SPREAD = 0.1  # of the kernel's goodput


@pytest.fixture(scope="module")
def lab():
    with Lab.create() as lab:
        for host in lab.hosts.values():  # frames as long as on a wire: a bucket drops a segment of 64 KiB whole
            host.run(["ip", "link", "set", "dev", "eth0", "gso_max_segs", "1"], check=True)
        yield lab


def goodput_of_linux(lab: Lab, queue: int) -> float:
    server = lab.hosts["server"]
    lab.shape("server", RATE, queue)
    with server.popen([sys.executable, "-m", "apps.transfer.linux", "serve"], stdout=-1, text=True) as serving:
        assert serving.stdout is not None
        serving.stdout.readline()
        argv = [sys.executable, "-m", "apps.transfer.linux", "put", server.address, str(LENGTH)]
        said = lab.hosts["client"].run(argv, timeout=60, capture_output=True, text=True, check=True).stdout
        serving.terminate()
    return LENGTH * 8 / json.loads(said)["seconds"]


def goodput_of_the_simulation(queue: int) -> float:
    with Simulation(seed=1) as simulation:
        server = simulation.add_node("server", application=Responder)
        client = simulation.add_node("client", application=fetch(server.address, LENGTH))
        back = "delay=50us"
        simulation.link(server, client, f"rate={RATE}bit,limit_bytes={queue},delay=50us", back)
        assert simulation.run(lambda: client.application is not None and client.application.closed_with != "")
        assert client.application.received == LENGTH
        return LENGTH * 8 / simulation.now()


@pytest.mark.parametrize("queue", [20_000, 100_000])
def test_goodput_over_a_shaped_link_is_what_the_kernel_has(lab: Lab, queue: int):
    linux, simulated = goodput_of_linux(lab, queue), goodput_of_the_simulation(queue)
    assert simulated == pytest.approx(linux, rel=SPREAD), f"Linux {linux / 1e6:.1f}, simulated {simulated / 1e6:.1f}"
