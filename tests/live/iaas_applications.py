"""What the live tests of the IaaS run on its nodes."""

import os
import signal
import time
from typing import Any

from ebbrt import ebb
from ebbrt.future import Future, Promise
from ebbrt.iobuf import IOBuf
from ebbrt.memory import MemoryAllocator
from ebbrt.messages import MessageHandler, NodeId, pack, unpack

ECHO = 5000  # the id of an Ebb that answers calls with what it was given, and its node's number


class Echo(MessageHandler):
    """On every node."""

    def __init__(self, allocator: MemoryAllocator, number: int) -> None:
        self._allocator = allocator
        self._number = number

    def receive_call(self, sender: NodeId, data: IOBuf) -> IOBuf:
        return pack(self._allocator, [self._number, unpack(data)])


def idle(runtime: Any) -> None:
    """Serve nothing."""


def echo(runtime: Any) -> None:
    """Answer calls to the Ebb of that name."""
    core = ebb.current_core()
    core.install(ECHO, Echo(core.representative(ebb.MEMORY_ALLOCATOR), runtime.messenger.local().number))


def fail(runtime: Any) -> None:
    raise RuntimeError("this application never works")


async def fail_later(runtime: Any) -> None:
    """Fail while it sets itself up, having waited for something."""
    await after(runtime, 200_000_000)
    raise RuntimeError("this application worked for a while")


async def set_up(runtime: Any) -> None:
    """Be the Echo only after having waited twice."""
    for _ in range(2):
        await after(runtime, 100_000_000)
    echo(runtime)


def exit_later(runtime: Any) -> None:
    """End the process by an event, once the node is ready."""

    def leave() -> None:
        raise SystemExit

    runtime.events.set_timer(200_000_000, leave)


def after(runtime: Any, time: int) -> Future[None]:
    """Ready in ``time`` ns."""
    promise: Promise[None] = Promise()
    runtime.events.set_timer(time, lambda: promise.set_value(None))
    return promise.future


def die(runtime: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(runtime: Any) -> None:
    time.sleep(3600)


def allocate(runtime: Any) -> None:
    """Have a node of one's own, and tell its number to whoever asks."""
    core = ebb.current_core()
    memory = core.representative(ebb.MEMORY_ALLOCATOR)

    def ready(number: int) -> None:
        core.install(ECHO, Echo(memory, number))

    runtime.node_allocator.allocate(1, "tests.live.iaas_applications:idle")[0].then(lambda node: ready(node.id.number))
