"""What ``netlab bench runtime`` runs on back-ends: an Ebb that answers, and that measures round trips to another one.

A module of its own, since a node that boots imports it: what it imports is part of the boot that is measured.
"""

import os
import statistics
import time
from functools import partial

from ebbrt.ebb_ids import named_id
from ebbrt.future import Future
from ebbrt.iobuf import IOBuf
from ebbrt.messages import MessageHandler, NodeId, pack, unpack
from ebbrt.runtime import Runtime

PINGER = named_id("netlab.bench.pinger")
PAYLOAD = 32  # bytes, each way
WARM_UP = 200  # round trips that are not counted
TIMEOUT = 60_000_000_000  # ns


class Pinger(MessageHandler):
    """The Ebb on the back-ends: answers what it is sent, and measures round trips to another one."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def receive_call(self, sender: NodeId, data: IOBuf) -> "IOBuf | Future[IOBuf]":
        """See MessageHandler. PAYLOAD bytes are sent back; else a list says what to do."""
        if data.chain_length() == PAYLOAD:
            return data
        question = unpack(data)
        if question[0] == "pin":
            os.sched_setaffinity(0, {question[1]})
            return pack(self._runtime.allocator, None)
        median = self._runtime.events.run_coroutine(ping(self._runtime, NodeId(*question[1]), question[2]))
        return median.then(partial(pack, self._runtime.allocator))


async def ping(runtime: Runtime, node: NodeId, trips: int) -> float:
    """The median round trip to the Pinger of ``node``, in ns."""
    times = []
    payload = bytes(PAYLOAD - 2)  # packed, it is two bytes longer
    for _ in range(trips):
        start = time.perf_counter_ns()
        await runtime.messenger.call(node, PINGER, pack(runtime.allocator, payload), TIMEOUT)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times[WARM_UP:])


def back_end(runtime: Runtime) -> None:
    """What the nodes run."""
    runtime.core.register(PINGER, lambda core, ebb_id: Pinger(runtime))
