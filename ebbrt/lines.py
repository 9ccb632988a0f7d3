"""JSON objects, one a line: how front-ends, the daemon that gives them nodes, and dormant nodes talk.

Only bytes in and documents out: the sockets are the callers'. Nobody is trusted: a line is bounded and must be a JSON
object.
"""

import json
from typing import Any

LONGEST_LINE = 1 << 16  # bytes


class LineError(ValueError):
    """What a peer sent, or how it behaves, breaks the protocol; said in one of a few texts, which are counted."""


def encode(document: dict[str, Any]) -> bytes:
    """The document as a line."""
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The document of a line. Raises LineError."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LineError("a line is not JSON") from error
    if not isinstance(document, dict):
        raise LineError("a line is not a JSON object")
    return document


class LineReader:
    """Puts lines together from what a stream brings."""

    def __init__(self) -> None:
        self._partial = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The documents that ``data`` completes. Raises LineError."""
        lines = (self._partial + data).split(b"\n")
        self._partial = lines.pop()
        if max(map(len, [self._partial, *lines])) > LONGEST_LINE:
            raise LineError(f"a line is longer than {LONGEST_LINE} bytes")
        return [decode(line) for line in lines]
