"""The command line's manners, of every command: help with examples, exit status, plain text, output that fails."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import netlab as project
from netlab import cli
from netlab.emulation.settings import parse_link
from netlab.errors import NetlabError
from netlab.output import plain

TYPES = ("<", "TEXT", "INTEGER", "FLOAT", "PATH", "BOOLEAN")


def netlab(
    *arguments: str, stdout: Any = subprocess.PIPE, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "netlab.cli", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        encoding="latin-1",
        env={**os.environ, **(environment or {})},
    )


@pytest.fixture
def misused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[Any, str]]:
    """Exit status and standard error of a command; here and now, unless it would start itself anew for its rights."""

    def run(line: str) -> tuple[Any, str]:
        if line.startswith("bench "):
            line += " --allow-pure"  # so that the plain build comes to the misuse, too
        if os.geteuid() != 0:
            result = netlab(*line.split())
            return result.returncode, result.stderr
        monkeypatch.setattr(sys, "argv", ["netlab", *line.split()])
        return cli._run(), capsys.readouterr().err

    return run


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of commands, with its words."""
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


ALL = dict(commands(cli.command()))


def test_all_commands_are_walked():
    assert {("up",), ("bench",), ("bench", "memcached"), ("node", "run"), ("link", "set")} <= ALL.keys()


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(("netlab", *path)))
def test_a_command_has_examples_and_words_for_values(path: tuple[str, ...]):
    command = ALL[path]
    assert "Examples:" in command.epilog
    examples = [line.strip() for line in command.epilog.splitlines() if line.startswith("    ")]
    assert any(line.removeprefix("sudo ").startswith(" ".join(("netlab", *path))) for line in examples)
    assert command.help.strip()[-1:] in ".)"
    for parameter in command.params:
        assert parameter.help, parameter.name
        if parameter.metavar:
            assert not parameter.metavar.startswith(TYPES), parameter.name
            assert " " not in parameter.metavar
        else:
            assert parameter.is_flag, parameter.name


@pytest.mark.parametrize("path", ALL, ids=lambda path: " ".join(("netlab", *path)))
def test_an_unknown_option_is_misuse(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        cli.command()([*path, "--no-such-option"])
    assert ended.value.code == 2
    assert "no-such-option" in capsys.readouterr().err


def test_help_has_neither_types_nor_colours_in_a_pipe():
    text = netlab("bench", "memcached", "--help").stdout
    assert "Usage: netlab" in text
    assert "\x1b" not in text
    assert not any(f"<{name}" in text for name in ("str", "int", "path", "bool", "list"))


@pytest.mark.parametrize(
    "line",
    [
        "no-such-command",
        "up no-such-file.toml",
        "up --link node",
        "up --link node:delay=never",
        "exec",
        "exec client --",
        "exec --lab no-such-lab client true",
        "exec --lab Lab client true",
        "down no-such-lab",
        "bench memcached --concurrency many",
        "bench memcached --concurrency 0",
        "bench memcached --payload 9999999",
        "bench memcached --targets foo",
        "bench memcached --lookup tree",
        "bench memcached --rounds 0",
        "bench memcached --cpu-mode mine",
        "bench memcached --baseline /",
        "bench transfer --targets foo",
        "bench matrix --links foo",
        "bench matrix --pairs foo",
        "bench connections --lookup tree",
        "plot --format bmp .",
        "plot no-such-run",
        "diff no-such-file no-such-file",
        "run no-such-file.py",
        "run --host client docs/tour.md",
        "script no-such-file.pkt",
        "sim no-such-file.py",
        "sim docs/tour.md",
        "link set",
        "frontend run no-such-application",
        "frontend run memcached --ip ten",
        "frontend run memcached --port 65536",
        "frontend run memcached surplus",
        "iaas run --limit many",
        "node run memcached --tap node --ip ten",
        "node run memcached --tap node --ip 198.18.0.3/16 --ebb foo",
        "node run memcached --tap node --ip 198.18.0.3/16 --cpus foo",
        "node run memcached --tap node --ip 198.18.0.3/16 --lookup foo",
        "node run memcached --tap node --ip 198.18.0.3/16 --ring-size 500",
        "node run no-such-application --tap node --ip 198.18.0.3/16",
    ],
)
def test_misuse_exits_with_2_and_says_what_is_wrong(line: str, misused: Callable[[str], tuple[Any, str]]):
    status, said = misused(line)
    assert (status, "Traceback" in said) == (2, False), said
    assert said.strip()


def test_version():
    assert netlab("--version").stdout == f"netlab {project.__version__}\n"


def test_a_shell_can_complete_names():
    words = {"_NETLAB_COMPLETE": "complete_bash", "COMP_WORDS": "netlab bench me", "COMP_CWORD": "2"}
    program = "import sys; from netlab import cli; sys.argv[0] = 'netlab'; cli.main()"
    result = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **words}, capture_output=True, text=True, check=False
    )
    assert result.stdout.split() == ["memcached"]


