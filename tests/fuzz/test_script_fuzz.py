"""Whatever is in a script, parsing it ends with a script or with an error that names a place in it, and a run ends."""

import contextlib
import random
import re
from pathlib import Path

import pytest

from netlab.errors import NetlabError
from netlab.script.errors import ScriptError
from netlab.script.parser import parse
from netlab.script.session import defaults_of, run_file
from netlab.script.sysctl import OF_NO_CONSEQUENCE, SETTINGS

SCRIPTS = sorted((Path(__file__).parents[1] / "script").rglob("*.pkt"))
EVERYTHING = Path(__file__).parents[1] / "unit" / "test_script_parser.py"  # has each construct of the language
PIECES_OF_SCRIPTS = r"""
... < > 0 -1 99999999999 ( ) [ ] { } | = , ~ + * ` " %{ }% /* */ // \ \x 0x ack win sack TS FO icmp udp mtu --
"""
PIECES = PIECES_OF_SCRIPTS.split()
PIECES_OF_DEFAULTS = (
    *("sysctl ", "-q ", "-w ", "echo ", "net.ipv4.", "/proc/sys/net/ipv4/", "=", " = ", "> ", "$((", "))", "(", ")"),
    *("'", '"', "\\", "\\\n", "\n", "# ", "; ", "&& ", "0", "1", "-1", "4096 ", "99999999999999999999", "+", "*", "/"),
    *(*SETTINGS, *OF_NO_CONSEQUENCE),
)


def mutated(text: str, chance: random.Random) -> str:
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(text) + 1)
        cut = chance.randrange(8)
        text = text[:at] + chance.choice(["", *PIECES]) + text[at + cut :]
    return text


def error_of(text: str) -> ScriptError | None:
    try:
        parse("x.pkt", text)
    except ScriptError as error:
        return error
    return None


@pytest.mark.parametrize("seed", range(4))
def test_mutated_scripts(seed):
    chance = random.Random(seed)
    constructs = [line.strip(' ",()') for line in EVERYTHING.read_text().splitlines()]
    for _ in range(100):
        text = chance.choice(SCRIPTS).read_text() + f"\n0 {chance.choice(constructs)}\n"
        text = mutated(text, chance)
        error = error_of(text)
        if error is not None:
            assert 1 <= error.position.line <= text.count("\n") + 1
            assert error.position.column >= 1


NUMBER = re.compile(r"\d+")
NUMBERS = ("-1", "0", "1", "2", "7", "1000", "65535", "100000", "4294967295")


@pytest.mark.parametrize("seed", range(4))
def test_running_what_has_other_numbers(seed, tmp_path):
    """A run ends with an outcome; neither the stack nor the runner raises."""
    chance = random.Random(seed)
    for _ in range(40):
        text = chance.choice(SCRIPTS).read_text()
        for _ in range(chance.randrange(1, 4)):
            at = chance.choice(list(NUMBER.finditer(text)))
            text = text[: at.start()] + chance.choice(NUMBERS) + text[at.end() :]
        (tmp_path / "x.pkt").write_text(text)
        report = run_file(tmp_path / "x.pkt")
        assert "the stack, or the runner, raised" not in report.message, report.text() + text


@pytest.mark.parametrize("seed", range(4))
def test_mutated_files_of_defaults(seed, tmp_path):
    chance = random.Random(seed)
    for _ in range(100):
        pieces = [chance.choice(PIECES_OF_DEFAULTS) for _ in range(chance.randrange(30))]
        (tmp_path / "defaults").write_text("".join(pieces))
        with contextlib.suppress(NetlabError):
            defaults_of(tmp_path / "defaults")
