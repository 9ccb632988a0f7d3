"""`netlab script` itself: files and folders, exit status, JSON."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netlab.cli import app

GOOD = "0 < S 0:0(0) win 1000\n+0 > R. 0:0(0) ack 1\n"
BAD = "0 < S 0:0(0) win 1000\n+0 > R. 0:0(0) ack 2\n"
ODD = "0 fork() = 0\n"
BROKEN = "0 < S\n"


def script(*arguments):
    return CliRunner().invoke(app, ["script", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("good", GOOD), ("bad", BAD), ("odd", ODD), ("broken", BROKEN)):
        (tmp_path / f"{name}.pkt").write_text(text)
    (tmp_path / "notes.txt").write_text("not a script")
    return tmp_path


@pytest.mark.parametrize(("name", "status"), [("good", 0), ("bad", 1), ("broken", 2), ("odd", 3)])
def test_the_exit_status_says_what_came_of_it(folder, name, status):
    assert script(folder / f"{name}.pkt").exit_code == status


HUGE = "9" * 5000
ODD_FILES = [
    (b"", 2, "found the end of the file, expected an event"),
    (b"\xff\x00\xfe", 2, "it is not UTF-8 text"),
    (b" " * (5 << 20), 2, "a script has at most 4194304 bytes"),
    (b"--wonder=1\n0 close(3) = 0\n", 2, "there is no option --wonder"),
    (b"--tolerance_percent=nan\n0 close(3) = 0\n", 2, "it is a number of percent"),
    (GOOD.replace("\n", "\r\n").encode(), 0, "passed"),
    (b"\xef\xbb\xbf" + GOOD.encode(), 0, "passed"),
    (b"0 socket(" + b"[" * 5000 + b", 1, 2) = 3\n", 2, "expressions are nested 50 deep at most"),
    (f"{HUGE} < S 0:0(0) win 1\n".encode(), 2, "a number of 5000 digits"),
    (b"99999999999999999999 < S 0:0(0) win 1\n", 2, "a time is at most 100000000 seconds"),
    (b"0 socket(..., SOCK_DGRAM, 0) = 3\n+0 bind(3, ..., ...) = 0\n+0 < udp (65535)\n", 1, "longer than a header"),
    (b"0 socket(..., SOCK_DGRAM, 0) = 3\n+0 write(3, ..., 99999999999) = 1\n", 3, "99999999999 bytes in one call"),
    (b"0 socket(..., SOCK_DGRAM, 0) = 3\n+0 write(3, ..., -5) = 1\n", 3, "-5 bytes in one call"),
    (b'0 socket(..., SOCK_STREAM, 0) = 3\n+0 setsockopt(3, SOL_TCP, TCP_CONGESTION, "\\xff", 4) = 0\n', 1, "ENOENT"),
]


@pytest.mark.parametrize(("content", "status", "message"), ODD_FILES, ids=[message for _, _, message in ODD_FILES])
def test_an_odd_file_is_said_to_be_one(tmp_path, content, status, message):
    (tmp_path / "x.pkt").write_bytes(content)
    result = script(tmp_path / "x.pkt")
    assert result.exit_code == status, result.output
    assert message in result.output
    assert "Traceback" not in result.output
    assert max(map(len, result.output.splitlines())) < 400


def test_a_folder_stands_for_its_scripts(folder):
    result = script(folder)
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "1 passed, 1 failed, 1 error, 1 unsupported"
    assert "broken.pkt:2:1: error: found the end of the file, expected a sequence number" in result.output
    assert "odd.pkt:1:3: unsupported: the system call 'fork' is not supported" in result.output


def test_json(folder):
    result = script(folder, "--json", "-")
    document = json.loads(result.output)
    assert document["outcomes"] == {"failed": 1, "error": 1, "passed": 1, "unsupported": 1}
    bad = document["scripts"][0]
    assert (bad["outcome"], bad["line"], bad["source"]) == ("failed", 2, "+0 > R. 0:0(0) ack 2")


def test_a_file_that_is_not_there(tmp_path):
    result = script(tmp_path / "none.pkt")
    assert "there is no file" in str(result.exception)


def test_options_of_the_command_line_win(folder):
    (folder / "defined.pkt").write_text("--define=KIND=SOCK_RAW\n0 socket(..., KIND, IPPROTO_UDP) = 3\n")
    assert script(folder / "defined.pkt").exit_code == 3
    assert script(folder / "defined.pkt", "--define", "KIND=SOCK_DGRAM").exit_code == 0
