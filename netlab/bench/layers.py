"""Where a node's time goes, by layer, as the node itself measures it: the way to its statistics from outside.

A node started with ``--layers --statistics FILE`` rewrites the file when it gets SIGUSR1. The file is JSON and has
``{"layers": {"device": {"ns": N}, ...}}``: nanoseconds since the node booted.
"""

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netlab.bench.results import LAYERS
from netlab.bench.targets import Target, TargetError

_ANSWER_TIMEOUT = 2.0
_LOOK_INTERVAL = 0.001


class LayerProbe:
    """Asks a node for the time its layers have taken so far. Called like a function; see `runner.Probe`."""

    def __init__(self, target: Target, statistics: Path) -> None:
        self._target = target
        self._statistics = statistics

    def __call__(self) -> Mapping[str, int]:
        """Nanoseconds by layer. Raises TargetError when the node does not answer or says something else."""
        before = self._identity()
        os.kill(self._target.process.pid, signal.SIGUSR1)
        deadline = time.monotonic() + _ANSWER_TIMEOUT
        while time.monotonic() < deadline:
            if self._identity() != before and (document := self._read()) is not None:
                return layer_times(document)
            time.sleep(_LOOK_INTERVAL)
        self._target.require_alive()
        raise TargetError(f"{self._target.name} did not rewrite {self._statistics} within {_ANSWER_TIMEOUT:.0f} s")

    def _identity(self) -> tuple[int, int, int]:
        try:
            status = self._statistics.stat()
        except FileNotFoundError:
            return 0, 0, 0
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _read(self) -> Any:
        """The document; None while it is being written."""
        try:
            return json.loads(self._statistics.read_text())
        except ValueError:
            return None


def layer_times(document: Any) -> dict[str, int]:
    """Nanoseconds by layer out of a node's statistics. Raises TargetError when a layer is not there."""
    try:
        return {layer: int(document["layers"][layer]["ns"]) for layer in LAYERS}
    except (KeyError, TypeError, ValueError) as error:
        raise TargetError(
            f"the node's statistics have no time of the layers {', '.join(LAYERS)}", "Start it with --layers."
        ) from error
