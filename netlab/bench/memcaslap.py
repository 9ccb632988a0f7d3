r"""The load: ``memcaslap``, Debian's name of the paper's memaslap (package libmemcached-tools).

How it behaves, as observed and as its source says, and what that means for a measurement:

- It connects, stores a handful of items (there is no long filling phase while sets are part of the mix), then runs
  for whole seconds. With ``-S 1s`` it prints cumulative counts each second, *while every connection is alive*: the
  first second is warm-up, and the difference between two later blocks is the measured interval, whose ends are known.
  Printing them costs no throughput that could be measured.
- When the server dies it spins, ends with exit code 0 and a plausible rate. But the blocks stop: a block that does
  not come within a few seconds is the error.
- In the binary protocol its ``get_misses`` stays 0 whatever the server answers. With ``--verify=1.0`` each reply is
  compared with what was stored, and misses are in ``verify_failed``. It costs less than the noise.
- Where it is built with affinity support it pins its one thread to CPU 0 itself. So the client's core is CPU 0.
- A pipe would hold its output back until it ends: its standard output is a terminal (a pty).
"""

import os
import re
import select
import time
from collections.abc import Callable
from dataclasses import dataclass

from netlab.errors import NetlabError, UsageError

PROGRAM = "memcaslap"
KEY_BYTES = 64  # its own default
GET_SHARE = 0.9
WARM_UP_SECONDS = 1
FIRST_BLOCK_TIMEOUT = 10.0  # before the first it connects; each lost SYN takes a second
BLOCK_TIMEOUT = 3.0  # blocks come each second
CLEAN_UP_TIMEOUT = 10.0  # it sleeps one second, and joins its thread
MAX_VALUE_BYTES = 1 << 20

_GLOBAL_LINE = re.compile(r"^Global\s+(\d+)\s+(\d+)\s+\d+")
_COUNTER_LINE = re.compile(r"^(cmd_get|cmd_set|get_misses|verify_misses|verify_failed): (\d+)$")
_FINAL_LINE = re.compile(r"^Run time: ([\d.]+)s Ops: (\d+) TPS: (\d+)")


class LoadError(NetlabError):
    """The load generator failed, or said something that is not understood."""


class LoadUsageError(LoadError, UsageError):
    """A load that cannot be asked for."""


class SilentLoadError(LoadError):
    """The load generator has stopped reporting."""


@dataclass(frozen=True)
class Load:
    """What is asked of a server: `concurrency` connections, a request in flight on each, values of `payload` bytes."""

    concurrency: int
    payload: int

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise LoadUsageError(f"concurrency {self.concurrency}: at least one connection is needed")
        if not 1 <= self.payload <= MAX_VALUE_BYTES:
            raise LoadUsageError(f"payload {self.payload}: memcaslap stores values of 1 byte to 1 MiB")


def config_text(payload: int) -> str:
    """memcaslap's configuration: keys and values of one exact length, nine gets to one set."""
    return (
        f"key\n{KEY_BYTES} {KEY_BYTES} 1\n"
        f"value\n{payload} {payload} 1\n"
        f"cmd\n0 {1 - GET_SHARE:.1f}\n1 {GET_SHARE:.1f}\n"
    )


def command(load: Load, address: str, port: int, seconds: int, config: str) -> list[str]:
    """The command line that loads a server for `seconds`, the warm-up included, and tells of each second."""
    return [*_command(load, address, port, config), f"--time={seconds}s", "--stat_freq=1s"]


def counted_command(load: Load, address: str, port: int, requests: int, config: str) -> list[str]:
    """The command line that sends `requests` requests, as fast as they are answered, and ends."""
    return [*_command(load, address, port, config), f"--execute_number={requests}"]


def _command(load: Load, address: str, port: int, config: str) -> list[str]:
    return [
        PROGRAM,
        f"--servers={address}:{port}",
        "--binary",
        "--threads=1",
        f"--concurrency={load.concurrency}",
        "--verify=1.0",
        f"--cfg_cmd={config}",
    ]


