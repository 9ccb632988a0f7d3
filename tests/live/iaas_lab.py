"""A lab with an IaaS daemon, and the test as its user, for the live tests."""

import contextlib
import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from ebbrt import ebb
from ebbrt.clock import MonotonicClock
from ebbrt.events.event_manager import EventManager
from ebbrt.future import Future
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator, NodeMemory
from ebbrt.messages import FRONT_END, MessageHandler, NodeId, pack
from ebbrt.messenger.tcp_messenger import TcpMessenger
from ebbrt.node_provider import Boot, IaasProvider, ProviderListener
from ebbrt.sockets.socket_network import SocketNetworkManager
from netlab import namespaces
from netlab.iaas import launch
from netlab.lab import Lab

SECOND = 1_000_000_000
APPLICATIONS = "tests.live.iaas_applications"


class User(ProviderListener, MessageHandler):
    """A program that has nodes. Its Messenger listens on the lab's client, so that nodes can say hello to it."""

    def __init__(self, lab: Lab) -> None:
        clock = MonotonicClock()
        self.events = EventManager(clock)
        self.memory = MemoryAllocator(NodeMemory(16 << 20))
        self.secret = secrets.token_bytes(32)
        client = lab.hosts["client"]
        self.front_end = NodeId(FRONT_END, client.address, 9100)
        network = SocketNetworkManager(self.events, self.memory, client.address)
        core = ebb.Core()
        core.install(ebb.NODE_ALLOCATOR, self)
        self.network = network
        self.messenger = namespaces.run_in(  # where a listening socket is made, there it is
            client.namespace,
            lambda: TcpMessenger(
                network, self.events, self.memory, core, self.front_end, self.secret, clock, random.SystemRandom()
            ),
        )
        self.provider = IaasProvider(self.events, str(lab.record.iaas_socket))
        self.provider.listener = self
        self.lost: dict[int, str] = {}
        self.gone = ""
        self._number = 0

    def receive_call(self, sender: NodeId, data: IOBuf) -> IOBuf:
        """Hello."""
        return pack(self.memory, [None])

    def node_lost(self, number: int, reason: str) -> None:
        self.lost[number] = reason

    def provider_lost(self, reason: str) -> None:
        self.gone = reason

    def boot(self, application: str = "idle", timeout: int = 10 * SECOND, **shape: Any) -> Future[NodeId]:
        self._number += 1
        boot = Boot(
            self._number,
            application if ":" in application else f"{APPLICATIONS}:{application}",
            (),
            os.getcwd(),
            self.secret,
            self.front_end,
            **shape,
        )
        return self.provider.boot(boot, timeout)

    def wait(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        """Turn the loop until the condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come about in time"
            timer = self.events.set_timer(SECOND // 20, lambda: None)
            self.events.turn()
            timer.stop()

    def wait_for(self, *futures: Future[Any]) -> None:
        self.wait(lambda: all(future.done() for future in futures))

    def close(self) -> None:
        self.provider.close()
        self.messenger.close()
        self.network.close()
        self.events.close()


class Iaas:
    """A lab with a daemon."""

    def __init__(self, lab: Lab, daemon: "subprocess.Popen[bytes]") -> None:
        self.lab = lab
        self.daemon = daemon

    @contextlib.contextmanager
    def user(self) -> Iterator[User]:
        user = User(self.lab)
        try:
            yield user
        finally:
            user.close()

    def run_front_end(self, argv: list[str], timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a Python program on the lab's client, as ``netlab run`` would."""
        client = self.lab.hosts["client"]
        return client.run(  # type: ignore[no-any-return]
            [sys.executable, *argv],
            timeout=timeout,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd(), **launch.environment_of(self.lab, client)},
        )

    def listed(self) -> dict[str, Any]:
        return launch.ask_for_list(self.lab.record)

    def machines(self) -> list[dict[str, Any]]:
        return self.listed()["machines"]  # type: ignore[no-any-return]

    def pid_of(self, number: int) -> int:
        return next(machine["pid"] for machine in self.machines() if machine["number"] == number)

    def taps(self) -> list[str]:
        shown = self.lab.switch.run(["ip", "-br", "link"], capture_output=True, text=True).stdout
        return [line.split()[0] for line in shown.splitlines() if line.startswith("iaas")]

    def processes(self) -> list[int]:
        return namespaces.processes_in([self.lab.switch.namespace])

    def settle(self, dormant: int, seconds: float = 10.0) -> None:
        """Wait until there is nothing but so many dormant machines."""
        deadline = time.monotonic() + seconds
        while (states := [machine["state"] for machine in self.machines()]) != ["dormant"] * dormant:
            assert time.monotonic() < deadline, f"machines are {states}"
            time.sleep(0.01)
        assert len(self.taps()) == dormant
        assert len(self.processes()) == dormant + 2  # the daemon and the zygote

    def nothing_left(self, seconds: float = 10.0) -> None:
        """Wait until no process and no TAP is left in the switch; the daemon has ended."""
        deadline = time.monotonic() + seconds
        while self.processes() or self.taps():
            assert time.monotonic() < deadline, f"{self.processes()} and {self.taps()} are left"
            time.sleep(0.01)


@contextlib.contextmanager
def running_iaas(**choices: Any) -> Iterator[Iaas]:
    """A lab with a daemon; both are gone afterwards. ``choices`` are fields of its DaemonConfig."""
    with Lab.create() as lab:
        daemon = launch.start(lab, launch.config_of(lab, **choices))
        try:
            yield Iaas(lab, daemon)
        finally:
            daemon.terminate()
            daemon.wait(timeout=15)
