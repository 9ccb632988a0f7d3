"""Capture packets with tcpdump into a pcapng file with a sidecar that says what made it.

tcpdump copies packets through a ring that the kernel fills and gives them to a process of ours, ``pcapng_writer``.
That writes them to ``PATH.part``, a pcapng file that is whole at any time, and gives the file its name when tcpdump
has ended; it outlives this process if need be, so that no signal can take away what was captured. After a SIGKILL
only the sidecar and the kernel's counters are missing. Were the writer killed too, ``PATH.part`` is what it had
written: rename it.

Two things about tcpdump shape this module. It listens from the moment it says so on its standard error, so ``start``
returns then. And the kernel hands packets over in blocks, up to a second late, so ``stop`` asks it (SIGUSR1) how many
packets its filter received and lets it catch up before the interrupt: what was sent before ``stop`` is in the file.
(Immediate mode would spare the wait, but gives every packet a slot of the largest size, so that a ring of 64 MiB holds
a thousand packets and a burst overruns it.)
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from captures import pcapng_writer
from captures.files import CaptureError

BUFFER_KIB = 64 * 1024
START_TIMEOUT = 10.0  # seconds
CATCH_UP_TIMEOUT = 5.0
STOP_TIMEOUT = 10.0
WATCH_INTERVAL = 0.05  # how often the bounds in bytes and seconds are looked at
PART = ".part"  # what a file's name ends in until it is complete

_COUNT = re.compile(r"(\d+) packets? (captured|received by filter|dropped by kernel|dropped by interface)")

Popen = Callable[..., "subprocess.Popen[Any]"]


@dataclass(slots=True)
class CaptureResult:
    """What a capture came to."""

    path: Path
    sidecar: Path
    packets: int
    received: int  # by the kernel's filter; more than ``packets`` when a bound ended the capture under traffic
    dropped: int  # by the kernel, for want of room in the ring
    seconds: float
    ended_by: str  # stop or what `end` was told, packets, bytes, seconds, tcpdump itself, or output (see ``problem``)
    problem: str = ""  # what could not be written, and why; the packets that are counted are in ``path``


class Capture:
    """Packets of one interface, from ``__enter__`` or ``start`` to ``__exit__`` or ``stop``, into ``path``.

    ``popen`` starts a process like ``subprocess.Popen``: inside another namespace if it likes. ``packets``,
    ``max_bytes`` (of file, looked at twenty times a second) and ``seconds`` bound the capture; None: no such bound.
    ``filter`` is tcpdump's expression. ``note`` goes into the sidecar, ``path`` with ``.json`` appended: say there
    what produced the traffic. An older capture of that name is replaced when the new one has ended; a file that is no
    capture of ours is not. CaptureError when ``path`` cannot be written or tcpdump cannot capture, with what it said.
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
        self._packets = packets
        self._popen = popen
        self._process: subprocess.Popen[Any] | None = None
        self._writer: _WriterProcess | None = None
        self._said: list[str] = []
        self._counts: dict[str, int] = {}
        self._changed = threading.Condition()
        self._ended_by = ""
        self._told = ""  # by `end`
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self._started = 0.0

    @property
    def command(self) -> list[str]:
        """The tcpdump command line. ``setpriv`` ends it should this process die without ending it."""
        tie = ["setpriv", "--pdeathsig", "INT"] if shutil.which("setpriv") else []
        options = ["-i", self.interface, "-n", "-s", "0", "-B", str(BUFFER_KIB), "--nano", "-Z", "root"]
        bound = ["-c", str(self._packets)] if self._packets is not None else []
        return [*tie, "tcpdump", *options, *bound, "-w", "-", "--", *self.filter.split()]

    @property
    def sidecar(self) -> Path:
        """Where it is written what made the capture."""
        return self.path.parent / f"{self.path.name}.json"

    def __enter__(self) -> "Capture":
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Begin; returns when tcpdump listens. Call it from a thread that outlives the capture."""
        if shutil.which("tcpdump") is None:
            raise CaptureError("tcpdump is not installed; run: apt-get install tcpdump")
        if self.interface == "any":
            raise CaptureError(
                "a capture on 'any' has each packet once for every interface it passes; name one of them"
            )
        require_place(self.path, self.sidecar)
        comment = json.dumps({"filter": self.filter, **self.note})
        heard, said = os.pipe()
        try:
            # The writer has this end of tcpdump's standard error too: written to with no reader left, a pipe would
            # kill tcpdump before it has passed on the last packets.
            self._writer = _WriterProcess(self.path.resolve(), self.interface, comment, keep_open=heard)
            # Its own session: Ctrl-C reaches only us, and we end it after it has caught up.
            self._process = self._popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=self._writer.input,
                stderr=said,
                start_new_session=True,
            )
        except BaseException:
            os.close(heard)
            if self._writer is not None:
                self._writer.finish()
            raise
        finally:
            os.close(said)
        self._writer.input.close()
        self._thread(lambda: self._listen(heard))
        try:
            self._await_listening()
        except BaseException:
            self._end_process()
            self._writer.finish()
            raise
        self._started = time.monotonic()
        self._thread(self._watch)

    def _await_listening(self) -> None:
        """Return when tcpdump listens; CaptureError when it will not. `end` has to wait for that too: it is soon."""
        deadline = time.monotonic() + START_TIMEOUT
        with self._changed:
            while not self._listening():
                if self._exited() or time.monotonic() > deadline:
                    said = " ".join(self._said) or f"no word from it within {START_TIMEOUT:.0f} s"
                    raise CaptureError(f"tcpdump does not listen on {self.interface}: {said}")
                self._changed.wait(WATCH_INTERVAL)

    def end(self, by: str) -> None:
        """Make `wait` return. A signal's handler may call this, at any time and more than once."""
        self._told = self._told or by

    def wait(self) -> None:
        """Return when the capture has ended by itself, or was told to by `end`."""
        while not self._told and not self._ending.wait(WATCH_INTERVAL):
            pass

    def stop(self) -> CaptureResult:
        """End the capture, complete the file and write its sidecar; a second call returns the same result."""
        if self.result is not None:
            return self.result
        assert self._process is not None, "stop before start"
        assert self._writer is not None
        elapsed = time.monotonic() - self._started
        self._end(self._told or "stop")
        try:
            self._catch_up()
        finally:
            self._end_process()
            written = self._writer.finish()
        self.result = self._finish(written, elapsed)
        return self.result

    # -- tcpdump ---------------------------------------------------------------------------------------------------

    def _thread(self, target: Callable[[], None]) -> None:
        thread = threading.Thread(target=target, name=f"capture {self.interface}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def _listen(self, heard: int) -> None:
        """Take what tcpdump says until it ends."""
        assert self._process is not None
        with open(heard, errors="replace") as lines:
            for line in lines:
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
            elif self.max_bytes is not None and self._writer is not None and self._writer.size() >= self.max_bytes:
                self._end("bytes")
                self._interrupt()  # at once: catching up would let it grow on

    def _end(self, by: str) -> None:
        with self._changed:
            self._ended_by = self._ended_by or by
        self._ending.set()

    def _catch_up(self) -> None:
        """Let tcpdump write all packets that its filter had received when this was called."""
        if self._ended_by in ("packets", "bytes", "tcpdump"):
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

    # -- the file --------------------------------------------------------------------------------------------------

    def _finish(self, written: dict[str, Any], elapsed: float) -> CaptureResult:
        assert self._process is not None
        assert self._writer is not None
        received, dropped = self._counts.get("received by filter", 0), self._counts.get("dropped by kernel", 0)
        path, ended_by, problem = self.path, self._ended_by, written.get("error", "")
        if problem:
            ended_by = "output"
        elif ended_by == "tcpdump" and self._process.returncode:
            problem = f"tcpdump failed: {self._said[-1] if self._said else self._process.returncode}"
        if "path" not in written:
            if not self._writer.part.exists():
                raise CaptureError(f"nothing was captured: {problem or 'tcpdump wrote nothing'}")
            path, problem = self._writer.part, "the process that wrote the file was killed"
        elif written["path"] != str(self.path.resolve()):
            path = Path(written["path"])
        if not problem:
            problem = _append_statistics(path, written["last_ns"], received, dropped)
        packets = written.get("packets", 0)
        result = CaptureResult(path, self.sidecar, packets, received, dropped, round(elapsed, 3), ended_by, problem)
        made_by = {"command": self.command, "interface": self.interface, "filter": self.filter}
        result.problem = result.problem or write_sidecar(result, made_by, self.note)
        return result


class _WriterProcess:
    """``pcapng_writer`` as a process; what is written to ``input`` is to be tcpdump's pcap."""

    def __init__(self, path: Path, interface: str, comment: str, keep_open: int) -> None:
        self.part = path.with_name(path.name + PART)
        command = [sys.executable, "-I", "-S", pcapng_writer.__file__, str(self.part), str(path), interface, comment]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, start_new_session=True, pass_fds=[keep_open]
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.input: IO[bytes] = self._process.stdin
        self._output: IO[bytes] = self._process.stdout
        reason = self._heard().get("error", "")
        if reason:
            self.finish()
            raise CaptureError(reason)

    def _heard(self) -> dict[str, Any]:
        with contextlib.suppress(ValueError):
            heard = json.loads(self._output.readline())
            if isinstance(heard, dict):
                return heard
        return {}

    def size(self) -> int:
        """Bytes in the file so far."""
        with contextlib.suppress(OSError):
            return self.part.stat().st_size
        return 0

    def finish(self) -> dict[str, Any]:
        """Wait for its end, which the end of its input brings, and return what it says of its work."""
        self.input.close()
        with self._output:
            told = self._heard()
        self._process.wait()
        return told


def require_place(path: Path, sidecar: Path) -> None:
    """CaptureError, and nothing changed but that the folder is made, unless a capture can be written to ``path``.

    What is there may be an older capture of ours with its sidecar, and nothing else.
    """
    try:
        if path.is_dir():
            raise CaptureError(f"{path} is a folder; name a file in it")
        part = path.with_name(path.name + PART)
        path.parent.mkdir(parents=True, exist_ok=True)
        for each, is_ours in ((path, _is_capture_of_ours), (sidecar, lambda found: _is_sidecar_of(path, found))):
            if each.exists() and not (each.is_file() and is_ours(each)):
                raise CaptureError(f"{each} exists and is not what an earlier netlab capture wrote; name another file")
        if part.exists():
            raise CaptureError(
                f"{part} exists: a capture that runs is writing it, or it is what one that was killed had written; "
                "rename it to keep it, or remove it"
            )
    except OSError as error:
        raise CaptureError(f"cannot write {path}: {error.filename}: {error.strerror}") from error


def _is_capture_of_ours(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(1 << 17)
    length = int.from_bytes(begin[4:8], "little")
    section = pcapng_writer.BLOCK_SECTION.to_bytes(4, "big")
    return begin.startswith(section) and pcapng_writer.APPLICATION in begin[:length]


def _is_sidecar_of(path: Path, sidecar: Path) -> bool:
    try:
        about = json.loads(sidecar.read_bytes())
    except ValueError:
        return False
    return isinstance(about, dict) and about.get("capture") == path.name


def _append_statistics(path: Path, last_ns: int, received: int, dropped: int) -> str:
    """Write the kernel's counters at the end of the file; why not, if that fails, which leaves it as it was."""
    block = pcapng_writer.statistics_block(last_ns, received, dropped)
    try:
        with path.open("r+b", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            if file.write(block) == len(block):
                return ""
            file.truncate(end)
            return f"no room in {path} for the kernel's counters"
    except OSError as error:
        return f"the kernel's counters could not be written to {path}: {error.strerror}"


def write_sidecar(result: CaptureResult, made_by: Mapping[str, Any], note: Mapping[str, Any]) -> str:
    """Write what made a capture beside it, as JSON, whole or not at all; why not, if that fails."""
    about = {
        "capture": result.path.name,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **{key: value for key, value in asdict(result).items() if key not in ("path", "sidecar")},
        **made_by,
        "tcpdump": tcpdump_version(),
        "note": dict(note),
    }
    part = result.sidecar.with_name(result.sidecar.name + PART)
    try:
        part.write_text(json.dumps(about, indent=2) + "\n")
        part.replace(result.sidecar)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        return f"the sidecar {result.sidecar} could not be written: {error.strerror}"
    return ""


def tcpdump_version() -> str:
    """The first lines of ``tcpdump --version``, in one; empty when there is no tcpdump."""
    with contextlib.suppress(OSError):
        said = subprocess.run(["tcpdump", "--version"], capture_output=True, text=True, start_new_session=True)
        return ", ".join((said.stdout or said.stderr).splitlines()[:2])
    return ""
