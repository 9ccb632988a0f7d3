"""Nodes as others build on them: without an application, with another Event Manager, and refused ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netlab.lab import Lab
from tests.live.node_lab import node_command

pytestmark = pytest.mark.live

WITHOUT_APPLICATION = """
import os, sys
from ipaddress import IPv4Interface
from ebbrt import ebb
from ebbrt.configuration import Configuration
from ebbrt.events.event_manager import EventManager
from ebbrt.network import TcpHandler
from netlab.node import Node, NodeConfig

class Counting(EventManager):
    deferred = 0
    def defer(self, function):
        Counting.deferred += 1
        EventManager.defer(self, function)

class Echo(TcpHandler):
    def receive(self, data):
        self.connection.send(data)

    def peer_closed(self):
        self.connection.close()

def count_here():
    return type(ebb.current_core().representative(ebb.EVENT_MANAGER)).__name__, os.getpid()

config = NodeConfig(
    application=None, tap=sys.argv[1], address=IPv4Interface(sys.argv[2]), memory=16 << 20, cores=int(sys.argv[3]),
    configuration=Configuration({"event_manager": "__main__:Counting"}),
)
node = Node.boot(config)
assert type(node.events) is Counting and node.address == node.network.local_address()
assert node.memory is node.allocator.memory and node.clock.now() > 0
node.network.listen(7, lambda connection: Echo())
names = []
def told(future):
    names.append(future.result()[0])
    if len(names) == node.links.count:
        print(*names, Counting.deferred > 0 or node.links.count == 1, flush=True)
def ready():
    for core in range(node.links.count):
        node.links.call(core, count_here).when_done(told)
try:
    node.run(ready)
finally:
    node.close()
"""

ECHO = """
import socket, sys
for _ in range(8):
    with socket.create_connection((sys.argv[1], 7), timeout=5) as connection:
        connection.sendall(b"there and back")
        assert connection.recv(100) == b"there and back"
"""


@pytest.mark.parametrize("cores", [1, 2])
def test_a_node_without_application_takes_one_later_and_any_event_manager(cores: int) -> None:
    with Lab.create() as lab:
        tap = lab.taps["node"]
        process = lab.node_popen(
            "node",
            [sys.executable, "-c", WITHOUT_APPLICATION,
             tap.name, f"{tap.address}/{tap.prefix_length}", str(cores)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["Counting"] * cores + ["True"]
        lab.hosts["client"].run([sys.executable, "-c", ECHO, tap.address], timeout=20, check=True)
        process.terminate()
        assert process.wait(timeout=10) == 0
        process.stdout.close()


@pytest.mark.parametrize(
    ("options", "reason", "status"),
    [
        (["--ring-size", "3"], "power of two", 2),
        (["--ring-size", "3", "--cores", "2"], "power of two", 2),
        (["--cores", "2", "--plain-tap"], "one core only", 2),
        (["--cores", "2", "--memory", "24576", "--cpus", "9999"], "may not run on CPU 9999", 2),
        (["--cpus", "a,b"], "Write it as 0,1", 2),
        (["--cores", "64", "--memory", "24576"], "up to 32 GiB", 1),
    ],
)
def test_what_cannot_be_booted_is_said_and_nothing_is_left(options: list[str], reason: str, status: int) -> None:
    with Lab.create() as lab:
        process = lab.node_popen("node", node_command(lab.taps["node"], *options), stderr=subprocess.PIPE, text=True)
        _, said = process.communicate(timeout=10)
        assert process.returncode == status
        assert reason in said
        assert "Traceback" not in said
