"""The process that writes a capture: what it was given is in the file, whatever ends it, and where a file may go."""

import contextlib
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scapy.utils import RawPcapNgReader

from captures import pcapng_writer
from captures.capture import require_place
from captures.files import CaptureError, Packet, read_packets
from captures.pcapng_writer import PcapStream, Writer, packet_block, section_block

FRAMES = [bytes([number]) * (60 + number) for number in range(100)]
HEADER = struct.pack("=IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)
PCAP = HEADER + b"".join(struct.pack("=IIII", 7, i, len(each), len(each) + 1) + each for i, each in enumerate(FRAMES))
PACKETS = [Packet(i + 1, 7_000_000_000 + i, each, len(each) + 1) for i, each in enumerate(FRAMES)]


class Process:
    """The writer, started; ``part`` and ``path`` are its files."""

    def __init__(self, folder: Path, *before: str) -> None:
        self.path, self.part = folder / "a.pcapng", folder / "a.pcapng.part"
        command = [*before, sys.executable, "-I", "-S", pcapng_writer.__file__, self.part, self.path, "eth0", "why"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input, self.output = self.process.stdin, self.process.stdout
        self.begun = json.loads(self.output.readline())

    def end(self) -> dict[str, Any]:
        with contextlib.suppress(BrokenPipeError):
            self.input.close()
        with self.output:
            line = self.output.readline()
        self.process.wait()
        told: dict[str, Any] = json.loads(line) if line else {}
        return told


def test_a_capture_is_written_and_named(tmp_path: Path) -> None:
    writer = Process(tmp_path)
    assert writer.begun == {}
    assert list(tmp_path.iterdir()) == [writer.part]
    writer.input.write(PCAP)
    assert writer.end() == {"packets": 100, "last_ns": 7_000_000_099, "path": str(writer.path), "error": ""}
    assert list(tmp_path.iterdir()) == [writer.path]
    assert list(read_packets(writer.path)) == PACKETS
    with RawPcapNgReader(str(writer.path)) as reader:
        assert [frame for frame, _ in reader] == FRAMES


def test_signals_that_end_a_program_do_not_end_it(tmp_path: Path) -> None:
    writer = Process(tmp_path)
    writer.input.write(PCAP[:1000])
    writer.input.flush()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        writer.process.send_signal(number)
    writer.input.write(PCAP[1000:])
    assert writer.end()["packets"] == 100


def test_what_a_killed_one_had_written_is_a_capture(tmp_path: Path) -> None:
    writer = Process(tmp_path)
    writer.input.write(PCAP)
    writer.input.flush()
    while writer.part.stat().st_size < 100 * 92:
        os.sched_yield()
    writer.process.kill()
    assert writer.end() == {}
    assert list(read_packets(writer.part)) == PACKETS


def test_where_the_disk_is_full_the_packets_that_fit_are_kept(tmp_path: Path) -> None:
    writer = Process(tmp_path, "prlimit", "--fsize=5000")
    try:
        writer.input.write(PCAP)
        writer.input.flush()
    except BrokenPipeError:
        pass
    told = writer.end()
    assert told["error"] == "File too large"
    assert told["path"] == str(writer.path)
    packets = list(read_packets(writer.path))
    assert packets == PACKETS[: told["packets"]]
    assert 5000 - writer.path.stat().st_size < 120  # the next one had no room


@pytest.mark.parametrize("size", [0, 10])
def test_without_a_capture_no_file_is_left(tmp_path: Path, size: int) -> None:
    writer = Process(tmp_path)
    writer.input.write(PCAP[:size])
    assert writer.end() == {"packets": 0, "error": ""}
    assert list(tmp_path.iterdir()) == []


def test_a_packet_that_ends_early_is_left_out(tmp_path: Path) -> None:
    writer = Process(tmp_path)
    writer.input.write(PCAP[:-1])
    assert writer.end()["packets"] == 99
    assert list(read_packets(writer.path)) == PACKETS[:-1]


def test_the_file_is_written_anew_and_never_shared(tmp_path: Path) -> None:
    (tmp_path / "a.pcapng.part").write_bytes(b"another's")
    writer = Process(tmp_path)
    assert "File exists" in writer.begun["error"]
    writer.end()
    assert (tmp_path / "a.pcapng.part").read_bytes() == b"another's"


def test_a_folder_that_is_gone_leaves_the_name_of_the_part(tmp_path: Path) -> None:
    (tmp_path / "a.pcapng").mkdir()
    writer = Process(tmp_path)
    writer.input.write(PCAP)
    told = writer.end()
    assert "cannot rename" in told["error"]
    assert told["path"] == str(writer.part)
    assert list(read_packets(writer.part)) == PACKETS


@pytest.mark.parametrize("size", [1, 7, 16, 100, 5000])
def test_pcap_comes_in_any_pieces(size: int) -> None:
    stream = PcapStream()
    blocks = [block for at in range(0, len(PCAP), size) for block in stream.blocks(PCAP[at : at + size])]
    assert blocks == [packet_block(packet.time_ns, packet.frame, packet.length) for packet in PACKETS]
    assert stream.link_type == 1


def test_a_writer_without_room_has_written_nothing() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    writer = Writer(descriptor)
    with pytest.raises(OSError, match="No space left"):
        writer.write([section_block("")])
    assert writer.packets == 0
    os.close(descriptor)


def made(path: Path) -> tuple[Path, Path]:
    """``path`` and its sidecar as a capture leaves them."""
    sidecar = path.with_name(path.name + ".json")
    path.write_bytes(section_block(""))
    sidecar.write_text(json.dumps({"capture": path.name}))
    return path, sidecar


def test_an_earlier_capture_may_be_replaced(tmp_path: Path) -> None:
    require_place(*made(tmp_path / "a.pcapng"))


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    path = tmp_path / "b" / "c" / "a.pcapng"
    require_place(path, path.with_name("a.pcapng.json"))
    assert path.parent.is_dir()


@pytest.mark.parametrize(
    ("name", "there", "reason"),
    [
        ("folder", "", "is a folder"),
        ("notes.txt", "notes.txt", "notes.txt exists and is not what"),
        ("a.pcap", "a.pcap.json", "a.pcap.json exists and is not what"),
        ("a.pcapng", "a.pcapng.part", "a.pcapng.part exists: a capture that runs"),
        ("notes/a.pcapng", "notes", "cannot write .*notes: File exists"),
        ("/dev/null", "", "/dev/null exists and is not what"),
    ],
)
def test_what_is_not_ours_is_refused_and_left_alone(tmp_path: Path, name: str, there: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    if there:
        (tmp_path / there).write_text("mine")
    path = tmp_path / name
    with pytest.raises(CaptureError, match=reason):
        require_place(path, path.with_name(path.name + ".json"))
    assert not there or (tmp_path / there).read_text() == "mine"


def test_a_sidecar_of_another_capture_is_refused(tmp_path: Path) -> None:
    path, sidecar = made(tmp_path / "a.pcapng")
    sidecar.write_text(json.dumps({"capture": "b.pcapng"}))
    with pytest.raises(CaptureError, match="is not what"):
        require_place(path, sidecar)
