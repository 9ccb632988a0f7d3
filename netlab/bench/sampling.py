"""A small recorded run: the same load generator, bounded in requests, every packet of it captured on the bridge.

The capture begins before the first connection and ends after the last has closed, so that it can be replayed.
"""

import subprocess
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from captures.capture import Capture, CaptureResult
from captures.diff import Comparison, compare
from captures.files import CaptureError
from captures.replay import ReplayError, ReplayResult, replay
from netlab import namespaces
from netlab.bench import memcaslap
from netlab.bench.memcaslap import Load, LoadError
from netlab.bench.runner import CLIENT_CPU
from netlab.bench.targets import CLIENT, Target
from netlab.errors import NetlabError
from netlab.lab import Lab

REQUESTS = 2000
LOAD = Load(concurrency=16, payload=32)
MAX_BYTES = 64 << 20
_RUN_TIMEOUT = 10.0
_CAPTURE_SECONDS = 30.0


class SamplingError(NetlabError):
    """A recorded run, a comparison or a replay that failed."""


def record(lab: Lab, target: Target, path: Path, scratch: Path) -> CaptureResult:
    """Empty the target's store, send it `REQUESTS` requests over `LOAD.concurrency` connections, capture them all."""
    config = scratch / "recorded.cfg"
    config.write_text(memcaslap.config_text(LOAD.payload))
    command = memcaslap.counted_command(LOAD, target.address, target.port, REQUESTS, str(config))
    capture = Capture(
        path,
        # The bridge's port to the client. On the bridge device a frame is recorded after it has been passed on, so
        # that a quick reply may come to stand before its request; on the port it came in by, cause precedes effect.
        CLIENT,
        popen=partial(lab.switch.popen, cpu=CLIENT_CPU, start_new_session=False),
        max_bytes=MAX_BYTES,
        seconds=_CAPTURE_SECONDS,
        filter=f"tcp port {target.port} and host {target.address}",
        note={"load": " ".join(command), "server": target.name, "version": target.version},
    )
    target.require_alive()
    target.flush()
    try:
        with capture:
            ran = lab.hosts[CLIENT].run(
                command,
                timeout=_RUN_TIMEOUT,
                cpu=CLIENT_CPU,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        report = memcaslap.parse_final(ran.stdout)
    except (CaptureError, LoadError, subprocess.TimeoutExpired) as error:
        raise SamplingError(f"recording {target.name}: {error}") from error
    result = capture.result
    assert result is not None
    if result.dropped or result.problem or result.ended_by != "stop":
        raise SamplingError(f"the capture of {target.name} is not whole: {result}")
    if report.errors():
        raise SamplingError(f"{report.errors()} replies of {target.name} were not the stored values")
    return result


def compared(a: Path, b: Path) -> Comparison:
    """The two captures side by side."""
    try:
        return compare(a, b)
    except CaptureError as error:
        raise SamplingError(f"comparing {a.name} and {b.name}: {error}") from error


def replayed(capture: Path, target: Target) -> ReplayResult:
    """Replay a capture's clients, from the lab's client, to `target` with an empty store, and check its replies."""
    target.require_alive()
    target.flush()
    try:
        return namespaces.run_in(target.client.namespace, lambda: replay(capture, target.address, target.port))
    except (CaptureError, ReplayError, OSError) as error:
        raise SamplingError(f"replaying {capture.name} to {target.name}: {error}") from error


def replay_document(result: ReplayResult) -> dict[str, Any]:
    """The JSON form of a replay's outcome."""
    return {"all_equal": result.all_equal(), **asdict(result)}
