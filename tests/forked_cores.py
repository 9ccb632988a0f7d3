"""Cores in processes of their own, forked from this one, as a node's are."""

import gc
import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import Any

from ebbrt.clock import MonotonicClock
from ebbrt.core_links import CoreLinksPlan, RingCoreLinks
from ebbrt.events.event_manager import EventManager
from ebbrt.memory import MemoryAllocator, NodeMemory

SHARE = 16 << 20
LIMIT = 30  # seconds, after which a core is ended

Main = Callable[[RingCoreLinks, EventManager, MemoryAllocator], Any]


def run_cores(count: int, main: Main) -> list[Any]:
    """What ``main(links, events, allocator)`` returned on each core. Raises when one failed or took too long."""
    start = (CoreLinksPlan.size(count) + 4095) // 4096 * 4096
    memory = NodeMemory(start + count * SHARE)
    plan = CoreLinksPlan(memory, 0, count)
    children = []
    gc.freeze()  # or a child would free garbage of ours whose memory it shares with us, a second time
    for number in range(count):
        result, out = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(result)
            _child(plan, number, main, out)
        os.close(out)
        children.append((pid, result))
    gc.unfreeze()
    plan.close()
    results = []
    for pid, result in children:
        with open(result, "rb") as pipe:
            data = pipe.read()
        os.waitpid(pid, 0)
        results.append(pickle.loads(data) if data else (None, "killed: it did not end in time"))
    for number, (_, problem) in enumerate(results):
        assert not problem, f"core {number}: {problem}"
    return [value for value, _ in results]


def _child(plan: CoreLinksPlan, number: int, main: Main, out: int) -> None:
    signal.alarm(LIMIT)
    value, problem = None, ""
    try:
        events = EventManager(MonotonicClock())
        first = plan.end + 4095 + number * SHARE
        allocator = MemoryAllocator(plan.memory, first, first + SHARE - 4096)
        value = main(plan.links(number, events, allocator), events, allocator)
    except BaseException:
        problem = traceback.format_exc()
    os.write(out, pickle.dumps((value, problem)))
    os._exit(0)
