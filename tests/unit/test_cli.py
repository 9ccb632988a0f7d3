"""The command line's manners: quick help with examples, status 2 for misuse, no heavy import for nothing."""

import subprocess
import sys

import pytest

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
