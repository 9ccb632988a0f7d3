"""The interface between the cores of a node: spawn over there, call over there, hand over buffers.

A node's cores are processes that share node memory and nothing else. A function crosses by its name (it is pickled),
so it must be one that a module defines; its arguments are pickled too. Buffers cross without being copied: the other
core gets views of the same node memory, and what it drops goes back to the core it came from in batches.
"""

from collections.abc import Callable
from typing import Any

from ebbrt.future import Future
from ebbrt.iobuf import IOBuf


class CoreMessageHandler:
    """What takes the messages of one kind from other cores."""

    def receive(self, core: int, data: bytes, chain: IOBuf | None) -> None:
        """Take ``data``, and views of the buffers that came with it; called as an event."""
        raise NotImplementedError


class CoreLinks:
    """One core's links to all cores of its node."""

    number: int  # of this core
    count: int  # how many the node has

    def spawn(self, core: int, function: Callable[..., object], *arguments: Any) -> None:
        """Run ``function(*arguments)`` as an event on ``core``; on this core as a queued event.

        What one event spawns goes over together when it ends, in order. Raises CoreError for a core that does not
        exist and for a function or arguments that cannot cross.
        """
        raise NotImplementedError

    def call(self, core: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As ``spawn``, with a future of what the function returns (a future or coroutine is awaited there).

        An exception comes back as CoreError with its text.
        """
        raise NotImplementedError

    def register(self, kind: int, handler: CoreMessageHandler) -> None:
        """Let ``handler`` take the messages of ``kind`` (1 to 255), the same number on every core."""
        raise NotImplementedError

    def send(self, core: int, kind: int, data: bytes, chain: IOBuf | None = None) -> None:
        """Hand ``data`` (at most 4096 bytes) and views of ``chain`` to the handler of ``kind`` on another core.

        In order with everything else sent there. Nothing is lost: what finds no room waits on this side.
        """
        raise NotImplementedError


class CoreError(RuntimeError):
    """Something could not cross to another core, or failed there."""
