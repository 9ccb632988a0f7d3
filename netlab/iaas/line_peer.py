"""Connections of the daemon, which take and give lines (``ebbrt.lines``).

An answer nobody reads is not kept for ever. Whoever breaks the protocol is told why, if it still listens, cut off, and
counted by its reason.
"""

import asyncio
from typing import Any, cast

from ebbrt.lines import LineError, LineReader, encode

MOST_UNREAD = 1 << 20  # bytes of answers that wait for a peer to read them


class LinePeer(asyncio.Protocol):
    """One connection of the daemon; a subclass says what a line, and the end, mean."""

    def __init__(self) -> None:
        self._reader = LineReader()
        self._transport: asyncio.Transport | None = None

    def received(self, document: dict[str, Any]) -> None:
        """Take a line. Raises LineError."""
        raise NotImplementedError

    def ended(self, reason: str) -> None:
        """The connection is gone; ``reason`` says what the peer did wrong, "" when nothing. Called once."""
        raise NotImplementedError

    def send(self, document: dict[str, Any]) -> None:
        """Send a line, unless the connection is gone."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(encode(document))
        if transport.get_write_buffer_size() > MOST_UNREAD:
            self.cut_off("it does not read what it is sent")

    def cut_off(self, reason: str) -> None:
        """End the connection at once: what was sent and not read is lost."""
        transport = self._transport
        if transport is not None:
            self.close()
            self.ended(reason)

    def hang_up(self, reason: str) -> None:
        """Tell the peer why, as well as can be without waiting, and end the connection."""
        transport = self._transport
        if transport is not None and transport.get_write_buffer_size() == 0:
            transport.write(encode({"error": "refused", "message": reason}))
        self.cut_off(reason)

    def close(self) -> None:
        """End the connection without a word to `ended`."""
        transport = self._transport
        self._transport = None
        if transport is not None:
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        try:
            for document in self._reader.feed(data):
                if self._transport is not None:  # it may be cut off on the way
                    self.received(document)
        except LineError as error:
            self.hang_up(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        """The peer is gone."""
        if self._transport is not None:
            self._transport = None
            self.ended("")
