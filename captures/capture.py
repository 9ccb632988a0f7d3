"""Capture packets with tcpdump into a pcapng file with a sidecar that says what made it.

tcpdump copies packets through a ring that the kernel fills; Python never sees one before the capture has ended. Its
nanosecond pcap file is then rewritten as pcapng, with the interface's name, a comment and the kernel's drop counters.

Two things about tcpdump shape this module. It listens from the moment it says so on its standard error, so ``start``
returns then. And the kernel hands packets over in blocks, up to a second late, so ``stop`` asks it (SIGUSR1) how many
packets its filter received and lets it catch up before the interrupt: what was sent before ``stop`` is in the file.
(Immediate mode would spare the wait, but gives every packet a slot of the largest size, so that a ring of 64 MiB holds
a thousand packets and a burst overruns it.)
"""

import contextlib
import json
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from captures.files import CaptureError, read_packets, write_pcapng

BUFFER_KIB = 64 * 1024
START_TIMEOUT = 10.0  # seconds
CATCH_UP_TIMEOUT = 5.0
STOP_TIMEOUT = 10.0
WATCH_INTERVAL = 0.05  # how often the bounds in bytes and seconds are looked at

_COUNT = re.compile(r"(\d+) packets? (captured|received by filter|dropped by kernel|dropped by interface)")

Popen = Callable[..., "subprocess.Popen[str]"]


@dataclass(slots=True)
class CaptureResult:
    """What a capture came to."""

    path: Path
    sidecar: Path
    packets: int
    received: int  # by the kernel's filter; more than ``packets`` when a bound ended the capture under traffic
    dropped: int  # by the kernel, for want of room in the ring
    seconds: float
    ended_by: str  # stop, packets, bytes, seconds, or tcpdump itself


