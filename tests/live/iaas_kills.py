"""A front-end at work while nodes, the zygote or the daemon are killed: ``iaas_kills.py SEED VICTIM``.

Everything random comes from the seed. It ends with status 0 when every future was resolved or failed within its time
limit; it prints how many did which.
"""

import contextlib
import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

from ebbrt.future import Future
from ebbrt.lines import encode
from ebbrt.node_allocator import AllocatedNode
from ebbrt.node_provider import SOCKET_VARIABLE
from tests.live.iaas_front_end import SECOND, FrontEnd

LIMIT = 4 * SECOND
SLACK = 1.0  # seconds that a timer may be late on a busy machine
STEPS = 60


class Work:
    """What the front-end has asked for, and until when it must have been answered."""

    def __init__(self, seed: int, victim: str) -> None:
        self.chance = random.Random(seed)
        self.front_end = FrontEnd()
        self.victim = victim
        self.pending: list[tuple[float, str, Future[Any]]] = []
        self.nodes: list[AllocatedNode] = []
        self.outcomes: dict[str, int] = {}

    def ask(self, what: str, future: Future[Any]) -> None:
        self.pending.append((time.monotonic() + LIMIT / SECOND + SLACK, what, future))

    def step(self) -> None:
        choice = self.chance.random()
        if choice < 0.35:
            for future in self.front_end.allocator.allocate(2, "tests.live.iaas_applications:echo", timeout=LIMIT):
                self.ask("boot", future.then(self.nodes.append))
        elif choice < 0.8 and self.nodes:
            node = self.chance.choice(self.nodes)
            self.ask("call", self.front_end.echo(node.id, "?", LIMIT))
        elif self.nodes:
            node = self.nodes.pop(self.chance.randrange(len(self.nodes)))
            self.ask("free", self.front_end.allocator.free(node, LIMIT))

    def kill(self) -> None:
        """One of the daemon's machines, whatever its state; or what the command line says."""
        number = self.chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP])
        if self.victim == "node":
            pids = [machine["pid"] for machine in listed() if machine["pid"]]
            if pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.chance.choice(pids), number)
        else:
            daemon = daemon_pid()
            children = Path(f"/proc/{daemon}/task/{daemon}/children").read_text()
            os.kill(daemon if self.victim == "daemon" else int(children), signal.SIGKILL)

    def settle(self) -> None:
        """Take what is done; complain of what is late."""
        left = []
        for deadline, what, future in self.pending:
            if future.done():
                error = future.error()
                outcome = f"{what}: {'done' if error is None else type(error).__name__}"
                self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            elif time.monotonic() > deadline:
                raise AssertionError(f"a {what} was neither done nor failed in time")
            else:
                left.append((deadline, what, future))
        self.pending = left

    def run(self) -> None:
        when = sorted(self.chance.sample(range(STEPS), 6 if self.victim == "node" else 1))
        for number in range(STEPS):
            self.step()
            if number in when:
                self.kill()
            pause = time.monotonic() + self.chance.random() * 0.02
            self.front_end.wait(lambda until=pause: time.monotonic() > until)
            self.settle()
        for node in self.front_end.allocator.nodes():
            self.ask("free", self.front_end.allocator.free(node, LIMIT))
        while self.pending:
            self.front_end.turn()
            self.settle()


def listed() -> list[dict[str, Any]]:
    """The machines of the daemon."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(os.environ[SOCKET_VARIABLE])
        connection.sendall(encode({"id": 1, "do": "list"}))
        return json.loads(connection.makefile().readline())["machines"]  # type: ignore[no-any-return]


def daemon_pid() -> int:
    """Of the daemon: that is who listens."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(os.environ[SOCKET_VARIABLE])
        return int.from_bytes(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)


if __name__ == "__main__":
    work = Work(int(sys.argv[1]), sys.argv[2])
    work.run()
    print(json.dumps(work.outcomes))
