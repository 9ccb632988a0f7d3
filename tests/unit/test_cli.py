"""The command line's manners: quick help with examples, status 2 for misuse, no heavy import for nothing."""

import subprocess
import sys

import pytest

from netlab.emulation.settings import parse_link
from netlab.errors import NetlabError

COMMANDS = ("up", "down", "status", "exec", "clean", "doctor")


def netlab(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "netlab.cli", *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str):
    result = netlab(command, "--help")
    assert result.returncode == 0
    assert "Examples:" in result.stdout
    assert f"netlab {command}" in result.stdout


@pytest.mark.parametrize("arguments", [("no-such-command",), ("up", "--no-such-option"), ("exec",)])
def test_misuse_exits_with_2(arguments: tuple[str, ...]):
    assert netlab(*arguments).returncode == 2


def test_help_imports_nothing_heavy():
    program = """
import sys
from netlab import cli
print(*{"pyroute2", "scapy", "matplotlib", "numpy"} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""


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