class Capture:
    """Packets of one interface, from ``__enter__`` or ``start`` to ``__exit__`` or ``stop``, into ``path``.

    ``popen`` starts a process like ``subprocess.Popen``: inside another namespace if it likes. ``packets``,
    ``max_bytes`` (of file, looked at twenty times a second) and ``seconds`` bound the capture; None: no such bound.
    ``filter`` is tcpdump's expression. ``note`` goes into the sidecar, ``path`` with the suffix ``.json``: say there
    what produced the traffic. CaptureError when tcpdump cannot capture, with what it said.
    """

    def __init__(
        self,
        path: Path,
        interface: str,
        *,
        popen: Popen = subprocess.Popen,
        packets: int | None = None,
        max_bytes: int | None = None,
        seconds: float | None = None,
        filter: str = "",
        note: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = path
        self.interface = interface
        self.max_bytes = max_bytes
        self.seconds = seconds
        self.filter = filter
        self.note = dict(note or {})
        self.result: CaptureResult | None = None
        self._raw = path.with_name(path.name + ".part")
        self._packets = packets
        self._popen = popen
        self._process: subprocess.Popen[str] | None = None
        self._said: list[str] = []
        self._counts: dict[str, int] = {}
        self._changed = threading.Condition()
        self._ended_by = ""
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._started = 0.0

    @property
    def command(self) -> list[str]:
        """The tcpdump command line. ``setpriv`` ends it should this process die without ending it."""
        tie = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
        options = ["-i", self.interface, "-n", "-s", "0", "-B", str(BUFFER_KIB), "--nano", "-Z", "root"]
        bound = ["-c", str(self._packets)] if self._packets is not None else []
        return [*tie, "tcpdump", *options, *bound, "-w", str(self._raw), *self.filter.split()]

    def __enter__(self) -> "Capture":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin; returns when tcpdump listens. Call it from a thread that outlives the capture."""
        if shutil.which("tcpdump") is None:
            raise CaptureError("tcpdump is not installed; run: apt-get install tcpdump")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Its own session: Ctrl-C reaches only us, and we end it after it has caught up.
        self._process = self._popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._thread(self._listen)
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._listening() or self._exited(), START_TIMEOUT)
                if not self._listening():
                    said = " ".join(self._said) or f"no word from it within {START_TIMEOUT:.0f} s"
                    raise CaptureError(f"tcpdump does not listen on {self.interface}: {said}")
        except BaseException:
            self._end_process()
            self._raw.unlink(missing_ok=True)
            raise
        self._started = time.monotonic()
        self._thread(self._watch)

    def wait(self) -> None:
        """Until a bound is reached or tcpdump ends by itself."""
        assert self._process is not None
        self._ending.wait()

    def stop(self) -> CaptureResult:
        """End the capture, write the file and its sidecar; a second call returns the same result."""
        if self.result is not None:
            return self.result
        assert self._process is not None, "stop before start"
        elapsed = time.monotonic() - self._started
        self._end("stop")
        try:
            try:
                self._catch_up()
            finally:
                self._end_process()
            self.result = self._finish(elapsed)
        finally:
            self._raw.unlink(missing_ok=True)
        return self.result

    # -- tcpdump ---------------------------------------------------------------------------------------------------

    def _thread(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=f"capture {self.interface}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _listen(self) -> None:
        """Take what tcpdump says until it ends."""
        assert self._process is not None
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                self._said.append(line.strip())
                for number, what in _COUNT.findall(line):
                    self._counts[what] = int(number)
                self._changed.notify_all()
        self._process.wait()
        self._end("packets" if self._packets == self._counts.get("captured") else "tcpdump")
        with self._changed:
            self._changed.notify_all()

    def _listening(self) -> bool:
        return any("listening on" in line for line in self._said)

    def _exited(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None and self._ending.is_set()

    def _watch(self) -> None:
        """Keep the bounds that tcpdump does not keep."""
        while not self._ending.wait(WATCH_INTERVAL):
            if self.seconds is not None and time.monotonic() - self._started >= self.seconds:
                self._end("seconds")
            elif self.max_bytes is not None and self._raw.exists() and self._raw.stat().st_size >= self.max_bytes:
                self._end("bytes")
                self._interrupt()  # at once: catching up would let it grow on

    def _end(self, by: str) -> None:
        with self._changed:
            self._ended_by = self._ended_by or by
        self._ending.set()

    def _catch_up(self) -> None:
        """Let tcpdump write all packets that its filter had received when this was called."""
        if self._ended_by not in ("stop", "seconds"):
            return
        wanted: int | None = None
        deadline = time.monotonic() + CATCH_UP_TIMEOUT
        while time.monotonic() < deadline:
            self._counts.clear()
            if not self._signal(signal.SIGUSR1):
                return
            with self._changed:
                self._changed.wait_for(
                    lambda: "dropped by kernel" in self._counts or self._exited(), WATCH_INTERVAL * 4
                )
                counts = dict(self._counts)
            if "received by filter" in counts and "captured" in counts:
                # The kernel's count of received packets has the dropped ones in it.
                arrived = counts["received by filter"] - counts.get("dropped by kernel", 0)
                wanted = arrived if wanted is None else wanted
                if counts["captured"] >= wanted:
                    return
            time.sleep(WATCH_INTERVAL)

    def _signal(self, number: int) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            return False
        self._process.send_signal(number)
        return True

    def _interrupt(self) -> None:
        self._signal(signal.SIGINT)

    def _end_process(self) -> None:
        """Interrupt tcpdump, and kill it if it does not heed that."""
        assert self._process is not None
        self._interrupt()
        try:
            self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._ending.set()
        for thread in self._threads:
            thread.join()
        if self._process.stderr is not None:
            self._process.stderr.close()

    # -- the file --------------------------------------------------------------------------------------------------

    def _finish(self, elapsed: float) -> CaptureResult:
        received, dropped = self._counts.get("received by filter", 0), self._counts.get("dropped by kernel", 0)
        comment = json.dumps({"filter": self.filter, **self.note})
        packets = write_pcapng(
            self.path,
            read_packets(self._raw),
            interface=self.interface,
            comment=comment,
            received=received,
            dropped=dropped,
        )
        sidecar = self.path.with_suffix(".json")
        result = CaptureResult(self.path, sidecar, packets, received, dropped, round(elapsed, 3), self._ended_by)
        write_sidecar(result, {"command": self.command, "interface": self.interface, "filter": self.filter}, self.note)
        return result


def write_sidecar(result: CaptureResult, made_by: Mapping[str, Any], note: Mapping[str, Any]) -> None:
    """Write what made a capture beside it, as JSON."""
    about = {
        "capture": result.path.name,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **{key: value for key, value in asdict(result).items() if key not in ("path", "sidecar")},
        **made_by,
        "tcpdump": tcpdump_version(),
        "note": dict(note),
    }
    result.sidecar.write_text(json.dumps(about, indent=2) + "\n")


def tcpdump_version() -> str:
    """The first lines of ``tcpdump --version``, in one; empty when there is no tcpdump."""
    with contextlib.suppress(OSError):
        said = subprocess.run(["tcpdump", "--version"], capture_output=True, text=True, check=False)
        return ", ".join((said.stdout or said.stderr).splitlines()[:2])
    return ""
