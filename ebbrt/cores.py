"""The interface between the cores of a node: spawn over there, call over there, hand over buffers.

A node's cores are processes that share node memory and nothing else. A function crosses by its name (it is pickled),
so it must be one that a module defines; its arguments are pickled too. Buffers cross without being copied: the other
core gets views of the same node memory, and what it drops goes back to the core it came from in batches.
``core_links`` is how it is done.
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

        What one event sends goes over together when it ends, and what one core sends to another arrives in order.
        Nothing is lost: what finds no room waits on this side. Raises CoreError for a core that does not exist, for a
        function or arguments that cannot cross or are too large (16 MiB), and when 64 MiB wait for a core already.
        """
        raise NotImplementedError

    def call(self, core: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """As ``spawn``, with a future of what the function returns (a future or coroutine is awaited there).

        An exception comes back as CoreError with its text; so does a result that cannot be pickled. A future that
        somebody waits for may not outlive the links: closing them fails it with CoreError.
        """
        raise NotImplementedError

    def register(self, kind: int, handler: CoreMessageHandler) -> None:
        """Let ``handler`` take the messages of ``kind`` (1 to 255), the same number on every core.

        Raises CoreError when the kind is taken. Messages of a kind nobody takes are counted, logged and dropped.
        """
        raise NotImplementedError

    def send(self, core: int, kind: int, data: bytes, chain: IOBuf | None = None) -> None:
        """Hand ``data`` (at most 4096 bytes) and views of ``chain`` to the handler of ``kind`` on another core.

        In order with everything else sent there. The views over there own no headroom. Until the last of them is
        dropped this side keeps the buffers, and nobody may write to them. Raises CoreError as ``spawn`` does, for
        this core itself, and for a chain of more than 65535 pieces.
        """
        raise NotImplementedError

    def statistics(self) -> dict[str, int]:
        """Messages and bytes, batches, how often there was no room, buffers lent and given back."""
        raise NotImplementedError

    def close(self) -> None:
        """Take part no more, when the node ends."""
        raise NotImplementedError


class CoreError(RuntimeError):
    """Something could not cross to another core, or failed there."""
