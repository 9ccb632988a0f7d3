"""The front-end of the kill test: nodes, traffic on all of them, and in the end what became of every future.

    python -m tests.live.kills_front_end --seed 4 --files DIRECTORY --zookeeper 127.0.0.1:2181

It prints "going" once the traffic flows, waits for the end of its input (which may be "ZooKeeper runs", so that there
is a last change to be seen by all), and prints one line of JSON: what
``Ledger.report`` says of the front-end ("0") and of each core of each node that answered; the nodes that did not
answer although they are not lost; what was never done; what is left of the nodes.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from ebbrt.command_line import CommandLine
from ebbrt.ebb import event_manager, file_system, global_id_map, messenger, node_allocator
from ebbrt.events.handlers import InterruptHandler
from ebbrt.front_end import run
from ebbrt.future import Promise, when_all
from ebbrt.iobuf import IOBuf
from ebbrt.messages import MessengerError, NodeId, NodeLostError, pack, unpack
from ebbrt.node_allocator import AllocatedNode
from ebbrt.runtime import Runtime
from tests.live.kills_traffic import (
    BACK_END,
    LANE_LIMIT,
    LAST,
    LAST_ID,
    MILLISECOND,
    REPORT_LIMIT,
    SECOND,
    WORKER,
    Traffic,
    Worker,
    here,
    pause,
)

CORES = (1, 2, 1)  # of the nodes that there are from the beginning
BOOT_LIMIT = 20 * SECOND
FREE_LIMIT = 5 * SECOND
DEAD_KEPT = 2  # nodes that are no more, and are still called


class Input(InterruptHandler):
    """Keeps its promise, with what standard input has, when that ends."""

    def __init__(self) -> None:
        self.promise: Promise[bytes] = Promise()
        self._read = b""
        event_manager.watch(sys.stdin.fileno(), self)

    def interrupt(self) -> None:
        """There is input, or its end."""
        data = os.read(sys.stdin.fileno(), 100)
        self._read += data
        if not data:
            event_manager.unwatch(sys.stdin.fileno())
            self.promise.set_value(self._read)


class FrontEnd:
    """What the front-end does, from the first node to the last."""

    def __init__(self, runtime: Runtime) -> None:
        self._command_line = runtime.command_line
        self.traffic = Traffic(f"{self._command_line.value('seed')}.0.0")
        self.reports: dict[str, Any] = {}
        self.silent: list[int] = []
        self.left: dict[str, int] = {}
        self._peers: list[NodeId] = []
        self._running = True
        runtime.core.register(WORKER, lambda core, ebb_id: Worker())

    async def main(self) -> None:
        """Nodes, traffic, reports."""
        started = [node_allocator.allocate(1, BACK_END, cores=cores, timeout=BOOT_LIMIT)[0] for cores in CORES]
        for node in await when_all(started):
            self.traffic.ledger.keep("lost", None, lambda node=node: node.lost)
        self.traffic.start()
        self.traffic.start_allocating()
        self.traffic.start_flooding()
        introducing = event_manager.run_coroutine(self._introduce())
        print("going", flush=True)
        zookeeper_runs = await Input().promise.future == b"ZooKeeper runs"
        self._running = False
        await introducing
        last_was_set = zookeeper_runs and await self._set_last()
        self.traffic.stop()
        nodes = node_allocator.nodes()
        await when_all([event_manager.run_coroutine(self._ask_for_report(node, last_was_set)) for node in nodes])
        await self.traffic.settled(last_was_set)
        await when_all([event_manager.run_coroutine(self._free(node)) for node in node_allocator.nodes()])
        await self._nothing_left()

    async def _nothing_left(self) -> None:
        """Wait until all is gone that there was of nodes; some may have been booting for others that died."""
        late = event_manager.clock.now() + LANE_LIMIT
        self.left = self._left()
        while any(self.left.values()) and event_manager.clock.now() < late:
            await pause(50 * MILLISECOND)
            for node in node_allocator.nodes():
                await self._free(node)
            self.left = self._left()

    async def _free(self, node: AllocatedNode) -> None:
        await self.traffic.ledger.keep("free", FREE_LIMIT, lambda: node_allocator.free(node, FREE_LIMIT))

    def _left(self) -> dict[str, int]:
        """What there is of nodes that are no more; it should be nothing."""
        sent = messenger.statistics()
        return {
            "nodes": len(node_allocator.nodes()),
            "open files": file_system.statistics()["server"]["open"],
            "peers": sent["peers"],
            "pending calls": sent["pending_calls"],
            "queued bytes": sent["queued_bytes"],
        }

    async def _set_last(self) -> bool:
        """Make the last change of all, so that every watch has something to see."""
        limit = 5 * SECOND
        answer = await self.traffic.ledger.keep("map set", limit, lambda: global_id_map.set(LAST_ID, LAST, limit))
        return answer is None

    async def _introduce(self) -> None:
        """Tell everybody, again and again, who there is, some of the dead among them."""
        while self._running:
            there = [node.id for node in node_allocator.nodes()]
            dead = [peer for peer in self._peers if peer not in there]
            self._peers = dead[-DEAD_KEPT:] + there
            self.traffic.peers = self._peers
            for peer in there:
                self._tell(peer)
            await pause(100 * MILLISECOND)

    def _tell(self, peer: NodeId) -> None:
        peers = [list(other) for other in [messenger.local(), *self._peers] if other != peer]
        with contextlib.suppress(MessengerError, MemoryError):  # it is lost, or will hear it the next time
            messenger.send(peer, WORKER, pack(here(), ["peers", peers]))

    async def _ask_for_report(self, node: AllocatedNode, last_was_set: bool) -> None:
        answer = await self.traffic.ledger.keep(
            "report",
            REPORT_LIMIT,
            lambda: messenger.call(node.id, WORKER, pack(here(), ["report", last_was_set]), REPORT_LIMIT),
        )
        if isinstance(answer, IOBuf):
            for core, report in enumerate(unpack(answer)):
                self.reports[f"{node.id.number}.{core}"] = report
        elif not isinstance(answer, NodeLostError):
            self.silent.append(node.id.number)


_front_ends: list[FrontEnd] = []


async def main(runtime: Runtime) -> None:
    """What runs as the front-end."""
    front_end = FrontEnd(runtime)
    _front_ends.append(front_end)
    await front_end.main()


def summary() -> dict[str, Any]:
    """What became of everything, after the front-end has closed."""
    (front_end,) = _front_ends
    ledger = front_end.traffic.ledger
    return {
        "reports": {"0": ledger.report(), **front_end.reports},
        "silent": front_end.silent,
        "never_done": ledger.never_done(),
        "left": front_end.left,
    }


if __name__ == "__main__":
    command_line = CommandLine(tuple(sys.argv))
    run(main, files=Path(command_line.value("files") or "."), id_map=command_line.value("zookeeper"))
    print(json.dumps(summary()), flush=True)