@pytest.mark.parametrize("line", ["--help", "doctor", "script tests/script/rfc7413"])
def test_a_full_disk_is_told_in_a_line(line: str):
    with open("/dev/full", "w") as full:
        result = netlab(*line.split(), stdout=full)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "netlab: cannot write to the output: No space left on device",
        "Free some space there, or send the output elsewhere.",
    ]


@pytest.mark.parametrize("line", ["--help", "script tests/script/rfc7413"])
def test_a_reader_that_has_gone_ends_it_without_a_word(line: str):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = netlab(*line.split(), stdout=writing)
    finally:
        os.close(writing)
    assert result.returncode == 141
    assert result.stderr == ""


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX"},
        {"LC_ALL": "en_US"},
        {"LC_ALL": "", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "", "PYTHONIOENCODING": "latin-1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("line", ["doctor"])
def test_a_terminal_without_utf_8_gets_plain_characters(line: str, environment: dict[str, str]):
    result = netlab(*line.split(), environment=environment)
    assert "Traceback" not in result.stderr
    assert result.stdout.isascii()
    assert result.stdout


def test_plain_characters():
    text = "≥ 0.6 “a” … ━╸│┌ ⠋ naïve"
    assert plain(text, "utf-8") == text
    assert plain(text, "ascii") == '>= 0.6 "a" ... --|+ * na\\xefve'
    assert plain("naïve ≥", "latin-1") == "naïve >="


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
@pytest.mark.parametrize("line", ["doctor", "exec --lab Lab client true"])
def test_a_terminal_that_wants_plain_text_gets_it(line: str, environment: dict[str, str]):
    controlling, terminal = pty.openpty()
    variables = {"TERM": "xterm-256color", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "netlab.cli", *line.split()], stdout=terminal, stderr=terminal, env=variables
    )
    os.close(terminal)
    said = b""
    try:
        while piece := os.read(controlling, 65536):
            said += piece
    except OSError:  # EIO: it has ended
        pass
    os.close(controlling)
    process.wait()
    assert said
    assert b"\x1b" not in said


def test_help_imports_nothing_heavy():
    program = """
import sys
from netlab import cli
print(*{"pyroute2", "scapy", "matplotlib", "numpy"} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


def test_an_error_shows_where_it_comes_from_when_asked():
    without = netlab("down", "Lab").stderr
    assert "Traceback" not in without
    asked = netlab("down", "Lab", environment={"NETLAB_TRACEBACK": "1"}).stderr
    assert "Traceback" in asked
    assert asked.endswith(without)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("node:delay=25ms,loss=1%", ("node", "delay=25ms,loss=1%", "delay=25ms,loss=1%")),
        ("node:to:rate=1mbit", ("node", "rate=1mbit", None)),
        ("node:from:reorder=1%:5ms", ("node", None, "reorder=1%:5ms")),
        ("node:reorder=1%:5ms", ("node", "reorder=1%:5ms", "reorder=1%:5ms")),
    ],
)
def test_a_link_is_said_for_both_directions_or_for_one(text: str, parsed: tuple[str, str | None, str | None]):
    assert parse_link(text) == parsed


def test_a_link_without_settings_is_refused():
    with pytest.raises(NetlabError, match="no settings"):
        parse_link("node")
