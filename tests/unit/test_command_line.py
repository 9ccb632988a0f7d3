"""The Command Line on a back-end, from what crosses at boot; tests/live/test_front_end.py has that of a front-end."""

import json
from collections.abc import Iterator

import pytest

from ebbrt import ebb
from ebbrt.command_line import CommandLine, CommandLineError
from ebbrt.ebb import Core
from ebbrt.runtime import Runtime
from netlab.iaas.backend import identity_of
from tests.command_line_suite import Boot, CommandLineSuite

BOOT = {"number": 7, "front_end": "0@198.18.0.1:9100", "secret": "00" * 32}


class TestBackEnd(CommandLineSuite):
    @pytest.fixture
    def boot(self) -> Iterator[Boot]:
        before = ebb.current_core()

        def boot(argv: list[str]) -> Runtime:
            core = Core()
            core.enter()
            return Runtime(core, identity_of(json.loads(json.dumps({**BOOT, "argv": argv})), "198.18.0.8"))

        yield boot
        before.enter()


def test_a_command_line_is_made_of_texts() -> None:
    with pytest.raises(CommandLineError, match="list of texts"):
        CommandLine(["sum", 7])  # type: ignore[list-item]
