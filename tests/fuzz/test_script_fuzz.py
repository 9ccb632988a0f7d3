"""Whatever is in a script, parsing it ends with a script or with an error that names a place in it."""

import random
from pathlib import Path

import pytest

from netlab.script.errors import ScriptError
from netlab.script.parser import parse

SCRIPTS = sorted((Path(__file__).parents[1] / "script").rglob("*.pkt"))
EVERYTHING = Path(__file__).parents[1] / "unit" / "test_script_parser.py"  # has each construct of the language
PIECES_OF_SCRIPTS = r"""
... < > 0 -1 99999999999 ( ) [ ] { } | = , ~ + * ` " %{ }% /* */ // \ \x 0x ack win sack TS FO icmp udp mtu --
"""
PIECES = PIECES_OF_SCRIPTS.split()


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