@dataclass(frozen=True)
class FinalReport:
    """What memcaslap says at its end, over its whole run."""

    gets: int
    sets: int
    misses: int
    unequal: int
    requests: int

    def errors(self) -> int:
        """Replies that were not the stored value."""
        return self.misses + self.unequal


def parse_final(text: str) -> FinalReport:
    """The counters at the end of its output. Raises LoadError when they are not all there."""
    counters: dict[str, int] = {}
    requests = None
    for line in text.splitlines():
        if found := _COUNTER_LINE.match(line.strip()):
            counters[found[1]] = int(found[2])
        elif found := _FINAL_LINE.match(line.strip()):
            requests = int(found[2])
    missing = {"cmd_get", "cmd_set", "get_misses", "verify_misses", "verify_failed"} - counters.keys()
    if requests is None or missing:
        tail = " / ".join(text.split("\n")[-4:]).strip()
        raise LoadError(f"{PROGRAM} ended without its final report; its last words: {tail!r}")
    return FinalReport(
        counters["cmd_get"],
        counters["cmd_set"],
        counters["get_misses"] + counters["verify_misses"],
        counters["verify_failed"],
        requests,
    )


class BlockParser:
    """Finds, in output that arrives in pieces, the end of each per-second block: (seconds, requests so far)."""

    def __init__(self) -> None:
        self._rest = ""
        self._in_total = False

    def feed(self, text: str) -> list[tuple[int, int]]:
        """The blocks completed by `text`."""
        blocks = []
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            line = line.strip()
            if line.endswith("Statistics"):
                self._in_total = line == "Total Statistics"
            elif self._in_total and (found := _GLOBAL_LINE.match(line)):
                blocks.append((int(found[1]), int(found[2])))
        return blocks


class LoadOutput:
    """Reads a running memcaslap through the controlling side of its terminal. Owns that descriptor."""

    def __init__(self, terminal: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._terminal = terminal
        self._monotonic = monotonic
        self._parser = BlockParser()
        self._blocks: list[tuple[int, int]] = []
        self._has_reported = False
        self.text = ""

    def next_block(self) -> tuple[int, int]:
        """Wait for the next per-second block: (second, requests since the start).

        Raises SilentLoadError when none comes: it ended, or has lost a connection, or never had all of them.
        """
        allowed = BLOCK_TIMEOUT if self._has_reported else FIRST_BLOCK_TIMEOUT
        deadline = self._monotonic() + allowed
        while not self._blocks:
            if not self._read(deadline):
                if self._monotonic() >= deadline:
                    raise SilentLoadError(f"{PROGRAM} did not report for {allowed:.0f} s")
                raise SilentLoadError(f"{PROGRAM} ended; its last words: {self.text[-200:].strip()!r}")
        self._has_reported = True
        return self._blocks.pop(0)

    def read_to_end(self) -> str:
        """All of its output, when it has closed its terminal. Raises LoadError when it does not end."""
        deadline = self._monotonic() + CLEAN_UP_TIMEOUT
        while self._read(deadline):
            pass
        if self._monotonic() >= deadline:
            raise LoadError(f"{PROGRAM} did not end within {CLEAN_UP_TIMEOUT:.0f} s after its run")
        return self.text

    def close(self) -> None:
        """Close the terminal."""
        os.close(self._terminal)

    def _read(self, deadline: float) -> bool:
        """Take what there is; False at the end of the output or at the deadline."""
        wait = deadline - self._monotonic()
        if wait <= 0 or not select.select([self._terminal], [], [], wait)[0]:
            return False
        try:
            piece = os.read(self._terminal, 65536)
        except OSError:  # EIO: the last process that had the terminal open is gone (pty(7))
            return False
        if not piece:
            return False
        text = piece.decode("ascii", "replace")
        self.text += text
        self._blocks += self._parser.feed(text)
        return True
